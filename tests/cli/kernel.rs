//! What is in the kernel before and after.

use serde_json::Value;

use crate::fixture::CliFixture;

#[test]
#[ignore = "needs root"]
fn an_apply_of_what_is_in_force_changes_nothing() {
    let fixture = CliFixture::new("twice");
    fixture.script("dockfw apply").exits(0).prints("+ table inet dockfw").prints("in force (nftables)");
    let again = fixture.script("dockfw apply >/dev/null; unchanged dockfw apply");
    again.exits(0).prints("in force already (nftables); nothing changed");
}

#[test]
#[ignore = "needs root"]
fn an_apply_replaces_the_policy_and_remove_takes_it_out() {
    let fixture = CliFixture::new("remove");
    fixture
        .script(
            "nft list ruleset >at-first
         dockfw apply
         sed -i 's/192.0.2.10/192.0.2.77/' dockfw.toml
         dockfw apply
         nft list ruleset | grep 192.0.2.77
         nft list ruleset >now
         fails grep 192.0.2.10 now
         dockfw remove
         nft list ruleset | cmp at-first -
         dockfw remove",
        )
        .exits(0)
        .prints("removed: no policy is in force any more: dockfw filters nothing\nnothing was removed: no rules of dockfw were there");
}

#[test]
#[ignore = "needs root"]
fn interfaces_may_have_names_and_aliases_that_are_not_text() {
    let fixture = CliFixture::new("no-text");
    fixture
        .script(
            "odd=$(printf 'odd\\377')
         ip link add $odd type veth peer name eth0
         ip link set $odd alias $odd
         ip address add 198.51.100.1/24 dev $odd label $odd:1
         ip link set $odd up
         dockfw apply
         dockfw check
         dockfw status
         dockfw explain --from 198.51.100.9 --port 80/tcp",
        )
        .exits(0);
}

#[test]
#[ignore = "needs root"]
fn the_tables_of_others_survive_apply_and_remove() {
    let fixture = CliFixture::new("others");
    fixture
        .script(
            "nft add table inet mine
         nft add chain inet mine input '{ type filter hook input priority 0; }'
         nft add rule inet mine input tcp dport 12 drop
         nft list ruleset >at-first
         dockfw apply
         nft list table inet mine | cmp at-first -
         dockfw remove
         nft list ruleset | cmp at-first -",
        )
        .exits(0);
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let fixture = CliFixture::new("dry");
    fixture.script("unchanged dockfw apply --dry-run; test ! -s after").exits(0);
    let codes = fixture.script("unchanged dockfw apply --dry-run --exit-code");
    codes.exits(7);
    assert!(!codes.stdout.trim().is_empty(), "it does not say what would change\n{codes}");
    let after = "dockfw apply >/dev/null; unchanged dockfw apply --dry-run --exit-code";
    fixture.script(after).exits(0).prints("in force already; nothing would change");
    let other = "dockfw apply >/dev/null; sed -i s/443/444/ dockfw.toml; unchanged dockfw apply --dry-run --exit-code";
    fixture.script(other).exits(7);
}

/// What others may do to the table, and what `status` must notice.
const MEDDLING: [&str; 6] = [
    "nft insert rule inet dockfw input accept",
    "nft add rule inet dockfw input tcp dport 9000 accept",
    "nft delete element inet dockfw $(set_of trusted_v4) '{ 192.0.2.10 }'",
    // One for another: a set of single addresses has room for its own only.
    "set=$(set_of trusted_v4)
     nft delete element inet dockfw $set '{ 192.0.2.10 }'
     nft add element inet dockfw $set '{ 203.0.113.9 }'",
    "nft flush chain inet dockfw forward",
    "nft delete table inet dockfw",
];

/// A set that was replaced is listed after the others: what counts is what there is, not its order.
#[test]
#[ignore = "needs root"]
fn status_notices_what_was_changed_behind_its_back_and_apply_repairs_it() {
    let fixture = CliFixture::new("status");
    fixture
        .script("unchanged dockfw status")
        .exits(7)
        .prints("no policy is in force: dockfw filters nothing");
    fixture.script("dockfw apply >/dev/null; unchanged dockfw status").exits(0).prints("in force (nftables)");
    for meddling in MEDDLING {
        fixture.script(&format!("dockfw apply >/dev/null; {meddling}; unchanged dockfw status")).exits(7);
        fixture
            .script(&format!(
                "dockfw apply >/dev/null; nft list ruleset | sort >good; {meddling}
             dockfw apply
             nft list ruleset | sort | cmp good - >&2
             dockfw status"
            ))
            .exits(0);
    }
}

#[test]
#[ignore = "needs root"]
fn status_notices_another_policy() {
    let fixture = CliFixture::new("other-policy");
    let done =
        fixture.script("dockfw apply >/dev/null; sed -i s/443/444/ dockfw.toml; unchanged dockfw status");
    done.exits(7).prints("NOT as the policy says (nftables)");
}

#[test]
#[ignore = "needs root"]
fn status_writes_json() {
    let fixture = CliFixture::new("json");
    let before = fixture.script("dockfw status --json").exits(7).json();
    assert_eq!((&before["engine"], &before["in_force"]), (&Value::Null, &Value::Bool(false)));
    let after = fixture.script("dockfw apply >/dev/null; dockfw status --json").exits(0).json();
    assert_eq!((&after["engine"], &after["in_force"]), (&Value::from("nftables"), &Value::Bool(true)));
    for list in ["differences", "counters", "sets"] {
        assert!(after[list].is_array(), "{list} in {after}");
    }
    let changed = fixture
        .script(&format!("dockfw apply >/dev/null; {}; dockfw status --json", MEDDLING[0]))
        .exits(7)
        .json();
    assert_eq!((&changed["engine"], &changed["in_force"]), (&Value::from("nftables"), &Value::Bool(false)));
    assert_ne!(changed["differences"], Value::Array(Vec::new()));
}

#[test]
#[ignore = "needs root"]
fn probe_changes_nothing_and_writes_json() {
    let fixture = CliFixture::new("probe");
    let found = fixture.script("unchanged dockfw probe --json").exits(0).json();
    assert_eq!(found["engine"], "nftables");
    assert!(found["facts"]["nftables"].as_array().is_some_and(|list| !list.is_empty()), "{found}");
    fixture.script("unchanged dockfw probe").exits(0).prints("engine: nftables, for ");
}
