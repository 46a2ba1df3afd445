//! `apply --confirm`: every way in which it ends.

mod answers;
mod policies;
mod processes;

use crate::host::Host;
use crate::running::Running;

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
