//! Names of sets and counters. Those of rules' own sets are made from the rules' names.

use std::collections::BTreeSet;

use crate::policy::AllowRule;
use crate::ruleset::SetName;

pub(super) const BLOCKED: SetName = SetName::fixed("blocked");
/// The set of the trusted.
pub const TRUSTED: SetName = SetName::fixed("trusted");
/// The set of the other nodes of the Swarm.
pub const PEERS: SetName = SetName::fixed("swarm_peers");
pub(super) const DOCKER: SetName = SetName::fixed("docker_bridges");
pub(super) const EXEMPT: SetName = SetName::fixed("exempt");
pub(super) const INSIDE: SetName = SetName::fixed("inside");
pub(super) const CROSSING: SetName = SetName::fixed("crossing");
pub(super) const FILTERED: SetName = SetName::fixed("filtered");

pub(super) const ECHO: SetName = SetName::fixed("ping");
pub(super) const DROP_IMPOSSIBLE: SetName = SetName::fixed("drop_impossible");
pub(super) const DROP_BLOCKED: SetName = SetName::fixed("drop_blocked");
pub(super) const DROP_FORGED: SetName = SetName::fixed("drop_forged");
pub(super) const DROP_EARLY: SetName = SetName::fixed("drop_early");
pub(super) const DROP_CONTAINERS: SetName = SetName::fixed("drop_containers");
pub(super) const DROP_INSIDE: SetName = SetName::fixed("drop_inside");
pub(super) const DROP_INPUT: SetName = SetName::fixed("drop_input");
pub(super) const DROP_VXLAN: SetName = SetName::fixed("drop_vxlan");
pub(super) const DROP_SWARM: SetName = SetName::fixed("drop_swarm");
pub(super) const DROP_FORWARD: SetName = SetName::fixed("drop_forward");

/// All names above: no rule may take one of them.
const FIXED: [SetName; 19] = [
    BLOCKED,
    TRUSTED,
    PEERS,
    DOCKER,
    EXEMPT,
    INSIDE,
    CROSSING,
    FILTERED,
    ECHO,
    DROP_IMPOSSIBLE,
    DROP_BLOCKED,
    DROP_FORGED,
    DROP_EARLY,
    DROP_CONTAINERS,
    DROP_INSIDE,
    DROP_INPUT,
    DROP_VXLAN,
    DROP_SWARM,
    DROP_FORWARD,
];

/// Returns a name for each rule's set and counter, made from the rule's own name and unique among all.
pub(super) fn of_rules(rules: &[AllowRule]) -> Vec<SetName> {
    let mut taken: BTreeSet<SetName> = FIXED.into();
    rules.iter().map(|rule| unique(&slug(&rule.name), &mut taken)).collect()
}

/// Returns the rule's name in the characters of a set's name, after a prefix that avoids nftables' own words.
fn slug(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    let slug: String = "allow_".chars().chain(plain).take(SetName::MAX).collect();
    slug.trim_end_matches('_').into()
}

/// Returns the first of `slug`, `slug_2`, `slug_3`… that is free.
fn unique(slug: &str, taken: &mut BTreeSet<SetName>) -> SetName {
    let candidates = (1..).map(|n| if n == 1 { String::new() } else { format!("_{n}") });
    let mut names = candidates.filter_map(|suffix: String| {
        let room = SetName::MAX.saturating_sub(suffix.len());
        let kept = slug.get(..room).unwrap_or(slug).trim_end_matches('_');
        SetName::new(format!("{kept}{suffix}"))
    });
    names.find(|name| taken.insert(name.clone())).unwrap_or(SetName::fixed("allow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rules: &[&str]) -> Vec<String> {
        let mut taken: BTreeSet<SetName> = FIXED.into();
        rules.iter().map(|name| unique(&slug(name), &mut taken).to_string()).collect()
    }

    #[test]
    fn names_are_plain_short_and_unique() {
        let rules = ["web", "Web!", "postgres for the office", "postgres for the orchestra", "8080", "日本"];
        let expected = [
            "allow_web",
            "allow_web_2",
            "allow_postgres_for_the_o",
            "allow_postgres_for_the_2",
            "allow_8080",
            "allow",
        ];
        assert_eq!(names(&rules), expected);
    }
}
