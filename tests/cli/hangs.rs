//! Programs, files and locks of others that hang, print without end or lie: dockfw says which, and goes on or fails closed.

use std::thread;
use std::time::Duration;

use dockfw_lab::wait_until;
use nix::libc;

use crate::fixture::{CliFixture, Done};
use crate::host::Host;
use crate::old_kernels::refuse;
use crate::running::Running;

/// All programs that dockfw runs.
const PROGRAMS: &str = "iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore
    iptables-nft-save iptables-nft-restore ip6tables-nft-save ip6tables-nft-restore
    iptables-legacy-save iptables-legacy-restore ip6tables-legacy-save ip6tables-legacy-restore
    ipset nft sshd systemctl";

const HANGS: &str = "exec sleep 1000";
const HANGS_SILENTLY: &str = "exec >&- 2>&-; exec sleep 1000";
const PRINTS_WITHOUT_END: &str = "exec yes";
const LIES: &str = "\"/usr/sbin/${0##*/}\" \"$@\"; exit 1";

/// `fake SCRIPT NAMES` puts such programs in front of the real ones; `limited` runs dockfw with them, for less than a minute.
const FAKES: &str = r#"
fake() {
    mkdir -p fakes
    for name in $2; do
        printf '#!/bin/sh\n%s\n' "$1" >fakes/$name
        chmod +x fakes/$name
    done
}
limited() { PATH=$PWD/fakes:$PATH timeout 55 "$DOCKFW" --config dockfw.toml "$@"; }
dockfw() { "$DOCKFW" --config dockfw.toml "$@"; }
some_rules() { nft list tables | grep dockfw || iptables-save | grep -e '-A FILTERS' || iptables-legacy-save | grep -e '-A FILTERS'; }
"#;

/// What an operator may ask for while a policy of the native engine is in force, and the exit code.
const VERBS: [(&str, i32); 15] = [
    ("apply", 0),
    ("apply --dry-run", 0),
    ("boot", 0),
    ("check", 0),
    ("confirm", 0),
    ("diff", 0),
    ("explain --from 192.0.2.10 --in eth0 --to 198.51.100.1 --port 80/tcp", 0),
    ("import --live", 1),
    ("init --print", 0),
    ("probe", 0),
    ("remove", 1),
    ("rollback", 1),
    ("show", 0),
    ("status", 0),
    ("status --strict", 7),
];

/// How `timeout` exits that had to end a command.
const TIMED_OUT: i32 = 124;

/// Those that run no program.
const ASKS_NOBODY: [&str; 2] = ["rollback", "show"];

fn scripted(fixture: &CliFixture, script: &str) -> Done {
    fixture.script(&format!("{FAKES}\n{script}"))
}

/// Runs each verb while all programs do this. What it complains of must be said.
fn every_verb_ends(test: &str, does: &str, complaint: &str) {
    let run = |(verb, code): (&str, i32)| {
        let fixture = CliFixture::new(&format!("{test}-{}", verb.replace([' ', '/'], "-")));
        let script = format!(
            "ip link add eth0 type veth peer name eth1; ip address add 198.51.100.1/24 dev eth0; ip link set eth0 up
             mkdir -p /run/systemd/system; dockfw apply >/dev/null; fake '{does}' '{PROGRAMS}'; limited {verb}"
        );
        let done = scripted(&fixture, &script);
        done.exits(code);
        if !ASKS_NOBODY.contains(&verb) && !complaint.is_empty() {
            done.says(complaint);
        }
    };
    thread::scope(|scope| {
        let runs = VERBS.map(|verb| scope.spawn(move || run(verb)));
        runs.into_iter().for_each(|run| run.join().unwrap());
    });
}

#[test]
#[ignore = "needs root"]
fn no_program_that_hangs_keeps_any_verb() {
    every_verb_ends("hang", HANGS, "it hung, and was ended after 10 s");
}

#[test]
#[ignore = "needs root"]
fn no_program_that_hangs_without_its_streams_keeps_any_verb() {
    every_verb_ends("hang-silently", HANGS_SILENTLY, "it hung, and was ended after 10 s");
}

#[test]
#[ignore = "needs root"]
fn no_program_that_prints_without_end_keeps_any_verb() {
    every_verb_ends("endless", PRINTS_WITHOUT_END, "it was ended after it had printed 64 MiB");
}

#[test]
#[ignore = "needs root"]
fn what_a_program_prints_that_fails_counts_for_nothing() {
    every_verb_ends("lie", LIES, "");
    let fixture = CliFixture::new("lie-about-compat");
    for (verb, complaint) in [
        ("apply --backend iptables", "iptables: dockfw does not understand the answer"),
        ("apply --backend nftables", "rules of iptables could not be removed"),
        ("remove", "iptables: dockfw does not understand the answer"),
        ("status", "iptables: dockfw does not understand the answer"),
    ] {
        let before = "dockfw apply --backend iptables >/dev/null";
        let script = format!("{before}; fake '{LIES}' '{PROGRAMS}'; limited {verb}");
        scripted(&fixture, &script).exits(1).is_silent().says(complaint);
    }
}

/// Whichever one hangs, and whichever engine is asked for, in less than a minute. What loads rules may take longer: then the fail-safe is
/// in force by then, and the boot goes on.
#[test]
#[ignore = "needs root"]
fn a_boot_ends_with_something_in_force_whichever_program_hangs() {
    let run = |backend: &str, name: &str| {
        let fixture = CliFixture::new(&format!("boot-hang-{backend}-{name}"));
        let script = format!(
            "echo '[engine]\nbackend = \"{backend}\"' >>dockfw.toml
             fake '{HANGS}' {name}
             limited boot || code=$?
             some_rules >&2
             exit ${{code:-0}}"
        );
        let done = scripted(&fixture, &script);
        let may_be_loading = (backend, name) == ("iptables", "iptables-restore");
        match done.code() {
            Some(0) => &done,
            Some(1) => done.says(&format!("fakes/{name}")),
            Some(TIMED_OUT) if may_be_loading => done.says("until then the fail-safe is in force"),
            _ => panic!("{done}"),
        };
    };
    let cases =
        ["auto", "iptables"].map(|backend| PROGRAMS.split_whitespace().map(move |name| (backend, name)));
    thread::scope(|scope| {
        let runs: Vec<_> = cases
            .into_iter()
            .flatten()
            .map(|(backend, name)| scope.spawn(move || run(backend, name)))
            .collect();
        runs.into_iter().for_each(|run| run.join().unwrap());
    });
}

/// The fail-safe has no sets.
#[test]
#[ignore = "needs root"]
fn without_nf_tables_a_boot_needs_no_ipset_for_the_fail_safe() {
    let fixture = CliFixture::new("boot-hang-compat-only");
    // nf_tables is sent its transactions by `sendmsg`; ipset and iptables-legacy do without.
    let boot = || {
        refuse(libc::EOPNOTSUPP, vec![(libc::SYS_sendmsg, vec![])]);
        scripted(
            &fixture,
            &format!(
                "fake '{HANGS}' ipset
                 for name in iptables iptables-save iptables-restore; do
                     ln -s /usr/sbin/iptables-legacy${{name#iptables}} fakes/$name
                     ln -s /usr/sbin/ip6tables-legacy${{name#iptables}} fakes/ip6${{name#ip}}
                 done
                 limited boot || test $? = 5
                 iptables-legacy-save -t mangle | grep -e '-A FILTERS .*--ctorigdstport 22 '"
            ),
        )
    };
    let done = thread::scope(|scope| scope.spawn(boot).join().unwrap());
    done.exits(0).says("ipset list -n: it hung").says("FAIL-SAFE");
}

/// Waits until the fail-safe is in force, which a boot has promised within a minute.
fn wait_for_fail_safe(host: &Host) {
    let look = || host.try_script("nft list table inet dockfw | grep -q \"allow 'ssh'\"");
    wait_until(Duration::from_secs(50), "for the fail-safe", look).unwrap();
}

/// The policy comes by a pipe, and the boot waits for it.
#[test]
#[ignore = "needs root"]
fn a_boot_that_takes_long_has_the_fail_safe_in_force_until_the_policy_is() {
    let host = Host::raise("stop-gap");
    host.script("mkfifo go policy");
    let mut boot = Running::start(
        &mut host.command("cat go dockfw.toml >policy & exec \"$DOCKFW\" boot --config /dev/stdin <policy"),
    );
    wait_for_fail_safe(&host);
    boot.wait_for_talk("until then the fail-safe is in force");
    host.script("echo >go");
    boot.ends(0);
    assert_eq!(host.in_force(), ["443"]);
}

/// Whoever has the lock may be at work; who comes after that puts the policy in force.
#[test]
#[ignore = "needs root"]
fn a_boot_that_waits_for_the_lock_has_the_fail_safe_in_force_and_the_policy_after_that() {
    let host = Host::raise("stop-gap-lock");
    host.script(
        "mkdir -m 700 /run/dockfw; mkfifo release; flock /run/dockfw/lock cat release >/dev/null 2>&1 &",
    );
    host.wait_for("! flock --nonblock /run/dockfw/lock true");
    let mut boot = Running::start(&mut host.waiter("boot"));
    boot.wait_for_talk("waiting for another dockfw to finish (flock, process ");
    wait_for_fail_safe(&host);
    host.script("echo >release");
    boot.ends(0);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn what_is_in_the_way_of_the_lock_keeps_nobody_and_a_boot_has_the_fail_safe_in_force() {
    let fixture = CliFixture::new("lock-pipe");
    scripted(&fixture, "mkdir -m 700 /run/dockfw; mkfifo /run/dockfw/lock; limited apply")
        .exits(1)
        .says("/run/dockfw/lock");
    let boot = "mkdir -m 700 /run/dockfw; mkfifo /run/dockfw/lock; limited boot || test $? = 1; some_rules";
    scripted(&fixture, boot).exits(0).says("the fail-safe is in force").prints("table inet dockfw");
}

#[test]
#[ignore = "needs root"]
fn files_without_end_and_pipes_keep_nobody() {
    let fixture = CliFixture::new("endless-files");
    for file in ["/dev/zero", "/dev/shm/$$.pipe"] {
        let script = |rest: &str| {
            format!(
                "mkfifo /dev/shm/$$.pipe; trap 'rm /dev/shm/$$.pipe' EXIT; dockfw apply >/dev/null; {rest}"
            )
            .replace("FILE", file)
        };
        scripted(&fixture, &script("timeout 55 \"$DOCKFW\" check --config FILE")).exits(2);
        let list = "echo \"trusted = [\\\"file:FILE\\\"]\" >dockfw.toml; limited check";
        scripted(&fixture, &script(list)).exits(2);
        fixture.write("dockfw.toml", crate::fixture::GOOD);
        let state = "ln -sf FILE /var/lib/dockfw/state.json; limited status";
        scripted(&fixture, &script(state)).exits(0).says("is damaged");
    }
}

/// Whoever may write there could have root run a program of his own.
#[test]
#[ignore = "needs root"]
fn relative_entries_of_path_are_not_used() {
    let fixture = CliFixture::new("relative-path");
    let script = format!(
        "fake 'echo ran >&2; echo >ran' '{PROGRAMS}'
         cp fakes/* .
         for path in . fakes :$PATH:fakes $PATH: .:$PATH; do
             PATH=$path \"$DOCKFW\" check --config dockfw.toml
             PATH=$path \"$DOCKFW\" apply --config dockfw.toml --backend iptables
         done
         test ! -e ran"
    );
    scripted(&fixture, &script).exits(0);
}

#[test]
#[ignore = "needs root"]
fn a_signal_ends_dockfw_and_what_it_runs() {
    let host = Host::raise("signal");
    host.script(&format!("{FAKES}\nfake 'echo >hangs; exec sleep 1000' '{PROGRAMS}'"));
    let is_running = "pgrep -x sleep | grep -vx \"$(cat /run/neighbour)\"";
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        // A program of the round before may still be about to write the first of them.
        host.script("rm -f hangs waiter");
        let check =
            "ulimit -c 0; echo $$ >waiter; PATH=$PWD/fakes:$PATH exec \"$DOCKFW\" --config dockfw.toml check";
        let check = Running::start(&mut host.command(check));
        host.wait_for("test -s waiter && test -e hangs");
        host.script(&format!("kill -{signal} $(cat waiter)"));
        check.ends(code);
        // It was killed; the kernel takes its time.
        host.wait_for(&format!("! {is_running}"));
    }
}

/// `dockfw` with the fakes, on a terminal as that of a login.
fn on_terminal(host: &Host, arguments: &str) -> Running {
    let script = format!("PATH=$PWD/fakes:$PATH exec \"$DOCKFW\" --config dockfw.toml {arguments}");
    Running::on_terminal(&mut host.command(&format!("exec setsid --ctty --wait sh -ec '{script}'")))
}

/// The trial has begun, and its rules are being loaded.
#[test]
#[ignore = "needs root"]
fn ctrl_c_ends_a_trial_whose_programs_hang() {
    let host = Host::with_two_policies("signal-trial");
    let loads = "case $* in *--help*) exec /usr/sbin/${0##*/} \"$@\" ;; esac; echo >hangs; exec sleep 1000";
    host.script(&format!("{FAKES}\nfake '{loads}' 'iptables-restore ip6tables-restore'"));
    let mut apply = on_terminal(&host, "apply --confirm 1h --backend iptables");
    host.wait_for("test -e hangs");
    apply.press("\x03");
    apply.ends(1);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn ctrl_c_ends_a_watch_whose_programs_hang() {
    let host = Host::with_two_policies("signal-watch");
    host.script(&format!("{FAKES}\nfake 'echo >hangs; exec sleep 1000' ipset"));
    let mut watch = on_terminal(&host, "status --watch");
    host.wait_for("test -e hangs");
    watch.press("\x03");
    watch.ends(7);
}

#[test]
#[ignore = "needs root"]
fn a_signal_that_the_caller_ignores_is_ignored() {
    let host = Host::raise("nohup");
    host.script(&format!("{FAKES}\nfake 'echo >hangs; read -r go <go' systemctl; mkfifo go"));
    let script = "echo $$ >waiter; PATH=$PWD/fakes:$PATH exec env --ignore-signal=HUP \"$DOCKFW\" --config dockfw.toml check";
    let check = Running::start(&mut host.command(script));
    host.wait_for("test -e hangs");
    host.script("kill -HUP $(cat waiter); echo >go; echo >go");
    check.ends(0);
}
