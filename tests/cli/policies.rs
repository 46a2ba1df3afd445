//! Policies and command lines that are wrong.

use std::fs;

use crate::fixture::{CliFixture, Done, is_root};

/// A policy that is wrong: its files, and parts of what must be said.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a [u8])], &'a [&'a str]);

/// Nothing is on stdout, but that `status` reports in any case what is in force, to whoever may read the kernel.
fn is_silent(verb: &str, done: &Done) {
    match verb {
        "check" => assert_eq!(done.stdout, "dockfw.toml: not valid\n", "{done}"),
        "status" if is_root() => {}
        _ => drop(done.is_silent()),
    }
}

fn rejects((test, files, parts): &Wrong<'_>) {
    let fixture = CliFixture::new(test);
    for (name, content) in *files {
        fixture.write(name, content);
    }
    for verb in ["check", "apply", "show", "status"] {
        let done = fixture.dockfw_unchanged(&[verb]);
        done.exits(2).says("the policy of ").says("is not valid");
        is_silent(verb, &done);
        assert!(done.stderr.len() < 4000, "{} bytes of talk\n{done}", done.stderr.len());
        for part in *parts {
            done.says(part);
        }
    }
}

#[test]
fn a_wrong_policy_is_refused_with_its_place() {
    let cases: [Wrong<'_>; 8] = [
        (
            "wrong-key",
            &[("dockfw.toml", b"trusted = []\ntrused = [\"192.0.2.1\"]\n")],
            &["unknown key `trused`", "dockfw.toml:2:1", "trused = [", "did you mean `trusted`?"],
        ),
        (
            "group",
            &[("dockfw.toml", b"trusted = [\"ofice\"]\n[groups]\noffice = [\"192.0.2.1\"]\n")],
            &["there is no group `ofice`", "dockfw.toml:1:12", "did you mean `office`?"],
        ),
        (
            "host-bits",
            &[("dockfw.toml", b"trusted = [\"192.0.2.7/24\"]\n")],
            &["host bits", "dockfw.toml:1:12", "\"192.0.2.0/24\" for the network"],
        ),
        (
            "list",
            &[("dockfw.toml", b"trusted = [\"file:lists/vpn.txt\"]\n")],
            &[
                "can't read lists/vpn.txt",
                "dockfw.toml:1:12",
                "paths start from the directory of the policy file",
            ],
        ),
        (
            "port",
            &[("dockfw.toml", b"[[allow]]\nname = \"web\"\nports = [\"70000/tcp\"]\n")],
            &["70000", "dockfw.toml:3:10", "65535"],
        ),
        (
            "scalars",
            &[
                ("conf.d/10-a.toml", b"[icmp]\necho = \"trusted\"\n"),
                ("conf.d/20-b.toml", b"[log]\ndrops = true\n[icmp]\necho = \"accept\"\n"),
            ],
            &["icmp.echo", "conf.d/10-a.toml:2:", "conf.d/20-b.toml:4:"],
        ),
        (
            "empty",
            &[("dockfw.toml", b"# nothing\n")],
            &["the policy is empty: nobody would reach this host", "dockfw.toml:1:1"],
        ),
        ("utf-8", &[("dockfw.toml", b"trusted = []\n# caf\xe9\n")], &["UTF-8", "dockfw.toml:2:6"]),
    ];
    cases.iter().for_each(rejects);
}

#[test]
fn a_line_of_ten_megabytes_is_not_shown_in_full() {
    let long = format!("blocked = [\"{}\"]\n", "x".repeat(10_000_000));
    rejects(&(
        "long-line",
        &[("dockfw.toml", long.as_bytes())],
        &["dockfw.toml:1:1", "this line has 10000014 bytes", "into a file of their own"],
    ));
}

#[test]
fn a_missing_policy_is_named() {
    let fixture = CliFixture::new("missing");
    fs::remove_file(fixture.0.join("dockfw.toml")).unwrap();
    for verb in ["check", "apply", "show", "status"] {
        let done = fixture.dockfw_unchanged(&[verb]);
        done.exits(2).says("there is no policy file dockfw.toml").says("add the option: --config FILE");
        is_silent(verb, &done);
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let fixture = CliFixture::new("several");
    fixture.write(
        "dockfw.toml",
        "trused = []\nblocked = [\"192.0.2.7/24\"]\n[[allow]]\nname = \"a\"\nports = [\"80\"]\n",
    );
    fixture.write("conf.d/more.toml", "[swarm]\ndata_path_port = 0\n");
    let done = fixture.dockfw_unchanged(&["apply"]);
    done.exits(2)
        .says("dockfw.toml:1:1")
        .says("dockfw.toml:2:12")
        .says("dockfw.toml:5:10")
        .says("more.toml:2:18");
}

#[test]
fn the_command_line_is_checked() {
    let fixture = CliFixture::new("usage");
    for (arguments, part) in [
        (&["aply"][..], "'apply'"),
        (&[], "Usage"),
        (&["apply", "--backend", "pf"], "possible values: auto, nftables, iptables"),
        (&["apply", "--exit-code"], "--dry-run"),
        (&["status", "--confg", "x"], "'--config'"),
    ] {
        fixture.dockfw_unchanged(arguments).exits(2).is_silent().says(part);
    }
}
