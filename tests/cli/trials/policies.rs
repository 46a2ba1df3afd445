//! The policies around a trial: which one a rollback leads to, and which applies are refused.

use super::{APPLY, nobody_watches, trial, was_taken_back};
use crate::host::Host;

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
