//! `dockfw boot`: what is in force when the host comes up, and what the records are worth then.

use crate::fixture::GOOD;
use crate::host::Host;

/// What a loss of power leaves: the records, as those of another boot.
const RESTART: &str = "
pkill -KILL -x dockfw || true
nft flush ruleset
sed -i 's/\"boot_id\": \".*\"/\"boot_id\": \"another\"/' /var/lib/dockfw/state.json
";

#[test]
#[ignore = "needs root"]
fn a_boot_puts_the_file_in_force() {
    let host = Host::raise("boot");
    host.script("dockfw boot").exits(0).prints("in force (nftables)");
    assert_eq!(host.in_force(), ["443"]);
    host.write_policy("444");
    host.script("dockfw boot; dockfw rollback").exits(0);
    assert_eq!(host.in_force(), ["443"], "a boot is an apply");
}

#[test]
#[ignore = "needs root"]
fn a_boot_takes_back_what_was_on_trial() {
    for (test, restart) in [("boot-trial", RESTART), ("unit-trial", "")] {
        let host = Host::with_two_policies(test);
        host.script("dockfw apply --confirm 1h --detach").exits(0);
        for _ in 0..2 {
            host.script(&format!("{restart} dockfw boot"))
                .exits(7)
                .says("was rolled back")
                .says("before it was confirmed")
                .says("which was confirmed last");
            assert_eq!(host.in_force(), ["443"]);
        }
        host.wait_for("! pgrep -x dockfw");
        host.write_policy("445");
        host.script("dockfw boot").exits(0);
        assert_eq!(host.in_force(), ["445"], "the file has changed");
    }
}

#[test]
#[ignore = "needs root"]
fn a_boot_leaves_out_what_was_rolled_back_until_it_is_applied() {
    let host = Host::with_two_policies("boot-back");
    host.script("dockfw apply; dockfw rollback").exits(0);
    host.script("dockfw boot").exits(7).says("(somebody ran `dockfw rollback`)");
    assert_eq!(host.in_force(), ["443"]);
    host.script("dockfw apply; dockfw boot").exits(0);
    assert_eq!(host.in_force(), ["444"]);
}

#[test]
#[ignore = "needs root"]
fn a_boot_after_a_trial_of_a_changed_file_puts_the_new_one_in_force() {
    let host = Host::with_two_policies("boot-changed");
    host.script("dockfw apply --confirm 1h --detach").exits(0);
    host.write_policy("445");
    host.script(&format!("{RESTART} dockfw boot")).exits(0);
    assert_eq!(host.in_force(), ["445"]);
}

/// At boot nothing is in force that `auto` could keep.
#[test]
#[ignore = "needs root"]
fn the_engine_stays_through_a_boot_while_it_works() {
    let host = Host::raise("boot-engine");
    host.script("dockfw apply --backend iptables; nft flush ruleset; ipset destroy; dockfw boot").exits(0);
    assert_eq!(host.engines(), ["iptables"]);
    host.script("nft flush ruleset; ipset destroy; mount --bind /bin/false /usr/sbin/ipset").exits(0);
    let boot = host.script("mv dockfw.toml away; dockfw boot");
    boot.exits(2).says("the iptables engine no longer works on this host: ");
    assert_eq!(host.engines(), ["nftables"], "by the record");
    host.script("mv away dockfw.toml; nft flush ruleset; dockfw boot").exits(0);
    assert_eq!(host.engines(), ["nftables"], "by the file");
}

#[test]
#[ignore = "needs root"]
fn what_was_once_forced_comes_up_again() {
    let host = Host::raise("boot-forced");
    host.fixture.write("dockfw.toml", GOOD.replace("192.0.2.10", "0.0.0.0/0"));
    host.script("dockfw boot").exits(2).says("FAIL-SAFE");
    host.script("dockfw apply --force; dockfw boot").exits(0);
}

/// Records of what was confirmed without force, as a dockfw leaves them that refused less.
const UNFORCED: &str = "sed -i 's/\"force\": true/\"force\": false/' /var/lib/dockfw/state.json";

#[test]
#[ignore = "needs root"]
fn what_was_confirmed_comes_up_again_whatever_is_refused_since() {
    let nearly_everyone = GOOD.replace("\"192.0.2.10\"", "\"0.0.0.0/1\", \"128.0.0.0/2\"");
    let exempt_uplink = format!("{GOOD}\n[interfaces]\nexempt = [\"eth0\"]\n");
    for (test, policy, code, refusal) in [
        ("boot-everyone", nearly_everyone, 2, "more than half of all IPv4 addresses"),
        ("boot-uplink", exempt_uplink, 6, "the default route uses it"),
    ] {
        let host = Host::raise(test);
        host.script("ip route add default via 198.51.100.2").exits(0);
        host.fixture.write("dockfw.toml", policy);
        host.script("dockfw apply").exits(code).says(refusal);
        host.script(&format!("dockfw apply --force; {UNFORCED}; {RESTART} dockfw boot"))
            .exits(0)
            .says(refusal);
        host.script("nft list table inet dockfw").exits(0);
        host.write_policy("444");
        host.script("dockfw apply; dockfw rollback").exits(0);
        // The file is not the confirmed policy now, and broken: that one comes up.
        host.script(&format!("echo '[' >dockfw.toml; {RESTART} dockfw boot"))
            .exits(2)
            .says("which was confirmed last");
    }
}

#[test]
#[ignore = "needs root"]
fn a_broken_file_leaves_the_confirmed_policy_in_force() {
    let host = Host::with_two_policies("boot-broken");
    host.script("echo '[' >dockfw.toml; nft flush ruleset; dockfw boot")
        .exits(2)
        .says("dockfw.toml:1:")
        .says("which was confirmed last");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn without_any_policy_only_ssh_is_open() {
    let host = Host::raise("failsafe");
    host.script("rm dockfw.toml; dockfw boot")
        .exits(2)
        .says("FAIL-SAFE")
        .says("everyone reaches 22/tcp of this host");
    host.script("nft list table inet dockfw | grep 'tcp .*dport 22 .*accept'").exits(0);
    host.script("dockfw boot --failsafe closed").exits(2).says("nobody reaches anything");
    let closed =
        "nft list table inet dockfw >now; grep -q ' drop ' now; if grep 'dport 22 ' now; then exit 1; fi";
    host.script(closed).exits(0);
}

#[test]
#[ignore = "needs root"]
fn what_nobody_can_hear_keeps_no_policy_from_being_in_force() {
    let host = Host::raise("unheard");
    let note = "lxcbr0 is a bridge that does not look like Docker's";
    host.script("ip link add lxcbr0 up type bridge; dockfw boot").exits(0).says(note);
    host.script("nft flush ruleset; dockfw boot 2>/dev/full").exits(0);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn what_is_there_and_can_not_be_taken_out_is_not_said_to_be_gone() {
    let host = Host::raise("unremovable");
    let incompatible = "nft add chain ip filter own; nft add rule ip filter own numgen random mod 2 0 accept";
    host.script(&format!("dockfw apply --backend iptables; {incompatible}")).exits(0);
    host.script("dockfw remove").exits(5).says("iptables can't write down");
    assert_eq!(host.in_force(), ["443"]);
    host.script("nft flush chain ip filter own; dockfw remove").exits(0).prints("removed");
    assert!(host.in_force().is_empty());
}

#[test]
#[ignore = "needs root"]
fn an_unfinished_policy_does_not_come_up_unless_it_was_forced() {
    let host = Host::raise("boot-unfinished");
    host.fixture.write("dockfw.toml", include_str!("../../packaging/dockfw.toml"));
    host.script("dockfw apply").exits(6).says("trusts nobody and opens no port");
    host.script("dockfw boot")
        .exits(6)
        .says("trusts nobody and opens no port")
        .says("everyone reaches 22/tcp of this host");
    host.script("dockfw apply --force; dockfw boot").exits(0).prints("in force (nftables)");
}

#[test]
#[ignore = "needs root"]
fn damaged_records_are_told_and_keep_nobody_from_applying() {
    let host = Host::with_two_policies("damaged");
    let state = "/var/lib/dockfw/state.json";
    for damage in [&format!("echo x >{state}"), &format!("truncate -s 40 {state}"), &format!(": >{state}")] {
        for verb in ["confirm", "rollback"] {
            host.script(&format!("{damage}; dockfw {verb}")).exits(1).says("is damaged");
        }
        host.script("dockfw status --json").says("is damaged");
        assert_eq!(host.in_force(), ["443"]);
    }
    host.script("dockfw boot").exits(1).says("is damaged");
    assert_eq!(host.in_force(), ["444"], "it is in force all the same");
    host.script("dockfw boot").exits(1).says("is damaged");
    host.script(&format!("echo x >{state}; dockfw apply"))
        .exits(0)
        .says("is damaged")
        .says("writes a new one");
    host.script("dockfw confirm").exits(0);
}

#[test]
#[ignore = "needs root"]
fn damaged_sources_are_told() {
    let host = Host::with_two_policies("damaged-sources");
    host.script("dockfw apply; for file in /var/lib/dockfw/sources/*; do echo x >>$file; done").exits(0);
    host.script("dockfw rollback").exits(1).says("is damaged");
    assert_eq!(host.in_force(), ["444"]);
    host.script("echo '[' >dockfw.toml; dockfw boot").exits(2).says("is damaged").says("FAIL-SAFE");
}

#[test]
#[ignore = "needs root"]
fn a_policy_that_can_not_be_recorded_is_in_force_all_the_same() {
    let host = Host::with_two_policies("read-only");
    host.script("mount -o remount,ro /var/lib; dockfw apply").exits(1).says("could not be recorded");
    assert_eq!(host.in_force(), ["444"]);
    host.write_policy("445");
    host.script("dockfw boot").exits(0).says("could not be recorded");
    assert_eq!(host.in_force(), ["445"]);
}
