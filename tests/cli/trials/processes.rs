//! The two processes of a trial, the one that waits and its watcher: whichever ends, the policy is not kept by mistake.

use super::{ON_TRIAL, nobody_watches, trial, was_kept, was_taken_back};
use crate::host::Host;
use crate::running::Running;

/// The watcher of the one who waits: its only child.
const WATCHER: &str = "$(cat /proc/$(cat waiter)/task/*/children)";

#[test]
#[ignore = "needs root"]
fn sigterm_takes_it_back() {
    let (host, waiter) = trial("sigterm");
    host.script("kill -TERM $(cat waiter)").exits(0);
    waiter.ends(7);
    was_taken_back(&host, "dockfw apply was ended");
}

#[test]
#[ignore = "needs root"]
fn when_the_waiter_is_killed_the_watcher_takes_it_back() {
    let (host, waiter) = trial("sigkill");
    host.script("kill -KILL $(cat waiter)").exits(0);
    waiter.ends(137);
    nobody_watches(&host);
    was_taken_back(&host, "dockfw apply ended before it was confirmed");
}

#[test]
#[ignore = "needs root"]
fn a_stopped_waiter_does_not_hold_the_time() {
    let host = Host::with_two_policies("stopped");
    // Not as the child of nsenter, which stops with its child.
    let start = "\"$DOCKFW\" --config dockfw.toml apply --confirm 3s & echo $! >waiter; wait $!";
    let mut waiter = Running::start(&mut host.command(start));
    waiter.wait_for_talk("on trial for 3s");
    host.script("kill -STOP $(cat waiter)").exits(0);
    host.wait_for("dockfw status | grep 'was rolled back'");
    assert_eq!(host.in_force(), ["443"]);
    host.script("kill -CONT $(cat waiter)").exits(0);
    waiter.ends(7);
    was_taken_back(&host, "nobody confirmed it in time");
}

#[test]
#[ignore = "needs root"]
fn when_the_watcher_is_ended_it_takes_it_back() {
    let (host, waiter) = trial("watcher-term");
    host.script(&format!("kill -TERM {WATCHER}")).exits(0);
    waiter.ends(7);
    was_taken_back(&host, "its watcher was ended by SIGTERM");
}

/// As when all of a session is ended at once.
#[test]
#[ignore = "needs root"]
fn when_both_are_ended_it_is_taken_back() {
    let (host, waiter) = trial("both-term");
    host.script(&format!("watcher={WATCHER}; kill -KILL $(cat waiter); kill -TERM $watcher")).exits(0);
    waiter.ends(137);
    nobody_watches(&host);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn when_the_watcher_is_killed_the_waiter_keeps_the_time() {
    let host = Host::with_two_policies("watcher-kill");
    let mut waiter = Running::start(&mut host.waiter("apply --confirm 3s"));
    waiter.wait_for_talk("on trial for 3s");
    host.script(&format!("kill -KILL {WATCHER}")).exits(0);
    waiter.ends(7);
    was_taken_back(&host, "nobody confirmed it in time");
}

#[test]
#[ignore = "needs root"]
fn when_both_are_killed_the_next_command_can_take_it_back() {
    let host = Host::with_two_policies("both-kill");
    let mut waiter = Running::start(&mut host.waiter("apply --confirm 1s"));
    host.wait_for("test -s waiter && test -n \"$(cat /proc/$(cat waiter)/task/*/children)\"");
    waiter.wait_for_talk("on trial for 1s");
    host.script(&format!("kill -KILL {WATCHER} $(cat waiter)")).exits(0);
    waiter.ends(137);
    host.wait_for("dockfw status | grep 'nothing rolled it back'");
    assert_eq!(host.in_force(), ["444"]);
    host.script("dockfw confirm").exits(7).says("too late");
    was_taken_back(&host, "nobody confirmed it in time");
}

#[test]
#[ignore = "needs root"]
fn detached_it_returns_at_once() {
    let host = Host::with_two_policies("detach");
    host.script("dockfw apply --confirm 1h --detach").exits(0).says(ON_TRIAL);
    assert_eq!(host.in_force(), ["444"]);
    host.script("dockfw confirm").exits(0);
    was_kept(&host);
    host.script("dockfw apply --confirm 1s --detach").exits(0);
    nobody_watches(&host);
    was_taken_back(&host, "nobody confirmed it in time");
}

/// Whoever waits for the end of what it gave the program, as sshd does, must not wait for the watcher.
#[test]
#[ignore = "needs root"]
fn the_watcher_keeps_nothing_open() {
    let host = Host::with_two_policies("nothing-open");
    host.script("dockfw apply --confirm 1h --detach 2>&1 | cat; pgrep -x dockfw >watcher").exits(0);
    let kept = host
        .script("ls -l /proc/$(cat watcher)/fd /proc/$(cat watcher)/cwd; ps -o sid=,pid= -p $(cat watcher)");
    kept.exits(0).prints("cwd -> /\n");
    assert!(!kept.stdout.contains(&host.fixture.0.display().to_string()), "{kept}");
    let ids: Vec<_> = kept.stdout.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(ids[0], ids[1], "no session of its own\n{kept}");
}

#[test]
#[ignore = "needs root"]
fn the_watcher_holds_no_lock_of_others() {
    let host = Host::with_two_policies("their-lock");
    let apply = "\"$DOCKFW\" --config dockfw.toml apply --confirm 1h --detach";
    host.script(&format!("flock theirs {apply}; flock --nonblock theirs true")).exits(0);
    host.script("dockfw rollback").exits(0);
    nobody_watches(&host);
}

/// Stands still at the first change of rules until it is told to go on.
const SLOW: &str = "#!/bin/sh
case \"$*\" in *--test*) ;; *) ! mkdir once 2>/dev/null || { echo >here; read -r go <go; } ;; esac
exec /usr/sbin/${0##*/} \"$@\"
";

/// The one who waits is killed while a program that it started is still changing rules.
#[test]
#[ignore = "needs root"]
fn an_apply_that_is_killed_half_way_is_taken_back_whole() {
    let host = Host::with_two_policies("half-way");
    host.fixture.write("slow/iptables-restore", SLOW);
    host.fixture.write("slow/ip6tables-restore", SLOW);
    host.script("mkfifo here go; chmod 755 slow/*").exits(0);
    let mut command = host.waiter("apply --backend iptables --confirm 1h");
    let path = format!("{}:{}", host.fixture.0.join("slow").display(), std::env::var("PATH").unwrap());
    let waiter = Running::start(command.env("PATH", path));
    host.script("read -r here <here; kill -KILL $(cat waiter)").exits(0);
    waiter.ends(137);
    // The watcher stands in line behind the program.
    host.wait_for("ls -l /proc/$(pgrep -x dockfw)/fd | grep /run/dockfw/lock");
    host.script("echo >go").exits(0);
    // The kernel keeps 15 characters of a name.
    host.wait_for("! pgrep -x ip6tables-resto");
    nobody_watches(&host);
    assert_eq!((host.in_force(), host.engines()), (vec!["443"], vec!["nftables"]));
}
