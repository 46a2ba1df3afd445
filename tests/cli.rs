//! The program as an operator uses it: what it says, how it exits, and that it changes nothing where it should not.
//!
//! Whatever touches the kernel runs in a network namespace of its own, with a `/run` of its own for the lock; what
//! needs root for that is skipped without it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use dockfw_lab::wait_until;
use serde_json::Value;

const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");

/// A policy in which nothing is wrong.
const GOOD: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]

[[allow]]
name  = "web"
ports = ["80/tcp", "443/tcp"]
"#;

/// Every script begins so. `dockfw` is the program with the policy of the test's directory; `unchanged` runs a command,
/// passes its exit code on, and fails where the ruleset is not byte for byte what it was;
/// `fails` runs one that must fail (`set -e` overlooks a `!`).
const PRELUDE: &str = r#"
mount -t tmpfs none /run
dockfw() { "$DOCKFW" --config dockfw.toml "$@"; }
unchanged() {
    nft list ruleset >before
    code=0
    "$@" || code=$?
    nft list ruleset >after
    cmp before after >&2
    return $code
}
fails() {
    if "$@" >&2; then
        echo "this should have failed: $*" >&2
        exit 9
    fi
}
"#;

/// A directory with a policy file, in which the program is run.
struct Desk(PathBuf);

impl Desk {
    /// A desk of the test's own, with the good policy on it.
    fn new(test: &str) -> Self {
        // Not in the build's directory: sockets need short paths.
        let directory = std::env::temp_dir().join(format!("dockfw-cli-{}-{test}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let desk = Self(directory);
        desk.write("dockfw.toml", GOOD);
        desk
    }

    /// A desk for a test that needs namespaces; says so where there are none to be had.
    fn with_namespaces(test: &str) -> Option<Self> {
        if !is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        Some(Self::new(test))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs the program as it is, outside of any namespace: for verbs that could not change anything.
    fn dockfw(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(DOCKFW);
        command.current_dir(&self.0).args(["--config", "dockfw.toml"]).args(arguments);
        Done::of(&mut command)
    }

    /// Runs a script in a network namespace of its own.
    fn script(&self, script: &str) -> Done {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-ec", &format!("{PRELUDE}\n{script}")]);
        Done::of(command.current_dir(&self.0).env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST"))
    }

    /// Runs the program over a good policy that is in force, and makes sure that it still is. Where namespaces are not
    /// to be had, the program is run all the same: there it has no rights to change anything.
    fn dockfw_unchanged(&self, arguments: &[&str]) -> Done {
        if !is_root() {
            return self.dockfw(arguments);
        }
        self.write("good/dockfw.toml", GOOD);
        let apply = "\"$DOCKFW\" apply --config good/dockfw.toml >/dev/null";
        self.script(&format!("{apply}\nunchanged dockfw {}", arguments.join(" ")))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command that has ended, and what is expected of it. Failures show all that it said.
struct Done {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { command: format!("{command:?}"), code: output.status.code(), stdout, stderr }
    }

    fn exits(&self, code: i32) -> &Self {
        assert!(self.code == Some(code), "exit code {:?} and not {code}\n{self}", self.code);
        self
    }

    fn prints(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part), "{part:?} is not on stdout\n{self}");
        self
    }

    fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "{part:?} is not on stderr\n{self}");
        self
    }

    fn is_silent(&self) -> &Self {
        assert!(self.stdout.is_empty(), "stdout is not empty\n{self}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, stdout, stderr, .. } = self;
        write!(f, "command: {command}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A policy that is wrong: its files, and parts of what must be said.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a [u8])], &'a [&'a str]);

fn rejects((test, files, parts): &Wrong<'_>) {
    let desk = Desk::new(test);
    for (name, content) in *files {
        desk.write(name, content);
    }
    for verb in ["check", "apply", "show", "status"] {
        let done = desk.dockfw_unchanged(&[verb]);
        done.exits(2).is_silent().says("the policy is wrong; nothing was changed");
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
            &["no key `trused`", "dockfw.toml:2:1", "trused = [", "did you mean `trusted`?"],
        ),
        (
            "group",
            &[("dockfw.toml", b"trusted = [\"ofice\"]\n[groups]\noffice = [\"192.0.2.1\"]\n")],
            &["no group is called `ofice`", "dockfw.toml:1:12", "did you mean `office`?"],
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
    let desk = Desk::new("missing");
    fs::remove_file(desk.0.join("dockfw.toml")).unwrap();
    for verb in ["check", "apply", "show", "status"] {
        let done = desk.dockfw_unchanged(&[verb]);
        done.exits(2).is_silent().says("can't read dockfw.toml").says("name another file with --config");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let desk = Desk::new("several");
    desk.write(
        "dockfw.toml",
        "trused = []\nblocked = [\"192.0.2.7/24\"]\n[[allow]]\nname = \"a\"\nports = [\"80\"]\n",
    );
    desk.write("conf.d/more.toml", "[swarm]\ndata_path_port = 0\n");
    let done = desk.dockfw_unchanged(&["apply"]);
    done.exits(2)
        .says("dockfw.toml:1:1")
        .says("dockfw.toml:2:12")
        .says("dockfw.toml:5:10")
        .says("more.toml:2:18");
}

#[test]
fn the_command_line_is_checked() {
    let desk = Desk::new("usage");
    for (arguments, part) in [
        (&["aply"][..], "'apply'"),
        (&[], "Usage"),
        (&["apply", "--backend", "pf"], "the engines are auto, nftables and iptables"),
        (&["apply", "--exit-code"], "--dry-run"),
        (&["status", "--confg", "x"], "'--config'"),
    ] {
        desk.dockfw_unchanged(arguments).exits(2).is_silent().says(part);
    }
}

/// Runs the program without the privileges that a firewall needs; whoever is not root has none to drop.
fn unprivileged(desk: &Desk, arguments: &[&str]) -> Done {
    let mut command = Command::new(if is_root() { "setpriv" } else { DOCKFW });
    if is_root() {
        command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", DOCKFW]);
    }
    Done::of(command.current_dir(&desk.0).args(["--config", "dockfw.toml"]).args(arguments))
}

#[test]
fn without_privileges_the_rules_can_be_shown_and_checked() {
    let desk = Desk::new("show");
    unprivileged(&desk, &["show"]).exits(0).prints("table inet dockfw").prints("192.0.2.10");
    let ruleset = unprivileged(&desk, &["show", "--format", "json"]).exits(0).json();
    assert!(ruleset.is_object(), "{ruleset}");
    unprivileged(&desk, &["check"]).exits(0).prints("dockfw.toml: valid");
}

#[test]
fn without_privileges_the_kernel_is_not_asked() {
    let desk = Desk::new("unprivileged");
    for verb in [&["apply"][..], &["apply", "--dry-run"], &["remove"], &["status"], &["status", "--json"]] {
        unprivileged(&desk, verb)
            .exits(4)
            .is_silent()
            .says("not permitted")
            .says("CAP_NET_ADMIN")
            .says("root");
    }
}

#[test]
fn without_privileges_nothing_is_changed() {
    let Some(desk) = Desk::with_namespaces("unprivileged-unchanged") else { return };
    let drop =
        "unchanged setpriv --bounding-set=-net_admin --inh-caps=-net_admin \"$DOCKFW\" --config dockfw.toml";
    for verb in ["apply --force", "remove"] {
        let script = format!(
            "dockfw apply >/dev/null\necho 'blocked = [\"203.0.113.1\"]' >dockfw.toml\n{drop} {verb}"
        );
        desk.script(&script).exits(4).is_silent().says("not permitted");
    }
}

#[test]
fn an_apply_of_what_is_in_force_changes_nothing() {
    let Some(desk) = Desk::with_namespaces("twice") else { return };
    desk.script("dockfw apply").exits(0).prints("add table inet dockfw").prints("in force (nftables)");
    let again = desk.script("dockfw apply >/dev/null; unchanged dockfw apply");
    again.exits(0).prints("in force already (nftables); nothing changed");
}

#[test]
fn an_apply_replaces_the_policy_and_remove_takes_it_out() {
    let Some(desk) = Desk::with_namespaces("remove") else { return };
    desk.script(
        "nft list ruleset >at-first
         dockfw apply
         sed -i 's/192.0.2.10/192.0.2.77/' dockfw.toml
         dockfw apply
         nft list ruleset | grep 192.0.2.77
         nft list ruleset >now
         fails grep 192.0.2.10 now
         dockfw remove
         nft list ruleset | cmp at-first -
         dockfw remove",
    )
    .exits(0)
    .prints("removed: dockfw filters nothing any more\nnothing of dockfw was there");
}

#[test]
fn the_tables_of_others_survive_apply_and_remove() {
    let Some(desk) = Desk::with_namespaces("others") else { return };
    desk.script(
        "nft add table inet mine
         nft add chain inet mine input '{ type filter hook input priority 0; }'
         nft add rule inet mine input tcp dport 12 drop
         nft list ruleset >at-first
         dockfw apply
         nft list table inet mine | cmp at-first -
         dockfw remove
         nft list ruleset | cmp at-first -",
    )
    .exits(0);
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let Some(desk) = Desk::with_namespaces("dry") else { return };
    desk.script("unchanged dockfw apply --dry-run; test ! -s after").exits(0);
    let codes = desk.script("unchanged dockfw apply --dry-run --exit-code");
    codes.exits(7);
    assert!(!codes.stdout.trim().is_empty(), "it does not say what would change\n{codes}");
    let after = "dockfw apply >/dev/null; unchanged dockfw apply --dry-run --exit-code";
    desk.script(after).exits(0).prints("in force already; nothing would change");
    let other = "dockfw apply >/dev/null; sed -i s/443/444/ dockfw.toml; unchanged dockfw apply --dry-run --exit-code";
    desk.script(other).exits(7);
}

/// What others may do to the table, and what `status` must notice.
const MEDDLING: [&str; 6] = [
    "nft insert rule inet dockfw input accept",
    "nft add rule inet dockfw input tcp dport 9000 accept",
    "nft delete element inet dockfw trusted_v4 '{ 192.0.2.10 }'",
    // One for another: a set of single addresses has room for its own only.
    "nft delete element inet dockfw trusted_v4 '{ 192.0.2.10 }'
     nft add element inet dockfw trusted_v4 '{ 203.0.113.9 }'",
    "nft flush chain inet dockfw forward",
    "nft delete table inet dockfw",
];

/// A set that was replaced is listed after the others: what counts is what there is, not its order.
#[test]
fn status_notices_what_was_changed_behind_its_back_and_apply_repairs_it() {
    let Some(desk) = Desk::with_namespaces("status") else { return };
    desk.script("unchanged dockfw status").exits(7).prints("not in force: nothing of dockfw is there");
    desk.script("dockfw apply >/dev/null; unchanged dockfw status").exits(0).prints("in force (nftables)");
    for meddling in MEDDLING {
        desk.script(&format!("dockfw apply >/dev/null; {meddling}; unchanged dockfw status")).exits(7);
        desk.script(&format!(
            "dockfw apply >/dev/null; nft list ruleset | sort >good; {meddling}
             dockfw apply
             nft list ruleset | sort | cmp good - >&2
             dockfw status"
        ))
        .exits(0);
    }
}

#[test]
fn status_notices_another_policy() {
    let Some(desk) = Desk::with_namespaces("other-policy") else { return };
    let done = desk.script("dockfw apply >/dev/null; sed -i s/443/444/ dockfw.toml; unchanged dockfw status");
    done.exits(7).prints("NOT as the policy says (nftables)");
}

#[test]
fn status_writes_json() {
    let Some(desk) = Desk::with_namespaces("json") else { return };
    let before = desk.script("dockfw status --json").exits(7).json();
    assert_eq!((&before["engine"], &before["in_force"]), (&Value::Null, &Value::Bool(false)));
    let after = desk.script("dockfw apply >/dev/null; dockfw status --json").exits(0).json();
    assert_eq!((&after["engine"], &after["in_force"]), (&Value::from("nftables"), &Value::Bool(true)));
    for list in ["differences", "counters", "sets"] {
        assert!(after[list].is_array(), "{list} in {after}");
    }
    let changed = desk
        .script(&format!("dockfw apply >/dev/null; {}; dockfw status --json", MEDDLING[0]))
        .exits(7)
        .json();
    assert_eq!((&changed["engine"], &changed["in_force"]), (&Value::from("nftables"), &Value::Bool(false)));
    assert_ne!(changed["differences"], Value::Array(Vec::new()));
}

#[test]
fn probe_changes_nothing_and_writes_json() {
    let Some(desk) = Desk::with_namespaces("probe") else { return };
    let found = desk.script("unchanged dockfw probe --json").exits(0).json();
    assert_eq!(found["engine"], "nftables");
    assert!(found["facts"]["nftables"].as_array().is_some_and(|list| !list.is_empty()), "{found}");
    desk.script("unchanged dockfw probe").exits(0).prints("engine: nftables, for ");
}

/// How long anything may take that waits for another process.
const DEADLINE: Duration = Duration::from_secs(20);

/// A script that is running, with all that it starts. Dropped, it is ended.
struct Running {
    script: Child,
    talk: Receiver<String>,
    said: String,
}

impl Running {
    fn start(desk: &Desk, script: &str) -> Self {
        let mut command = Command::new("unshare");
        // With a process namespace, so that what the script left in the background dies with it.
        command.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-ec"]);
        command.arg(format!("{PRELUDE}\n{script}")).current_dir(&desk.0);
        command.env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut script = command.spawn().unwrap();
        let lines = BufReader::new(script.stderr.take().unwrap()).lines();
        let (sender, talk) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { script, talk, said: String::new() }
    }

    /// Gives the script a line to `read`.
    fn tell(&mut self, line: &str) {
        writeln!(self.script.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line on stderr.
    fn wait_for_talk(&mut self, part: &str) {
        loop {
            let line = self.talk.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("{part:?} was not said ({error})\n{}", self.said));
            self.said += &format!("{line}\n");
            if line.contains(part) {
                return;
            }
        }
    }

    /// Waits for the end, which must be a good one.
    fn succeeds(mut self) {
        let status =
            wait_until(DEADLINE, "for the script to end", || self.script.try_wait().unwrap()).unwrap();
        let rest: String = self.talk.iter().map(|line| format!("{line}\n")).collect();
        assert!(status.success(), "{status}\n{}{rest}", self.said);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

const WAITING: &str = "waiting for another dockfw to finish";

#[test]
fn an_apply_waits_for_the_lock_and_says_so() {
    let Some(desk) = Desk::with_namespaces("lock") else { return };
    let mut running = Running::start(
        &desk,
        "mkdir /run/dockfw
         mkfifo held release
         flock /run/dockfw/lock sh -c 'echo >held; read -r _ <release' &
         read -r _ <held
         dockfw apply >/dev/null &
         apply=$!
         read -r go
         kill -0 $apply
         fails nft list table inet dockfw
         echo >release
         wait $apply
         nft list table inet dockfw >/dev/null",
    );
    running.wait_for_talk(WAITING);
    running.tell("go");
    running.succeeds();
}

/// The first apply stands still, with the lock, for as long as a Docker of the test's own does not answer it.
#[test]
fn of_two_applies_at_once_the_second_waits() {
    let Some(desk) = Desk::with_namespaces("two") else { return };
    desk.write("first/dockfw.toml", GOOD);
    desk.write("second/dockfw.toml", GOOD.replace("443", "444"));
    let docker = UnixListener::bind(desk.0.join("docker.sock")).unwrap();
    docker.set_nonblocking(true).unwrap();
    let mut running = Running::start(
        &desk,
        "dockfw() { \"$DOCKFW\" \"$1\" --config \"$2/dockfw.toml\"; }
         DOCKER_HOST=unix://docker.sock dockfw apply first >/dev/null &
         first=$!
         read -r go
         dockfw apply second >/dev/null &
         second=$!
         wait $first
         wait $second
         dockfw status second >/dev/null
         fails dockfw status first",
    );
    let asked = wait_until(DEADLINE, "for the first apply to ask Docker", || docker.accept().ok()).unwrap();
    running.tell("go");
    running.wait_for_talk(WAITING);
    drop(asked);
    running.succeeds();
}
