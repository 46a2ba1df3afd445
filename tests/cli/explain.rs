//! `dockfw explain`

use serde_json::Value;

use crate::fixture::{CliFixture, Done};
use crate::schema;

/// A host with one interface to the outside, 192.0.2.1 and 2001:db8:1::1, and with a way on to 10.9.0.0/16.
const HOST: &str = r#"
ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set peer0 up
ip address add 192.0.2.1/24 dev eth0
ip address add 2001:db8:1::1/64 dev eth0 nodad
ip link set eth0 up
ip route add 10.9.0.0/16 via 192.0.2.254
"#;

const POLICY: &str = r#"
trusted = ["192.0.2.8/29", "2001:db8:1::10"]
blocked = ["192.0.2.40"]

[[allow]]
name  = "web"
ports = ["80/tcp", "443/tcp"]

[[allow]]
name  = "db"
from  = ["192.0.2.30"]
ports = ["5432/tcp"]
"#;

/// Explains on that host.
fn explain(fixture: &CliFixture, before: &str, arguments: &str) -> Done {
    fixture.write("dockfw.toml", POLICY);
    fixture.script(&format!("{HOST}\n{before}\nunchanged dockfw explain {arguments}"))
}

fn json(fixture: &CliFixture, before: &str, arguments: &str) -> Value {
    described(explain(fixture, before, &format!("{arguments} --json")).exits(0))
}

/// What was written as JSON, of which every key is in the schema.
fn described(done: &Done) -> Value {
    let explained = done.json();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/explain.json"));
    let schema: Value = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(schema::faults(&schema, &explained), [""; 0], "{explained:#}");
    explained
}

/// The verdict, and the last hook's rule.
fn decision(explained: &Value) -> (&str, &str, Option<&str>) {
    let last = explained["hooks"].as_array().unwrap().last().unwrap();
    let text = |value: &'static str| last[value].as_str().unwrap();
    (
        explained["verdict"].as_str().unwrap(),
        text("hook"),
        last.pointer("/rule/origin/what").and_then(Value::as_str),
    )
}

#[test]
#[ignore = "needs root"]
fn the_rule_that_decides_is_named_with_its_place_and_its_reason() {
    let fixture = CliFixture::new("explain-rule");
    let opened = explain(&fixture, "", "--from 192.0.2.20 --port 443/tcp");
    opened.exits(0).prints("443/tcp at 192.0.2.1 from 192.0.2.20, in eth0, to this host itself");
    opened.prints("input      pass  rule `web` at dockfw.toml:5");
    opened.prints("because the dialled port is one of 80/tcp, 443/tcp").prints("verdict    pass");
    let trusted = explain(&fixture, "", "--from 192.0.2.9 --port 22/udp").exits(0).stdout.clone();
    assert!(trusted.contains("the source is in 192.0.2.8/29, which `trusted` lists"), "{trusted}");
    let dropped = explain(&fixture, "", "--from 192.0.2.20 --port 22/udp");
    dropped.exits(0).prints("tracked    drop  early drop of the rest").prints("verdict    drop");
}

#[test]
#[ignore = "needs root"]
fn each_verdict_is_told_in_json_as_described() {
    let fixture = CliFixture::new("explain-json");
    for (arguments, expected) in [
        ("--from 192.0.2.20 --port 80/tcp", ("pass", "input", Some("allow 'web'"))),
        ("--from 192.0.2.30 --port 5432/tcp", ("pass", "input", Some("allow 'db'"))),
        ("--from 192.0.2.20 --port 5432/tcp", ("drop", "prerouting", Some("early drop of TCP SYNs"))),
        (
            "--from 192.0.2.20 --port 5432/tcp --backend iptables",
            ("drop", "tracked", Some("early drop of the rest")),
        ),
        ("--from 192.0.2.20 --port 5432/udp", ("drop", "tracked", Some("early drop of the rest"))),
        ("--from 192.0.2.40 --port 80/tcp", ("drop", "prerouting", Some("blocked"))),
        ("--from 2001:db8:1::10 --port 53/udp", ("pass", "input", Some("trusted"))),
        ("--from 2001:db8:1::20 --port 53/udp", ("drop", "tracked", Some("early drop of the rest"))),
        ("--from 2001:db8:1::20 --port ip/58", ("pass", "input", Some("ping"))),
        ("--from 192.0.2.20 --port 80/tcp --to 10.9.0.1", ("drop", "forward", Some("the rest"))),
        ("--from 192.0.2.1 --port 22/tcp", ("pass", "input", Some("loopback"))),
        ("--from 192.0.2.1 --in eth0 --port 80/tcp", ("drop", "prerouting", Some("impossible address"))),
        ("--from fe80::9 --in eth0 --to 2001:db8:1::1 --port 80/tcp", ("pass", "input", Some("allow 'web'"))),
    ] {
        let explained = json(&fixture, "", arguments);
        assert_eq!(decision(&explained), expected, "{arguments}: {explained:#}");
    }
}

#[test]
#[ignore = "needs root"]
fn before_an_apply_both_verdicts_are_told_in_json() {
    let fixture = CliFixture::new("explain-now");
    let asked = "--from 192.0.2.20 --port 5432/tcp";
    let first = json(&fixture, "", asked);
    assert_eq!((&first["verdict"], &first["now"]["verdict"]), (&"drop".into(), &"pass".into()));
    assert_eq!(first["now"]["reason"], "no policy is in force");
    assert_eq!(first["now"]["engine"], Value::Null);
    assert_eq!(first["reason"], "no rule opens 5432/tcp to 192.0.2.20");
    assert_eq!(json(&fixture, "dockfw apply >/dev/null", asked)["now"], Value::Null);
    for engine in ["nftables", "iptables"] {
        let other = format!(
            "sed -i s/192.0.2.30/192.0.2.20/ dockfw.toml; dockfw apply --backend {engine} >/dev/null
             sed -i s/192.0.2.20/192.0.2.30/ dockfw.toml"
        );
        let over = json(&fixture, &other, asked);
        assert_eq!((&over["verdict"], &over["now"]["verdict"]), (&"drop".into(), &"pass".into()), "{over:#}");
        assert_eq!(over["now"]["engine"], engine);
        let reason = over["now"]["reason"].as_str().unwrap();
        assert!(reason.starts_with("rule `db` opens 5432/tcp to 192.0.2.20 ("), "{reason}");
        assert!(reason.ends_with("dockfw.toml:9)"), "{reason}");
    }
    let changed = "dockfw apply --backend nftables >/dev/null; nft add rule inet dockfw input accept";
    let unknown = explain(&fixture, changed, &format!("{asked} --json"));
    unknown.exits(0).says("unknown what happens now: another program changed the rules in force");
    assert_eq!(unknown.json()["now"], Value::Null);
}

#[test]
#[ignore = "needs root"]
fn with_a_mistake_in_the_file_the_policy_in_force_answers() {
    let fixture = CliFixture::new("explain-mistake");
    for engine in ["nftables", "iptables"] {
        let wrong = format!("dockfw apply --backend {engine} >/dev/null; echo '[' >dockfw.toml");
        for (asked, verdict) in [("443/tcp", "pass"), ("22/tcp", "drop")] {
            let done = explain(&fixture, &wrong, &format!("--from 192.0.2.20 --port {asked} --json"));
            let explained = described(
                done.exits(2).says("dockfw.toml:1:1").says("the policy of dockfw.toml is not valid"),
            );
            assert_eq!((&explained["valid"], &explained["in_force"]), (&false.into(), &true.into()));
            assert_eq!((&explained["verdict"], &explained["engine"]), (&verdict.into(), &engine.into()));
        }
        let unclear = explain(&fixture, &wrong, "--from nobody --port 22/tcp");
        unclear
            .exits(2)
            .is_silent()
            .says("`nobody` is not an address")
            .says("the policy of dockfw.toml is not valid");
    }
    assert_eq!(json(&fixture, "", "--from 192.0.2.20 --port 443/tcp")["valid"], true);
}

#[test]
#[ignore = "needs root"]
fn what_listens_is_told_and_whether_the_policy_is_in_force() {
    let fixture = CliFixture::new("explain-target");
    let nothing = json(&fixture, "", "--from 192.0.2.20 --port 80/tcp");
    assert_eq!((&nothing["target"]["kind"], &nothing["in_force"]), (&"nothing".into(), &false.into()));
    let listen = r#"busybox nc -l -p 80 & trap "kill $!" EXIT
        timeout 10 sh -c "until grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done"
        dockfw apply >/dev/null"#;
    let process = json(&fixture, listen, "--from 192.0.2.20 --port 80/tcp");
    assert_eq!((&process["target"]["kind"], &process["in_force"]), (&"process".into(), &true.into()));
    assert_eq!(process["target"]["process"], "busybox");
    let elsewhere = json(&fixture, "", "--from 192.0.2.20 --port 80/tcp --to 10.9.0.1");
    assert_eq!(
        (&elsewhere["target"]["kind"], &elsewhere["packet"]["out"]),
        (&"elsewhere".into(), &"eth0".into())
    );
}

#[test]
#[ignore = "needs root"]
fn a_forwarding_policy_of_drop_is_told() {
    let fixture = CliFixture::new("explain-forward");
    let arguments = "--from 192.0.2.9 --port 80/tcp --to 10.9.0.1";
    let open = json(&fixture, "iptables -P FORWARD ACCEPT", arguments);
    assert_eq!((&open["verdict"], &open["others"]), (&"pass".into(), &Value::Array(vec![])));
    let closed = json(&fixture, "iptables -P FORWARD DROP", arguments);
    assert_eq!((&closed["verdict"], &closed["others"][0]["is_certain"]), (&"pass".into(), &true.into()));
    let accepted = "iptables -P FORWARD DROP; iptables -A FORWARD -s 192.0.2.8/29 -j ACCEPT";
    assert_eq!(json(&fixture, accepted, arguments)["others"], Value::Array(vec![]));
    let perhaps = "iptables -P FORWARD DROP; iptables -A FORWARD -m limit --limit 1/sec -j ACCEPT";
    assert_eq!(json(&fixture, perhaps, arguments)["others"][0]["is_certain"], false);
}

/// Of iptables in both variants, and of nftables, which is read from the kernel: the program nft is not needed.
#[test]
#[ignore = "needs root"]
fn translations_of_others_are_followed_whoever_made_them() {
    let fixture = CliFixture::new("explain-translated");
    for rule in [
        "iptables-nft -t nat -A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 10.9.0.1:22",
        "iptables-legacy -t nat -A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 10.9.0.1:22",
        "nft 'table ip operator { chain pre { type nat hook prerouting priority dstnat; tcp dport 2222 dnat to 10.9.0.1:22
         }
         }'; mount --bind /bin/false $(command -v nft)",
    ] {
        let ask = |arguments: &str| {
            fixture.write("dockfw.toml", POLICY);
            let script = format!("{HOST}\n{rule}\ndockfw explain --json {arguments}");
            fixture.script(&script).exits(0).json()
        };
        let trusted = ask("--from 192.0.2.9 --port 2222/tcp");
        let way = &trusted["ways"][0];
        assert_eq!((&trusted["verdict"], &way["to"]), (&"pass".into(), &"10.9.0.1:22".into()), "{rule}: {trusted:#}");
        assert_eq!((&trusted["target"]["kind"], &trusted["packet"]["out"]), (&"translated".into(), &"eth0".into()));
        let stranger = ask("--from 192.0.2.20 --port 2222/tcp");
        let hooks: Vec<_> = stranger["hooks"].as_array().unwrap().iter().map(|hook| &hook["hook"]).collect();
        assert_eq!((&stranger["verdict"], hooks.len()), (&"drop".into(), 1), "{stranger:#}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_redirect_leads_to_another_process_of_the_host() {
    let fixture = CliFixture::new("explain-redirect");
    let redirect = "iptables -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080
        busybox nc -l -p 8080 & trap \"kill $!\" EXIT
        timeout 10 sh -c \"until grep -q ':1F90 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done\"";
    let led = json(&fixture, redirect, "--from 192.0.2.20 --port 80/tcp");
    assert_eq!((&led["verdict"], &led["target"]["process"]), (&"pass".into(), &"busybox".into()), "{led:#}");
    let other = json(&fixture, redirect, "--from 192.0.2.20 --port 8080/tcp");
    assert_eq!(other["verdict"], "drop", "by the number that is dialled");
}

#[test]
#[ignore = "needs root"]
fn what_can_not_be_is_refused_with_advice() {
    let fixture = CliFixture::new("explain-wrong");
    for (arguments, advice) in [
        ("--from 192.0.2.20 --port 8080", "write \"8080/tcp\", \"8080/udp\", or both"),
        ("--from 192.0.2.20 --port 80-81/tcp", "this is more than one port"),
        ("--from 192.0.2.20 --port 70000/tcp", "from 1 to 65535"),
        ("--from 192.0.2.0/24 --port 80/tcp", "this is more than one address"),
        ("--from 192.0.2.7/24 --port 80/tcp", "host bits"),
        ("--from ::ffff:192.0.2.7 --port 80/tcp", "write \"192.0.2.7\""),
        ("--from 0.0.0.0 --port 80/tcp", "no single machine"),
        (
            "--from nobody --port 80/tcp",
            "`nobody` is not an address, and no list of the policy and no container has this name",
        ),
        ("--from 192.0.2.20 --to 2001:db8:1::1 --port 80/tcp", "the other an IPv6 address"),
        ("--from 192.0.2.20 --in eth7 --port 80/tcp", "no interface `eth7`"),
        ("--from 203.0.113.9 --port 80/tcp", "--in INTERFACE"),
        ("--from fe80::9 --port 80/tcp", "link-local"),
        ("--from 192.0.2.20 --to 198.51.100.1 --port 80/tcp", "no route to 198.51.100.1"),
    ] {
        explain(&fixture, "", arguments).exits(2).is_silent().says(advice);
    }
}
