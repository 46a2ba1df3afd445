//! Moves between the engines that fail.

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

/// Moves to the native engine while iptables' lock is held.
const MOVE: &str = "exec 9>/run/xtables.lock; flock 9; dockfw apply --backend nftables";
/// What it then says.
const STAY: &str = "the policy is in force by nftables, but the rules of iptables could not be taken out";

/// A host with a policy of port 443 in force by the compat engine, and one of 444 in the file.
fn with_compat(test: &str) -> Host {
    let host = Host::raise(test);
    host.script(&format!("{LEGACY} dockfw apply --backend iptables; rules | grep -v '^[#:]' >rules"))
        .exits(0);
    host.write_policy("444");
    host
}

fn is_undone_by_rollback(host: &Host) {
    host.script(&format!("{LEGACY} dockfw rollback")).exits(0);
    host.write_policy("443");
    let as_before =
        "rules | grep -v '^[#:]' | diff rules - >&2; nft list tables | { ! grep dockfw; }; dockfw status";
    host.script(&format!("{LEGACY} {as_before}")).exits(0).prints("iptables");
}

/// Both sets of rules decide.
#[test]
#[ignore = "needs root"]
fn a_move_is_recorded_though_the_old_rules_can_not_be_taken_out() {
    let host = with_compat("move-recorded");
    host.script(&format!("{LEGACY} {MOVE}")).exits(1).says(STAY);
    host.script(&format!("{LEGACY} dockfw diff")).exits(7).prints("iptables");
    is_undone_by_rollback(&host);
}

#[test]
#[ignore = "needs root"]
fn a_move_on_trial_goes_on_and_back_though_the_old_rules_can_not_be_taken_out() {
    let host = with_compat("move-on-trial");
    host.script(&format!("{LEGACY} {MOVE} --confirm 1h --detach 9>&-")).exits(0).says(STAY);
    host.script(&format!("{LEGACY} dockfw status")).prints("on trial");
    is_undone_by_rollback(&host);
}

/// Without ipset nothing can be loaded there any more, nor taken out.
#[test]
#[ignore = "needs root"]
fn auto_leaves_a_compat_engine_that_works_no_more() {
    let host = with_compat("leave-broken");
    host.script("mount --bind /bin/false /usr/sbin/ipset; dockfw apply").exits(1).says(STAY);
    host.script("umount /usr/sbin/ipset; dockfw diff").exits(7);
    host.script("dockfw apply; dockfw diff").exits(0);
    host.write_policy("443");
    host.script("dockfw boot").exits(0);
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
    host.script(&format!("{LEGACY} dockfw apply; dockfw status")).exits(0);
    host.script("iptables-nft-save | { ! grep DOCKFW; }; iptables-legacy-save | grep DOCKFW").exits(0);
}
