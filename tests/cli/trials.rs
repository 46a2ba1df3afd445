//! `apply --confirm`: every way in which it ends.

use std::process::Stdio;

use crate::host::Host;
use crate::running::{Running, screen};

/// What is said when the policy is in force.
const ON_TRIAL: &str = "on trial for 1h";
const APPLY: &str = "apply --confirm 1h";

/// A policy of port 444 is on trial, after one of 443; nothing can be typed.
fn trial(test: &str) -> (Host, Running) {
    let host = Host::with_two_policies(test);
    let mut waiter = Running::start(&mut host.waiter(APPLY));
    waiter.wait_for_talk(ON_TRIAL);
    assert_eq!(host.in_force(), ["444"]);
    (host, waiter)
}

/// The same, on a terminal.
fn trial_on_terminal(test: &str) -> (Host, Running) {
    let host = Host::with_two_policies(test);
    let mut waiter = host.waiter_on_terminal(APPLY);
    waiter.wait_for_talk("s left: Enter keeps the policy");
    assert_eq!(host.in_force(), ["444"]);
    (host, waiter)
}

/// The policy was taken back, says so, and nobody watches any more.
fn was_taken_back(host: &Host, why: &str) {
    assert_eq!(host.in_force(), ["443"]);
    let status = host.script("dockfw status --json").json();
    assert_eq!(status["records"]["pending"], serde_json::Value::Null, "{status}");
    assert_eq!(status["records"]["rolled_back"]["why"], why, "{status}");
    host.script("dockfw status").prints(&format!("({why}); `dockfw boot` leaves it out"));
    nobody_watches(host);
}

fn was_kept(host: &Host) {
    assert_eq!(host.in_force(), ["444"]);
    host.script("dockfw status").exits(0);
    nobody_watches(host);
    host.script("dockfw rollback").exits(0).prints("rolled back: the policy applied at");
    assert_eq!(host.in_force(), ["443"]);
}

fn nobody_watches(host: &Host) {
    host.wait_for("! pgrep -x dockfw");
}

/// The watcher of the one who waits: its only child.
const WATCHER: &str = "$(cat /proc/$(cat waiter)/task/*/children)";

#[test]
#[ignore = "needs root"]
fn enter_on_the_terminal_keeps_it() {
    let (host, mut waiter) = trial_on_terminal("enter");
    waiter.press("\n");
    assert!(waiter.ends(0).contains("confirmed"));
    was_kept(&host);
}

/// Whatever ends it: the countdown goes, and what is said then begins a line.
#[test]
#[ignore = "needs root"]
fn a_trial_leaves_a_clean_terminal() {
    for (keys, code, said) in
        [("\n", 0, "confirmed"), ("\x03", 7, "\x1b[1;91merror\x1b[0m: undone: dockfw apply was")]
    {
        let (host, mut waiter) = trial_on_terminal(&format!("clean-{code}"));
        waiter.press(keys);
        let shown = screen(&waiter.ends(code));
        assert!(!shown.iter().any(|line| line.contains("s left")), "{shown:#?}");
        assert!(shown.iter().any(|line| line.starts_with(said)), "{shown:#?}");
        let test = shown.iter().position(|line| line.contains("open a new connection to this host"));
        assert!(test.is_some(), "the host has no session to take for an example: {shown:#?}");
        drop(host);
    }
}

#[test]
#[ignore = "needs root"]
fn other_keys_and_the_end_of_input_are_no_enter() {
    let (host, mut waiter) = trial_on_terminal("keys");
    waiter.press("yes\x04\x04");
    host.script("dockfw rollback").exits(0);
    waiter.ends(7);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
}

#[test]
#[ignore = "needs root"]
fn what_was_typed_before_is_no_answer() {
    let host = Host::with_two_policies("typed");
    let script = format!("read -r go; echo $$ >waiter; exec \"$DOCKFW\" --config dockfw.toml {APPLY}");
    let mut waiter =
        Running::on_terminal(&mut host.command(&format!("exec setsid --ctty --wait sh -ec '{script}'")));
    // As when several lines are pasted at once.
    waiter.press("go\nls\n\n");
    waiter.wait_for_talk("s left");
    host.script("dockfw status").prints("on trial, ");
    waiter.press("\n");
    waiter.ends(0);
    was_kept(&host);
}

#[test]
#[ignore = "needs root"]
fn confirm_from_another_process_keeps_it() {
    let (host, waiter) = trial("confirm");
    host.script("dockfw status").prints("on trial, ").prints("`dockfw confirm` keeps it");
    host.script("dockfw confirm").exits(0).prints("confirmed");
    waiter.ends(0);
    was_kept(&host);
    host.script("dockfw confirm").exits(7).says("dockfw rollback");
    host.script("dockfw apply; dockfw confirm").exits(0).prints("confirmed already");
    host.script("dockfw remove; dockfw confirm").exits(1).says("nothing is on trial");
}

/// `trial` has /dev/null for stdin, in which this would end at once.
#[test]
#[ignore = "needs root"]
fn the_end_of_a_pipe_is_no_enter_and_a_line_is() {
    let host = Host::with_two_policies("pipe");
    let mut closed = Running::start(&mut host.command(&format!("true | dockfw {APPLY}")));
    closed.wait_for_talk(ON_TRIAL);
    host.script("dockfw rollback").exits(0);
    closed.ends(7);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
    let mut line = Running::start(host.waiter(APPLY).stdin(Stdio::piped()));
    line.wait_for_talk(ON_TRIAL);
    line.tell("");
    line.ends(0);
    was_kept(&host);
}

/// The rest of a script that a shell reads from its stdin, say.
#[test]
#[ignore = "needs root"]
fn what_waits_in_a_pipe_is_for_someone_else() {
    let host = Host::with_two_policies("rest");
    let script = "printf '\\n\\nrest\\n' | { dockfw apply --confirm 1s >/dev/null || echo code $?; cat; }";
    host.script(script).exits(0).prints("code 7").prints("rest");
    was_taken_back(&host, "nobody confirmed it in time");
}

/// What is left of a session without a terminal: a pipe that nobody reads.
#[test]
#[ignore = "needs root"]
fn when_nobody_listens_any_more_it_is_taken_back() {
    let (host, mut waiter) = trial("unheard");
    waiter.hang_up();
    waiter.ends(7);
    was_taken_back(&host, "whoever listened to dockfw apply is gone");
}

#[test]
#[ignore = "needs root"]
fn a_policy_that_was_rolled_back_is_not_rolled_back_twice() {
    let host = Host::with_two_policies("twice");
    host.script("dockfw apply").exits(0);
    host.script(&format!("dockfw {APPLY} --detach")).exits(0);
    host.script("dockfw apply --confirm 1h --detach").exits(0);
    assert_eq!(host.in_force(), ["444"]);
    host.script("sed s/444/445/ dockfw.toml >new; mv new dockfw.toml; dockfw apply --confirm 1h --detach")
        .exits(0);
    assert_eq!(host.in_force(), ["445"]);
    host.script("dockfw rollback").exits(0);
    host.script("dockfw rollback").exits(0).prints("rolled back already");
    assert_eq!(host.in_force(), ["444"]);
}

#[test]
#[ignore = "needs root"]
fn when_the_time_is_over_it_is_taken_back() {
    let host = Host::with_two_policies("time-out");
    let talk = Running::start(&mut host.waiter("apply --confirm 1s")).ends(7);
    assert!(talk.contains("undone: nobody confirmed it in time"), "{talk}");
    was_taken_back(&host, "nobody confirmed it in time");
    host.script("dockfw confirm").exits(7).says("too late");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn ctrl_c_takes_it_back() {
    let (host, mut waiter) = trial_on_terminal("ctrl-c");
    waiter.press("\x03");
    assert!(waiter.ends(7).contains("undone: dockfw apply was interrupted"));
    was_taken_back(&host, "dockfw apply was interrupted");
}

#[test]
#[ignore = "needs root"]
fn a_closed_terminal_takes_it_back() {
    let (host, mut waiter) = trial_on_terminal("hang-up");
    waiter.hang_up();
    waiter.ends(7);
    was_taken_back(&host, "the terminal of dockfw apply was closed");
}

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
fn a_second_apply_keeps_the_first_ones_way_back() {
    let (host, waiter) = trial("second");
    host.write_policy("445");
    host.script("dockfw apply")
        .exits(0)
        .says("an earlier trial is still running, so this policy is on trial too, until 20");
    assert!(waiter.ends(7).contains("another dockfw replaced the policy"));
    assert_eq!(host.in_force(), ["445"]);
    let left = |host: &Host| {
        let status = host.script("dockfw status --json").json();
        status["records"]["pending"]["seconds_left"].as_u64().unwrap()
    };
    assert!((3500..=3600).contains(&left(&host)), "the deadline of the first");
    host.write_policy("444");
    host.script("dockfw apply --confirm 2h --detach").exits(0);
    assert!((7100..=7200).contains(&left(&host)), "a deadline of its own");
    host.script("dockfw rollback").exits(0);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
}

#[test]
#[ignore = "needs root"]
fn a_second_apply_that_fails_leaves_the_first_on_trial() {
    let (host, waiter) = trial("second-fails");
    host.write_policy("445");
    let broken = host.script("mount --bind /bin/false /usr/sbin/ipset; dockfw apply --backend iptables");
    assert_ne!(broken.code(), Some(0), "{broken}");
    host.script("umount /usr/sbin/ipset").exits(0);
    waiter.ends(7);
    assert_eq!(host.in_force(), ["444"]);
    host.script("dockfw status").prints("on trial, ");
    host.script("pgrep -x dockfw").exits(0);
    host.script("dockfw rollback").exits(0);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
}

#[test]
#[ignore = "needs root"]
fn a_trial_that_can_not_begin_changes_nothing() {
    let host = Host::with_two_policies("no-begin");
    let refused = [
        (
            "mount --bind /bin/false /usr/sbin/ipset; dockfw apply --backend iptables --confirm 1h --detach",
            None,
        ),
        (
            "umount /usr/sbin/ipset; mv /var/lib/dockfw/sources/* .; dockfw apply --confirm 1h --detach",
            Some(1),
        ),
        ("echo x >/var/lib/dockfw/state.json; dockfw apply --confirm 1h --detach", Some(1)),
        ("mount -o remount,ro /var/lib; dockfw apply --confirm 1h --detach", Some(1)),
        ("mount -o remount,rw /var/lib; rm -r /var/lib/dockfw; dockfw apply --confirm 1h --detach", Some(6)),
    ];
    for (script, code) in refused {
        let done = host.script(script);
        match code {
            Some(code) => drop(done.exits(code).says("not applied")),
            None => assert_ne!(done.code(), Some(0), "{done}"),
        }
        assert_eq!(host.in_force(), ["443"], "{done}");
        nobody_watches(&host);
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_confirmed_already_needs_no_trial() {
    let host = Host::raise("already");
    host.script("dockfw apply; dockfw apply --confirm 1h").exits(0).prints("nothing changed");
    nobody_watches(&host);
}

#[test]
#[ignore = "needs root"]
fn nothing_is_retired_while_a_policy_is_on_trial() {
    let host = Host::with_two_policies("retire");
    host.script("dockfw apply --confirm 1h --detach; dockfw apply --retire-old")
        .exits(6)
        .says("a rollback may need the old rules");
    host.script("dockfw confirm; dockfw apply --retire-old").exits(0);
    nobody_watches(&host);
}

#[test]
#[ignore = "needs root"]
fn a_first_policy_is_taken_out_again() {
    let host = Host::raise("first");
    for backend in ["nftables", "iptables"] {
        host.script(&format!("dockfw apply --backend {backend} --confirm 1h --detach")).exits(0);
        assert_eq!(host.in_force(), ["443"]);
        host.script("dockfw rollback").exits(0).prints("no policy is in force, as before the first apply");
        assert!(host.in_force().is_empty() && host.engines().is_empty());
    }
    nobody_watches(&host);
}

#[test]
#[ignore = "needs root"]
fn the_engine_goes_back_too() {
    let host = Host::with_two_policies("engine");
    for (ours, other) in [("nftables", "iptables"), ("iptables", "nftables")] {
        host.write_policy("443");
        host.script(&format!("dockfw apply --backend {ours}")).exits(0);
        host.write_policy("444");
        host.script(&format!("dockfw apply --backend {other} --confirm 1h --detach")).exits(0);
        assert_eq!((host.in_force(), host.engines()), (vec!["444"], vec![other]));
        host.script("dockfw rollback").exits(0).prints(ours);
        assert_eq!((host.in_force(), host.engines()), (vec!["443"], vec![ours]));
        host.script(&format!("dockfw apply --backend {other}; dockfw rollback")).exits(0);
        assert_eq!((host.in_force(), host.engines()), (vec!["443"], vec![ours]), "for good, and back later");
    }
    nobody_watches(&host);
    let broken = "mount --bind /bin/false /usr/sbin/ipset; dockfw rollback";
    host.script(&format!("dockfw apply --backend nftables; {broken}"))
        .exits(0)
        .prints("in force again (nftables)");
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

/// Refuses to change rules of IPv4, once those of IPv6 are changed; only to judge them is fine.
const REFUSES: &str = "#!/bin/sh
case \"$*\" in *--test*) ;; *) ! mkdir refused 2>/dev/null || exit 4 ;; esac
exec /usr/sbin/${0##*/} \"$@\"
";

#[test]
#[ignore = "needs root"]
fn an_apply_that_fails_half_way_is_undone_at_once() {
    let host = Host::raise("half-failed");
    host.script("dockfw apply --backend iptables").exits(0);
    host.write_policy("444");
    host.fixture.write("bin/iptables-restore", REFUSES);
    host.script("chmod 755 bin/*").exits(0);
    let apply = "PATH=$PWD/bin:$PATH dockfw apply --backend iptables --confirm 1h --detach";
    assert_ne!(host.script(apply).code(), Some(0));
    host.script("test -d refused").exits(0);
    assert_eq!(host.in_force(), ["443"]);
    nobody_watches(&host);
    host.script("dockfw status").exits(7);
    host.write_policy("443");
    host.script("dockfw status").exits(0);
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

#[test]
#[ignore = "needs root"]
fn remove_ends_a_trial() {
    let (host, waiter) = trial("remove");
    host.script("dockfw remove").exits(0);
    waiter.ends(7);
    nobody_watches(&host);
    assert!(host.in_force().is_empty());
    host.script("test ! -e /var/lib/dockfw").exits(0);
}

#[test]
#[ignore = "needs root"]
fn rollback_goes_back_one_apply() {
    let host = Host::with_two_policies("rollback");
    host.script("dockfw rollback").exits(1).says("no record of an earlier policy");
    assert_eq!(host.in_force(), ["443"]);
    host.script("dockfw apply; dockfw apply").exits(0);
    host.script("rm dockfw.toml; dockfw rollback").exits(0).prints("(nftables)");
    assert_eq!(host.in_force(), ["443"]);
    host.script("dockfw rollback").exits(1).says("no record of an earlier policy");
    assert_eq!(host.in_force(), ["443"]);
}
