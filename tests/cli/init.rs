//! `init`: the policy that it writes is one that `check` and `apply` accept on the host, and it overwrites nothing that
//! somebody wrote. Verbs that people guess.

use std::fs;

use crate::fixture::{CliFixture, GOOD};
use crate::host::Host;

/// The policy file of the packages.
const SAMPLE: &str = include_str!("../../packaging/dockfw.toml");

/// An interface of the outside, guests, a VPN, and a process that listens.
const HOST: &str = "ip link add eth0 type veth peer name far; ip link set eth0 up
    ip address add 198.51.100.1/24 dev eth0; ip route add default dev eth0
    ip link add virbr0 up type bridge; ip address add 192.168.122.1/24 dev virbr0
    ip tuntap add tun0 mode tun; ip link set tun0 up
    busybox nc -l -p 9000 >/dev/null 2>&1 </dev/null &
    listener=$!; trap 'kill $listener' EXIT
    timeout 20 sh -c 'until ss -ltn | grep -q :9000; do :; done'";

#[test]
#[ignore = "needs root"]
fn what_it_writes_is_accepted_as_it_is_and_with_a_line_uncommented() {
    let fixture = CliFixture::new("init");
    let script = format!(
        "{HOST}
        rm dockfw.toml
        unchanged_all dockfw init
        test $(stat -c %a dockfw.toml) = 600
        grep -q '# \"9000/tcp\", .*# busybox' dockfw.toml
        dockfw check
        sed -i 's/# \"9000/\"9000/' dockfw.toml
        dockfw check
        dockfw apply
        dockfw status"
    );
    let done = fixture.script(&script);
    done.exits(0).prints("dockfw.toml: valid").says("wrote dockfw.toml");
    let exposed = done.stdout.lines().find(|line| line.contains("9000/tcp"));
    assert!(exposed.is_some_and(|line| line.contains("everyone")), "{done}");
    assert!(!done.stderr.contains("warning") && !done.stderr.contains("error"), "{done}");
}

/// The operator is connected from the neighbour: SSH_CONNECTION names a connection that is up.
#[test]
#[ignore = "needs root"]
fn the_operators_address_is_trusted() {
    let host = Host::raise("init-operator");
    let connected = "mkfifo pipe; exec 7<>pipe; busybox nc -l -p 9000 >/dev/null 2>&1 <pipe &
        listener=$!
        timeout 20 sh -c 'until ss -ltn | grep -q :9000; do :; done'
        nsenter --net=/proc/$(cat /run/neighbour)/ns/net \\
            bash -c 'exec 8<>/dev/tcp/198.51.100.1/9000; exec sleep infinity' &
        trap \"kill $listener $!\" EXIT
        timeout 20 sh -c 'until ss -Htn | grep -q \"198.51.100.2]*:\"; do :; done'
        port=$(ss -Htn | sed -n 's/.*198.51.100.2]*:\\([0-9]*\\).*/\\1/p')";
    let asked = "SSH_CONNECTION=\"198.51.100.2 $port 198.51.100.1 9000\"; export SSH_CONNECTION
        dockfw init --print";
    let done = host.script(&format!("{connected}\n{asked}"));
    let lines: Vec<_> = done.exits(0).stdout.lines().map(str::trim).collect();
    assert!(lines.iter().any(|line| line.starts_with("\"198.51.100.2\",")), "{done}");
}

#[test]
#[ignore = "needs root"]
fn the_packages_file_is_replaced_and_nobody_elses() {
    let fixture = CliFixture::new("init-over");
    fixture.write("dockfw.toml", SAMPLE);
    fixture.script("dockfw init; dockfw check").exits(0);
    let first = fs::read_to_string(fixture.0.join("dockfw.toml")).unwrap();
    assert!(first.contains("name  = \"public\""), "{first}");
    fixture.script("dockfw init").exits(1).is_silent().says("to begin anew, move the file away first");
    assert_eq!(fs::read_to_string(fixture.0.join("dockfw.toml")).unwrap(), first);
    for (content, what) in [(GOOD, "a policy"), ("", "an empty file"), (&*format!("{SAMPLE}\n"), "an edit")] {
        fixture.write("dockfw.toml", content);
        fixture.script("dockfw init").exits(1).is_silent();
        assert_eq!(fs::read_to_string(fixture.0.join("dockfw.toml")).unwrap(), content, "{what}");
    }
    fixture.write("sample.toml", SAMPLE);
    fixture.script("ln -sf sample.toml dockfw.toml; dockfw init").exits(1).is_silent();
    assert_eq!(fs::read_to_string(fixture.0.join("sample.toml")).unwrap(), SAMPLE, "behind a link");
    let names: Vec<_> = fs::read_dir(&fixture.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
#[ignore = "needs root"]
fn what_it_prints_is_what_it_would_write() {
    let fixture = CliFixture::new("init-print");
    let script =
        format!("{HOST}\ndockfw init --print >printed; rm dockfw.toml; dockfw init; cmp printed dockfw.toml");
    fixture.script(&script).exits(0);
    assert!(fs::read_to_string(fixture.0.join("printed")).unwrap().contains("[[allow]]"));
}

#[test]
#[ignore = "needs root"]
fn files_of_conf_d_that_do_not_fit_keep_it_from_writing() {
    let fixture = CliFixture::new("init-conf.d");
    fixture.write("conf.d/public.toml", GOOD.replace("web", "public"));
    fixture.script("rm dockfw.toml; dockfw init").exits(2).is_silent().says("two rules are called");
    assert!(!fixture.0.join("dockfw.toml").exists());
    fixture.write("conf.d/public.toml", GOOD);
    fixture.script("dockfw init; dockfw check").exits(0);
}

#[test]
fn guessed_verbs_are_in_no_help_and_no_completion() {
    let fixture = CliFixture::new("guesses");
    for arguments in
        [&["--help"][..], &["completions", "bash"], &["completions", "zsh"], &["completions", "fish"]]
    {
        let done = fixture.dockfw(arguments);
        let words: Vec<_> = done.exits(0).stdout.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        assert!(words.contains(&"rollback"), "{done}");
        for guess in ["deny", "reload", "trust", "restart"] {
            assert!(!words.contains(&guess), "{guess}: {done}");
        }
    }
    fixture.dockfw(&["reload"]).exits(2).is_silent().says("dockfw apply");
}
