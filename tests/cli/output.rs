//! Where nobody reads what dockfw writes: a closed pipe is no error, a full disk is one, and no verb ends by a panic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::fixture::{CliFixture, Done};

/// What needs no privileges.
const HARMLESS: [&str; 8] = [
    "check",
    "completions bash",
    "man",
    "man dockfw.toml",
    "show",
    "show --format iptables",
    "show --format json",
    "--help",
];

/// What is asked while a policy is in force.
const VERBS: [&str; 19] = [
    "apply",
    "apply --dry-run",
    "apply --confirm 10s --detach",
    "boot",
    "check",
    "confirm",
    "diff",
    "diff --json",
    "explain --from 192.0.2.10 --in eth0 --to 198.51.100.1 --port 80/tcp",
    "explain --from 192.0.2.10 --in eth0 --to 198.51.100.1 --port 80/tcp --json",
    "import --json old.rules",
    "import old.rules",
    "init --print",
    "probe",
    "probe --json",
    "remove",
    "show",
    "status",
    "status --json",
];

/// What is written to descriptor 6, nobody reads any more.
const PIPE: &str = "rm -f pipe; mkfifo pipe; exec 5<>pipe; exec 6>pipe; exec 5>&-";

/// Whatever is said by a panic.
const PANIC: &str = "panicked";

fn scripted(verb: &str, redirection: &str) -> Done {
    // Two tests may ask for the same at once.
    static DESKS: AtomicUsize = AtomicUsize::new(0);
    let fixture = CliFixture::new(&format!("output-{}", DESKS.fetch_add(1, Ordering::Relaxed)));
    fixture.write("old.rules", include_str!("../old-layout/default.rules"));
    let address = "ip link add eth0 type veth peer name eth1; ip address add 198.51.100.1/24 dev eth0; ip link set eth0 up";
    let policy = "dockfw apply >/dev/null; sed -i s/443/444/ dockfw.toml";
    let policy = if verb.starts_with("apply") { policy } else { "dockfw apply >/dev/null" };
    fixture.script(&format!("{address}; {policy}; {PIPE}; dockfw {verb} {redirection}"))
}

fn for_each_verb(redirection: &str, expect: impl Fn(&str, &Done) + Sync) {
    let (expect, run) = (&expect, |verb| scripted(verb, redirection));
    for verbs in VERBS.chunks(6) {
        thread::scope(|scope| {
            for verb in verbs {
                scope.spawn(move || {
                    let done = run(verb);
                    assert!(done.code() != Some(101) && !done.stderr.contains(PANIC), "{done}");
                    expect(verb, &done);
                });
            }
        });
    }
}

/// What the verb exits with if all is read.
fn usual(verb: &str) -> i32 {
    scripted(verb, ">/dev/null").code().unwrap()
}

fn as_usual(verb: &str, done: &Done) {
    done.exits(usual(verb));
}

#[test]
#[ignore = "needs root"]
fn a_full_disk_is_an_error_of_every_verb() {
    for_each_verb(">/dev/full", |_, done| {
        done.exits(1).says("can't write to stdout: No space left on device");
    });
}

#[test]
#[ignore = "needs root"]
fn a_closed_pipe_is_no_error_of_any_verb() {
    for_each_verb(">&6", as_usual);
}

#[test]
#[ignore = "needs root"]
fn closed_streams_are_no_error_of_any_verb() {
    for_each_verb(">&-", as_usual);
    for_each_verb("2>&-", as_usual);
    for_each_verb(">&- 2>&- <&-", as_usual);
}

#[test]
#[ignore = "needs root"]
fn that_nobody_hears_what_is_said_is_no_error_of_any_verb() {
    for_each_verb("2>/dev/full", as_usual);
    for_each_verb("2>&6", as_usual);
}

/// A wrong command line, a policy that is wrong, and warnings.
#[test]
fn errors_that_nobody_hears_keep_their_exit_codes() {
    let fixture = CliFixture::new("unheard");
    fixture.write("bad.toml", "trused = []\n");
    for redirection in ["2>/dev/full", "2>&-", "2>&6", ">&- 2>&-"] {
        for arguments in ["", "aply", "check --config bad.toml", "show --config bad.toml"] {
            fixture.plain_script(&format!("{PIPE}; \"$DOCKFW\" {arguments} {redirection}")).exits(2);
        }
    }
}

#[test]
fn what_needs_no_privileges_is_written_or_fails() {
    for verb in HARMLESS {
        let fixture = CliFixture::new("harmless");
        let run = |redirection: &str| {
            fixture.plain_script(&format!("{PIPE}; \"$DOCKFW\" {verb} --config dockfw.toml {redirection}"))
        };
        run(">/dev/full").exits(1).says("can't write to stdout");
        for redirection in [">&-", ">&6", "2>/dev/full", "2>&6", "2>&-", ">&- 2>&-"] {
            run(redirection).exits(0);
        }
    }
}
