//! Lists of addresses are shared: each is one set, however many rules name it.

#![allow(clippy::unwrap_used)]

mod common;

use common::Memory;
use dockfw_policy::compile::compile;
use dockfw_policy::nft::{Features, lower};
use dockfw_policy::ruleset::{Hook, Match, Ruleset};

const OFFICE: &str = "[groups]\noffice = [\"192.0.2.1\", \"192.0.2.64/26\", \"2001:db8::1\"]\n";

fn rule(name: &str, from: &str) -> String {
    format!("[[allow]]\nname = \"{name}\"\nfrom = [{from}]\nports = [\"80/tcp\"]\nto = \"host\"\n")
}

fn ruleset(text: impl AsRef<str>) -> Ruleset {
    compile(&Memory::of(&[("dockfw.toml", text.as_ref()), ("vpn", "10.0.0.1\n10.0.0.5\n")]).policy())
}

/// Returns each list of a policy with the number of its entries.
fn lists(text: impl AsRef<str>) -> Vec<String> {
    let ruleset = ruleset(text);
    ruleset.addresses.iter().map(|list| format!("{} {}", list.name, list.addresses.len())).collect()
}

/// Returns what the rules of a part of the policy ask of the source, at the hook input.
fn sources(text: impl AsRef<str>, what: &str) -> Vec<String> {
    let ruleset = ruleset(text);
    let rules = ruleset.rules(Hook::Input).filter(|rule| rule.origin.what == what);
    let sources = rules.flat_map(|rule| &rule.matches).filter_map(|condition| match condition {
        Match::Source(list) => Some(list.to_string()),
        Match::SourceNetwork(network) => Some(network.to_string()),
        _ => None,
    });
    sources.collect()
}

/// Returns the names of the sets in nftables that hold lists.
fn sets(text: impl AsRef<str>) -> Vec<String> {
    let sets = lower(&ruleset(text), Features::ALL).sets.into_iter();
    sets.filter(|set| set.list.is_some()).map(|set| set.name).collect()
}

#[test]
fn a_group_is_one_list_for_all_rules_that_name_it() {
    let rules: String = (0..50).map(|n| rule(&format!("{n}"), "\"office\"")).collect();
    let once = OFFICE.to_owned() + &rule("0", "\"office\"");
    assert_eq!(lists(OFFICE.to_owned() + &rules), ["group_office 3"]);
    assert_eq!(sets(OFFICE.to_owned() + &rules), sets(once));
}

#[test]
fn what_a_rule_names_beside_a_group_is_a_list_of_its_own() {
    let policy = |more: &str| OFFICE.to_owned() + &rule("web", &format!("\"office\", {more}"));
    assert_eq!(lists(policy("\"file:vpn\"")), ["group_office 3", "allow_web 2"]);
    assert_eq!(sources(policy("\"file:vpn\""), "allow 'web'"), ["allow_web", "group_office"]);
    // A single address or network is in the rule itself.
    assert_eq!(lists(policy("\"198.51.100.0/24\"")), ["group_office 3"]);
    assert_eq!(sources(policy("\"198.51.100.0/24\""), "allow 'web'"), ["198.51.100.0/24", "group_office"]);
    let both = policy("\"198.51.100.1\", \"198.51.100.2\", \"file:vpn\"");
    assert_eq!(lists(both), ["group_office 3", "allow_web 2", "allow_web_2 2"]);
}

#[test]
fn equal_lists_are_one_and_have_the_name_of_a_group_that_is_the_same() {
    let typed = "\"192.0.2.1\", \"192.0.2.64/26\", \"2001:db8::1\"";
    let own = rule("a", typed) + &rule("b", typed);
    assert_eq!(lists(&own), ["allow_a 3"]);
    assert_eq!(sources(&own, "allow 'b'"), ["allow_a"]);
    let named = own + &rule("c", "\"office\", \"same\"") + OFFICE + "same = [\"office\"]\n";
    assert_eq!(lists(&named), ["group_office 3"]);
    assert_eq!(sources(&named, "allow 'c'"), ["group_office"], "named once");
}

#[test]
fn a_group_of_groups_is_one_list() {
    let policy = OFFICE.to_owned() + "all = [\"office\", \"file:vpn\"]\n" + &rule("a", "\"all\"");
    assert_eq!(lists(policy + &rule("b", "\"office\"")), ["group_all 5", "group_office 3"]);
}

#[test]
fn the_trusted_and_the_blocked_keep_sets_of_their_own() {
    let policy = format!("trusted = [\"office\"]\nblocked = [\"office\"]\n{OFFICE}");
    assert_eq!(lists(policy + &rule("a", "\"office\"")), ["blocked 3", "trusted 3", "group_office 3"]);
}

#[test]
fn only_the_sets_of_a_group_that_changes_are_others() {
    let policy = |address: &str| {
        let vpn = format!("vpn = [\"198.51.100.1\", \"{address}\"]\n");
        OFFICE.to_owned() + &vpn + &rule("a", "\"office\", \"vpn\"") + &rule("b", "\"vpn\"")
    };
    let [before, after] = ["198.51.100.2", "198.51.100.3"].map(|address| sets(policy(address)));
    let changed: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
    assert_eq!((before.len(), after.len(), changed.len()), (5, 5, 1), "{changed:?}");
    assert!(changed[0].starts_with("group_vpn_v4_"), "{changed:?}");
}

#[test]
fn names_of_groups_are_made_fit_and_unique() {
    let names = ["Ä office", "office", "Office", "postgres for the orchestra"];
    let group = |(n, name)| format!("\"{name}\" = [\"192.0.2.{n}\", \"198.51.100.1\"]\n");
    let groups: String = names.iter().enumerate().map(group).collect();
    let rules = rule("a", &names.map(|name| format!("\"{name}\"")).join(", "));
    let names = lists(format!("[groups]\n{groups}{rules}"));
    assert_eq!(
        names,
        ["group___office 2", "group_office 2", "group_office_2 2", "group_postgres_for_the_o 2"]
    );
}
