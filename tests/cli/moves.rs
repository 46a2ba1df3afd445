//! Moves between the engines that fail.

use crate::fixture::{Done, GOOD};
use crate::host::Host;

/// iptables-legacy in the place of iptables: its rules change under a lock that anybody may hold.
const LEGACY: &str = "
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    mkdir -p legacy
    ln -sf /usr/sbin/xtables-legacy-multi legacy/$name
done
PATH=$PWD/legacy:$PATH
rules() { iptables-save; ip6tables-save; }
";

/// Whoever has the lock of iptables keeps its rules as they are.
const LOCKED: &str = "exec 9>/run/xtables.lock; flock 9;";
/// What a move says then.
const STAY: &str = "by nftables, but rules of iptables could not be removed";

/// What is run after [`LEGACY`].
fn on_legacy(host: &Host, script: &str) -> Done {
    host.script(&format!("{LEGACY} {script}"))
}

/// A host with a policy of port 443 in force by the compat engine, and one of 444 in the file.
fn with_compat(test: &str) -> Host {
    let host = Host::raise(test);
    on_legacy(&host, "dockfw apply --backend iptables; rules | grep -v '^[#:]' >rules").exits(0);
    host.write_policy("444");
    host
}

/// A host with a policy of port 443 confirmed by the native engine, and one of 444 by the compat engine, by these options.
fn moved_to_compat(test: &str, options: &str) -> Host {
    let host = Host::raise(test);
    on_legacy(&host, "dockfw apply --backend nftables").exits(0);
    host.write_policy("444");
    on_legacy(&host, &format!("dockfw apply --backend iptables {options}")).exits(0);
    host
}

fn is_undone_by_rollback(host: &Host) {
    on_legacy(host, "dockfw rollback").exits(0);
    host.write_policy("443");
    let as_before =
        "rules | grep -v '^[#:]' | diff rules - >&2; nft list tables | { ! grep dockfw; }; dockfw status";
    on_legacy(host, as_before).exits(0).prints("iptables");
}

/// Both sets of rules decide.
#[test]
#[ignore = "needs root"]
fn a_move_is_recorded_though_the_old_rules_can_not_be_taken_out() {
    let host = with_compat("move-recorded");
    on_legacy(&host, &format!("{LOCKED} dockfw apply --backend nftables")).exits(1).says(STAY);
    on_legacy(&host, "dockfw diff -v").exits(7).prints("iptables");
    is_undone_by_rollback(&host);
}

#[test]
#[ignore = "needs root"]
fn a_move_on_trial_goes_on_and_back_though_the_old_rules_can_not_be_taken_out() {
    let host = with_compat("move-on-trial");
    let trial = format!("{LOCKED} dockfw apply --backend nftables --confirm 1h --detach 9>&-");
    on_legacy(&host, &trial).exits(0).says(STAY);
    on_legacy(&host, "dockfw status").prints("on trial");
    is_undone_by_rollback(&host);
}

#[test]
#[ignore = "needs root"]
fn the_watcher_takes_out_what_a_rollback_could_not() {
    let host = moved_to_compat("trial-over", "--confirm 1h --detach");
    on_legacy(&host, &format!("{LOCKED} dockfw rollback")).exits(1).says(STAY);
    host.wait_for("! pgrep -x dockfw");
    on_legacy(&host, "nft list tables | grep dockfw; rules | { ! grep DOCKFW; }").exits(0);
    on_legacy(&host, "dockfw status").exits(7).prints("a policy was rolled back at");
}

#[test]
#[ignore = "needs root"]
fn what_is_confirmed_decides_alone() {
    let host = with_compat("move-confirmed");
    let trial = format!("{LOCKED} dockfw apply --backend nftables --confirm 1h --detach 9>&-");
    on_legacy(&host, &trial).exits(0).says(STAY);
    on_legacy(&host, "rules | grep DOCKFW; dockfw confirm; rules | { ! grep DOCKFW; }").exits(0);
    host.wait_for("! pgrep -x dockfw");
}

#[test]
#[ignore = "needs root"]
fn a_rollback_that_can_not_take_the_rules_out_is_finished_by_the_next_boot() {
    let host = moved_to_compat("rollback-again", "");
    on_legacy(&host, &format!("{LOCKED} dockfw rollback")).exits(1).says(STAY);
    on_legacy(&host, "dockfw boot").exits(7).says("was rolled back");
    on_legacy(&host, "nft list tables | grep dockfw; rules | { ! grep DOCKFW; }").exits(0);
}

#[test]
#[ignore = "needs root"]
fn a_boot_falls_back_for_nothing_that_the_other_engine_leaves() {
    let host = with_compat("boot-move");
    host.fixture.write("dockfw.toml", format!("{GOOD}[engine]\nbackend = \"nftables\"\n"));
    let boot = on_legacy(&host, &format!("{LOCKED} dockfw boot"));
    boot.exits(1).says(STAY);
    assert!(!boot.stderr.contains("in force instead"), "{boot}");
    on_legacy(&host, "dockfw boot; dockfw diff; rules | { ! grep DOCKFW; }").exits(0);
}

#[test]
#[ignore = "needs root"]
fn auto_leaves_a_compat_engine_without_ipset_and_not_one_that_fails() {
    let host = Host::raise("leave-broken");
    host.script("dockfw apply --backend iptables").exits(0);
    host.write_policy("444");
    host.script("mount --bind /bin/false /usr/sbin/ipset; dockfw apply").exits(3);
    assert_eq!(host.engines(), ["iptables"], "that may pass");
    host.script("umount /usr/sbin/ipset; mount --bind /dev/null /usr/sbin/ipset; dockfw apply; dockfw diff")
        .exits(0)
        .says("can't go on");
    assert_eq!(host.engines(), ["nftables"]);
}

#[test]
#[ignore = "needs root"]
fn auto_leaves_the_compat_engine_when_docker_moves_to_nftables() {
    let host = Host::raise("leave-iptables");
    host.script("dockfw apply --backend iptables; dockfw apply; dockfw status").exits(0).prints("iptables");
    host.script("nft add table ip docker-bridges; dockfw apply; dockfw diff").exits(0);
    assert_eq!(host.engines(), ["nftables"]);
}

/// As after `update-alternatives` and a restart of Docker: its chains are where dockfw's rules are not.
#[test]
#[ignore = "needs root"]
fn status_notices_that_docker_has_moved_to_the_other_variant() {
    let host = Host::raise("docker-moved");
    host.script("iptables-nft -t nat -N DOCKER; dockfw apply --backend iptables; dockfw status").exits(0);
    let moved = format!("iptables-nft -t nat -X DOCKER; {LEGACY} iptables -t nat -N DOCKER");
    host.script(&format!("{moved}; dockfw status")).exits(7).prints("iptables-nft");
    on_legacy(&host, "dockfw apply; dockfw status").exits(0);
    host.script("iptables-nft-save | { ! grep DOCKFW; }; iptables-legacy-save | grep DOCKFW").exits(0);
}
