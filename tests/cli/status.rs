//! `status`: what it writes, and how it is watched.

use std::os::unix::net::UnixListener;

use dockfw_lab::wait_until;
use serde_json::Value;

use crate::fixture::CliFixture;
use crate::host::Host;
use crate::running::{DEADLINE, Running};
use crate::schema::faults;

/// An interface of the outside, and a process that listens.
const OUTSIDE: &str = "ip link add eth0 type veth peer name far; ip link set eth0 up
    busybox nc -l -p 9000 >/dev/null 2>&1 </dev/null &
    listener=$!; trap 'kill $listener' EXIT
    timeout 20 sh -c 'until ss -ltn | grep -q :9000; do :; done'";

fn listening(report: &Value) -> Vec<&Value> {
    let exposed = report["exposed"].as_array().unwrap();
    exposed.iter().filter(|one| one["port"] == "9000/tcp" && one["answers"]["process"] == "busybox").collect()
}

#[test]
#[ignore = "needs root"]
fn json_is_as_its_schema_says() {
    let schema = serde_json::from_str(include_str!("../../docs/schema/status.json")).unwrap();
    for engine in ["nftables", "iptables"] {
        let fixture = CliFixture::new(&format!("status-schema-{engine}"));
        for (script, code) in [("true", 7), (&*format!("dockfw apply --backend {engine} >/dev/null"), 0)] {
            let script = format!("{OUTSIDE}\n{script}\ndockfw status --json");
            let report = fixture.script(&script).exits(code).json();
            assert_eq!(faults(&schema, &report), [""; 0], "{report:#}");
            let found = listening(&report);
            assert!(!found.is_empty(), "{report:#}");
            let who = if code == 7 { "everyone" } else { "trusted" };
            assert_eq!(found[0]["reach"][0]["admitted"][0]["who"], who, "{report:#}");
        }
    }
}

/// Whatever is wrong with the file, an operator has to see first what protects the host now.
#[test]
#[ignore = "needs root"]
fn a_mistake_in_the_file_does_not_hide_what_is_in_force() {
    let schema = serde_json::from_str(include_str!("../../docs/schema/status.json")).unwrap();
    let report = |fixture: &CliFixture, before: &str| {
        let script = format!("{OUTSIDE}\n{{ {before}; }} >&2\necho '[' >dockfw.toml\ndockfw status --json");
        let done = fixture.script(&script);
        let report = done.exits(2).says("dockfw.toml:1:1").says("is not valid").json();
        assert_eq!(faults(&schema, &report), [""; 0], "{report:#}");
        assert_eq!((&report["valid"], &report["in_force"]), (&false.into(), &false.into()), "{report:#}");
        report
    };
    for engine in ["nftables", "iptables"] {
        let fixture = CliFixture::new(&format!("status-mistake-{engine}"));
        let found = report(&fixture, &format!("dockfw apply --backend {engine}"));
        assert_eq!(found["engine"], engine);
        assert_eq!(found["recorded"]["in_force"], true, "{found:#}");
        assert!(found["since"].is_u64() && found["recorded"]["applied_at"].is_u64(), "{found:#}");
        assert_eq!(listening(&found)[0]["reach"][0]["admitted"][0]["who"], "trusted", "{found:#}");
    }
    let fixture = CliFixture::new("status-mistake-changed");
    let found = report(&fixture, "dockfw apply; nft flush chain inet dockfw input");
    assert_eq!(found["recorded"]["in_force"], false, "{found:#}");
    assert!(!found["differences"].as_array().unwrap().is_empty(), "{found:#}");
    let fixture = CliFixture::new("status-mistake-unrecorded");
    let found = report(&fixture, "dockfw apply; rm -r /var/lib/dockfw");
    assert_eq!((&found["engine"], &found["recorded"]), (&"nftables".into(), &Value::Null), "{found:#}");
    let fixture = CliFixture::new("status-mistake-first");
    assert_eq!(report(&fixture, "true")["engine"], Value::Null);
}

#[test]
#[ignore = "needs root"]
fn a_mistake_on_trial_does_not_hide_the_trial() {
    let host = Host::with_two_policies("status-mistake-trial");
    host.script("dockfw apply --confirm 1h --detach; echo '[' >dockfw.toml").exits(0);
    let status = host.script("dockfw status");
    status.exits(2).prints("on trial, ").prints("the policy file is different").says("dockfw.toml:1:1");
    host.script("dockfw diff").exits(2).says("in force (nftables)").says("dockfw.toml:1:1");
    assert_eq!(host.in_force(), ["444"]);
}

#[test]
#[ignore = "needs root"]
fn a_reader_who_has_heard_enough_is_no_error() {
    let fixture = CliFixture::new("status-pipe");
    // A pipe that nobody reads from any more.
    let script = "dockfw apply >/dev/null; mkfifo pipe; exec 4<>pipe 5>pipe 4<&-; dockfw status >&5";
    assert_eq!(fixture.script(script).exits(0).stderr, "");
}

#[test]
#[ignore = "needs root"]
fn it_is_watched_on_a_terminal_until_the_operator_has_seen_enough() {
    let host = Host::raise("status-watch");
    let mut watching = host.waiter_on_terminal("status --watch");
    watching.wait_for_talk("no policy is in force: dockfw filters nothing");
    host.script("dockfw apply").exits(0);
    watching.wait_for_talk("in force (nftables) since");
    // With the second look.
    watching.wait_for_talk("packets/s");
    watching.press("\x03");
    watching.ends(0);
}

#[test]
#[ignore = "needs root"]
fn what_ends_watching_leaves_the_code_of_the_last_look() {
    let host = Host::raise("status-watch-code");
    let mut watching = host.waiter_on_terminal("status --watch");
    watching.wait_for_talk("no policy is in force");
    host.script("kill -TERM $(cat waiter)").exits(0);
    watching.ends(7);
}

#[test]
#[ignore = "needs root"]
fn without_a_terminal_there_is_nothing_to_watch() {
    let fixture = CliFixture::new("status-watch-pipe");
    fixture.script("dockfw status --watch").exits(2).is_silent().says("`--watch` needs a terminal");
    fixture.script("dockfw status --watch --json").exits(2).is_silent().says("cannot be used with");
}

/// A port that a rule of somebody's leads to another machine is listed, with who gets there.
#[test]
#[ignore = "needs root"]
fn what_others_translate_is_listed() {
    let fixture = CliFixture::new("status-translated");
    fixture.write("dockfw.toml", "trusted = [\"192.0.2.10\"]\n[interfaces]\nexempt = [\"wg0\"]\n");
    let rules =
        "ip address add 192.0.2.1/24 dev eth0; ip link add wg0 type veth peer name far2; ip link set wg0 up
        iptables -t nat -A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 192.0.2.77:22
        iptables -t nat -A PREROUTING -i wg0 -p udp --dport 53 -j DNAT --to-destination 192.0.2.78
        iptables -t nat -A PREROUTING -d 198.51.100.1 -j DNAT --to-destination 192.0.2.79
        dockfw apply >/dev/null";
    let script = format!("{OUTSIDE}\n{rules}\ndockfw status --json");
    let report = fixture.script(&script).exits(0).json();
    let at = |port: &str| -> Vec<&Value> {
        report["exposed"].as_array().unwrap().iter().filter(|one| one["port"] == port).collect()
    };
    let [ssh] = at("2222/tcp")[..] else { panic!("{report:#}") };
    assert_eq!(
        (&ssh["kind"], &ssh["answers"]["address"]),
        (&"translated".into(), &"192.0.2.77".into()),
        "{ssh:#}"
    );
    assert_eq!(ssh["answers"]["container_port"], 22);
    let by = |one: &Value, name: &str| -> Value {
        let reach = one["reach"].as_array().unwrap();
        let at = reach.iter().find(|reach| reach["interfaces"].as_array().unwrap().contains(&name.into()));
        at.unwrap()["admitted"][0]["who"].clone()
    };
    assert_eq!([by(ssh, "eth0"), by(ssh, "wg0")], [Value::from("trusted"), Value::from("everyone")]);
    assert_eq!(at("53/udp").len(), 1, "by wg0 alone, but listed");
    assert_eq!(at("53/tcp").len(), 0);
    let unknown = report["unknown"].as_array().unwrap();
    assert!(unknown.iter().any(|one| one.as_str().unwrap().contains("198.51.100.1/32")), "{unknown:#?}");
}

/// Rules that are there and can't be read are unknown, and not none.
#[test]
#[ignore = "needs root"]
fn rules_that_can_not_be_read_are_unknown() {
    let fixture = CliFixture::new("status-unreadable");
    let damage = "iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.77
        mount --bind /bin/false $(readlink -f $(command -v iptables-legacy-save))";
    let script = format!("{OUTSIDE}\ndockfw apply >/dev/null\n{damage}\ndockfw status --strict --json");
    let report = fixture.script(&script).exits(7).json();
    let unknown = report["unknown"].as_array().unwrap();
    assert!(unknown.iter().any(|one| one.as_str().unwrap().contains("iptables-legacy")), "{unknown:#?}");
}

/// While a helper of connection tracking expects a connection, what is in force stays so. The helpers are built into this kernel, or
/// loaded for the rule.
#[test]
#[ignore = "needs root"]
fn an_expected_connection_changes_nothing() {
    let fixture = CliFixture::new("status-expectation");
    let helper = "iptables -t raw -A OUTPUT -p tcp --dport 21 -j CT --helper ftp; ip link set lo up
        dockfw apply >/dev/null; dockfw status >/dev/null";
    // A greeting, and behind it an answer to PASV, on which the client's side expects a connection to port 51210.
    let session = "mkfifo server client; exec 7<>server 8<>client
        busybox nc -l -p 21 <server >/dev/null & listener=$!
        timeout 10 sh -c \"until grep -q ':0015 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done\"
        busybox nc 127.0.0.1 21 <client >heard & caller=$!
        trap 'kill $listener $caller' EXIT
        printf '220 ready\\r\\n' >&7
        timeout 10 sh -c 'until grep -q 220 heard; do :; done'
        printf '227 Entering Passive Mode (127,0,0,1,200,10)\\r\\n' >&7
        timeout 10 sh -c 'until grep -q . /proc/net/nf_conntrack_expect; do :; done'";
    fixture.script(&format!("{helper}\n{session}\ndockfw status")).exits(0);
    let fixture = CliFixture::new("status-expectation-gone");
    fixture.script(&format!("{helper}\n{session}\ndockfw apply >/dev/null; conntrack -F expect; conntrack -F 2>/dev/null\ndockfw diff")).exits(0);
}

/// In front of Docker's socket as systemd holds it until Docker is asked for. Both are known by their processes' names.
#[test]
#[ignore = "needs root"]
fn a_question_does_not_have_systemd_start_docker() {
    let host = Host::raise("activation");
    let docker = UnixListener::bind(host.fixture.0.join("docker.sock")).unwrap();
    docker.set_nonblocking(true).unwrap();
    host.script("ln -s \"$PWD/docker.sock\" /run/docker.sock; cp $(command -v sh) systemd; cp $(command -v sleep) dockerd")
        .exits(0);
    let status = |before: &str| {
        let script = format!("{before} \"$DOCKFW\" --config dockfw.toml status; true");
        Running::start(
            &mut host.command(&format!("unshare --pid --fork --mount-proc ./systemd -c '{script}'")),
        )
    };
    status("").ends(0);
    assert!(docker.accept().is_err(), "systemd would have started Docker");
    let asking = status("./dockerd infinity & until grep -qx dockerd /proc/[0-9]*/comm; do :; done;");
    drop(wait_until(DEADLINE, "for Docker to be asked", || docker.accept().ok()).unwrap());
    drop(docker);
    asking.ends(0);
}
