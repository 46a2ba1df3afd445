//! Names of sets and counters. Those of rules' own sets are made from the rules' names.

use std::collections::BTreeSet;

use crate::policy::AllowRule;
use crate::ruleset::SetName;

/// The set of the blocked.
pub const BLOCKED: SetName = SetName::fixed("blocked");
/// The set of the trusted.
pub const TRUSTED: SetName = SetName::fixed("trusted");
/// The set of the other nodes of the Swarm.
pub const PEERS: SetName = SetName::fixed("swarm_peers");
/// The set of Docker's bridges.
pub const DOCKER: SetName = SetName::fixed("docker_bridges");
/// The set of exempt interfaces.
pub const EXEMPT: SetName = SetName::fixed("exempt");
/// The set of inside interfaces.
pub const INSIDE: SetName = SetName::fixed("inside");
pub(super) const CROSSING: SetName = SetName::fixed("crossing");
/// The set of filtered interfaces.
pub const FILTERED: SetName = SetName::fixed("filtered");

/// The counter of pings.
pub const ECHO: SetName = SetName::fixed("ping");
/// The counter of packets with addresses that only the host itself could use.
pub const DROP_IMPOSSIBLE: SetName = SetName::fixed("drop_impossible");
/// The counter of packets from blocked sources.
pub const DROP_BLOCKED: SetName = SetName::fixed("drop_blocked");
/// The counter of packets with a source outside of the network behind their interface.
pub const DROP_FORGED: SetName = SetName::fixed("drop_forged");
/// The counter of packets that no rule could let through, dropped before routing.
pub const DROP_EARLY: SetName = SetName::fixed("drop_early");
/// The counter of packets from containers to the host.
pub const DROP_CONTAINERS: SetName = SetName::fixed("drop_containers");
/// The counter of packets from inside networks to the host.
pub const DROP_INSIDE: SetName = SetName::fixed("drop_inside");
/// The counter of all other packets that the host does not take.
pub const DROP_INPUT: SetName = SetName::fixed("drop_input");
/// The counter of VXLAN of others than the nodes of the Swarm.
pub const DROP_VXLAN: SetName = SetName::fixed("drop_vxlan");
/// The counter of packets to the Swarm's ports of its other nodes.
pub const DROP_SWARM: SetName = SetName::fixed("drop_swarm");
/// The counter of all other packets that are not forwarded.
pub const DROP_FORWARD: SetName = SetName::fixed("drop_forward");

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
