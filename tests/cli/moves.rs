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

/// The new engine's rules are in force by then, beside the old ones.
#[test]
#[ignore = "needs root"]
fn a_move_on_trial_is_undone_where_the_old_rules_can_not_be_taken_out() {
    let host = Host::raise("move-undone");
    host.script(&format!("{LEGACY} dockfw apply --backend iptables; rules | grep -v '^[#:]' >rules"))
        .exits(0);
    host.write_policy("444");
    let held =
        "exec 9>/run/xtables.lock; flock 9; dockfw apply --backend nftables --confirm 1h --detach 9>&-";
    let failed = host.script(&format!("{LEGACY} {held}"));
    failed
        .exits(1)
        .says("the policy is in force by nftables, but the rules of iptables could not be taken out");
    host.wait_for("! pgrep -x dockfw");
    host.write_policy("443");
    let as_before =
        "rules | grep -v '^[#:]' | diff rules - >&2; nft list tables | { ! grep dockfw; }; dockfw status";
    host.script(&format!("{LEGACY} {as_before}")).exits(0).prints("iptables");
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
