//! Records that can't be written, or are lost, in the middle of a trial.

use crate::host::Host;
use crate::running::Running;

/// What keeps records from being written.
const OBSTACLES: [(&str, &str); 2] = [
    ("read-only", "mount -o remount,ro /var/lib"),
    ("full", "mount -o remount,size=64k /var/lib; ! cat /dev/zero >/var/lib/fill 2>/dev/null"),
];

/// A policy of port 444 is on trial, after one of 443.
fn trial(test: &str, time: &str) -> Host {
    let host = Host::with_two_policies(test);
    host.script(&format!("dockfw apply --confirm {time} --detach")).exits(0);
    assert_eq!(host.in_force(), ["444"]);
    host
}

fn nobody_watches(host: &Host) {
    host.wait_for("! pgrep -x dockfw");
}

#[test]
#[ignore = "needs root"]
fn an_apply_that_can_not_be_recorded_is_not_overwritten_by_the_watcher() {
    for (name, obstacle) in OBSTACLES {
        let host = trial(&format!("overwritten-{name}"), "1s");
        host.script(obstacle).exits(0);
        host.wait_for("nft list ruleset | grep @ports_80_443_");
        host.write_policy("445");
        host.script("dockfw apply").exits(1).says("could not be recorded");
        nobody_watches(&host);
        assert_eq!(host.in_force(), ["445"], "{name}");
        host.script("mount -o remount,rw,size=1m /var/lib; rm -f /var/lib/fill; dockfw apply").exits(0);
        host.script("test ! -e /run/dockfw/state.json; dockfw status").exits(0);
    }
}

#[test]
#[ignore = "needs root"]
fn from_an_apply_that_can_not_be_recorded_the_way_back_is_one_step() {
    for (name, obstacle) in OBSTACLES {
        let host = Host::with_two_policies(&format!("one-step-{name}"));
        host.script("dockfw apply").exits(0);
        host.script(obstacle).exits(0);
        host.write_policy("445");
        host.script("dockfw apply").exits(1).says("could not be recorded");
        host.script("dockfw status").prints("the policy in force could not be recorded");
        host.script("mount -o remount,rw,size=1m /var/lib; rm -f /var/lib/fill; dockfw rollback").exits(0);
        assert_eq!(host.in_force(), ["444"], "{name}");
        host.script("dockfw rollback").exits(0);
        assert_eq!(host.in_force(), ["443"], "{name}");
    }
}

/// The record is of another policy: the way back would not lead to the one in force.
#[test]
#[ignore = "needs root"]
fn over_a_policy_without_a_record_there_is_no_trial() {
    let host = Host::with_two_policies("no-trial");
    host.script("mount -o remount,ro /var/lib; dockfw apply").exits(1).says("could not be recorded");
    host.script("mount -o remount,rw /var/lib").exits(0);
    // One that is new, and the one that is recorded.
    for port in ["445", "443"] {
        host.write_policy(port);
        host.script("dockfw apply --confirm 1h --detach")
            .exits(6)
            .says("the policy in force was not recorded");
        assert_eq!(host.in_force(), ["444"]);
    }
    host.script("dockfw apply").exits(0);
}

#[test]
#[ignore = "needs root"]
fn what_can_not_be_recorded_as_taken_back_is_so_all_the_same() {
    for (name, obstacle) in OBSTACLES {
        let host = trial(&format!("taken-back-{name}"), "1s");
        host.script(obstacle).exits(0);
        nobody_watches(&host);
        assert_eq!(host.in_force(), ["443"], "{name}");
        host.script("dockfw confirm").exits(7).says("nobody confirmed it in time");
        host.script("dockfw status").prints("(nobody confirmed it in time)");
    }
}

/// Whoever can't be told that it is kept must not believe that it is.
#[test]
#[ignore = "needs root"]
fn a_policy_that_can_not_be_recorded_as_confirmed_is_taken_back() {
    let host = trial("unconfirmed", "3s");
    host.script("mount -o remount,ro /var/lib; dockfw confirm").exits(1).says("can't write");
    nobody_watches(&host);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn a_boot_or_a_removal_that_can_not_be_recorded_is_not_overwritten_by_the_watcher() {
    let host = trial("boot-overwritten", "3s");
    host.write_policy("445");
    host.script("mount -o remount,ro /var/lib; dockfw boot").exits(0).says("could not be recorded");
    nobody_watches(&host);
    assert_eq!(host.in_force(), ["445"]);
    let host = trial("removal-overwritten", "3s");
    host.script("mount -o remount,ro /var/lib; dockfw remove").exits(1).says("records could not be deleted");
    nobody_watches(&host);
    assert!(host.in_force().is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_trial_whose_record_is_lost_ends_with_the_confirmed_policy() {
    let directory = "/var/lib/dockfw";
    let losses = [
        format!("echo x >{directory}/state.json"),
        format!("truncate -s 40 {directory}/state.json"),
        format!("rm {directory}/state.json"),
        format!("mv {directory}/state.json ."),
        format!("mv {directory} /var/lib/elsewhere"),
        format!("for file in {directory}/sources/* {directory}/state.json; do echo x >$file; done"),
    ];
    for (number, loss) in losses.iter().enumerate() {
        let host = trial(&format!("lost-{number}"), "1h");
        host.script(loss).exits(0);
        nobody_watches(&host);
        assert_eq!(host.in_force(), ["443"], "{loss}");
        host.script("dockfw status").prints("(its record was damaged)");
        host.script("dockfw confirm").exits(7).says("too late");
    }
}

/// As a newer dockfw may refuse what an older one took.
#[test]
#[ignore = "needs root"]
fn a_trial_ends_with_what_was_confirmed_whatever_is_refused_since() {
    let host = Host::raise("refused-way-back");
    host.fixture.write("dockfw.toml", "trusted = [\"0.0.0.0/0\", \"::/0\"]\n");
    host.script(
        "dockfw apply --force; sed -i 's/\"force\": true/\"force\": false/' /var/lib/dockfw/state.json",
    )
    .exits(0);
    host.write_policy("444");
    host.script("dockfw apply --confirm 1h --detach").exits(0);
    assert_eq!(host.in_force(), ["444"]);
    host.script("dockfw rollback").exits(0);
    assert!(host.in_force().is_empty(), "everyone is trusted");
}

#[test]
#[ignore = "needs root"]
fn who_waits_is_told_that_the_record_is_lost() {
    let host = Host::with_two_policies("lost-waiter");
    let mut waiter = Running::start(&mut host.waiter("apply --confirm 1h"));
    waiter.wait_for_talk("on trial for 1h");
    host.script("echo x >/var/lib/dockfw/state.json").exits(0);
    let talk = waiter.ends(1);
    assert!(talk.contains("is damaged"), "{talk}");
    nobody_watches(&host);
    assert_eq!(host.in_force(), ["443"]);
}

/// The apply that started it waits for that word before it changes anything.
#[test]
#[ignore = "needs root"]
fn a_watcher_that_can_not_read_the_records_does_not_say_that_it_watches() {
    let host = Host::with_two_policies("blind-watcher");
    // It is told that the record is there, and then nobody waits any more.
    let watch = "printf a | \"$DOCKFW\" watch 00000000-0000-0000-0000-000000000000 || true";
    assert_eq!(host.script(watch).stdout, "rw");
    let unreadable = "mv /var/lib/dockfw/state.json /var/lib/; mkdir /var/lib/dockfw/state.json";
    assert_eq!(host.script(&format!("{unreadable}; {watch}")).stdout, "r");
}
