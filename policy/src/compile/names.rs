//! Names of sets and counters. Those of rules and groups are made from their own names.

use std::collections::{HashMap, HashSet};

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
/// The counter of packets to ports that rules keep for their own sources.
pub const DROP_ONLY: SetName = SetName::fixed("drop_only");
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
const FIXED: [SetName; 20] = [
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
    DROP_ONLY,
    DROP_CONTAINERS,
    DROP_INSIDE,
    DROP_INPUT,
    DROP_VXLAN,
    DROP_SWARM,
    DROP_FORWARD,
];

/// Gives out names that are unique among all. Their prefixes avoid nftables' own words.
pub(super) struct Names {
    taken: HashSet<SetName>,
    /// For each name that was asked for, the number of its next namesake.
    next: HashMap<String, usize>,
}

impl Default for Names {
    fn default() -> Self {
        Self { taken: FIXED.into(), next: HashMap::new() }
    }
}

impl Names {
    /// Returns a name for a rule's counter, or for a list that only the rule has.
    pub(super) fn of_rule(&mut self, rule: &AllowRule) -> SetName {
        self.unique(&slug("allow_", &rule.name))
    }

    /// Returns a name for the list of a group.
    pub(super) fn of_group(&mut self, group: &str) -> SetName {
        self.unique(&slug("group_", group))
    }

    /// Returns a name for the list of a rule's interfaces.
    pub(super) fn of_arrival(&mut self, rule: &AllowRule) -> SetName {
        self.unique(&slug("in_", &rule.name))
    }

    /// Returns the first of `slug`, `slug_2`, `slug_3`… that is free.
    fn unique(&mut self, slug: &str) -> SetName {
        let next = self.next.entry(slug.into()).or_insert(1);
        loop {
            let name = numbered(slug, *next);
            *next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// Returns a name in the characters of a set's name.
fn slug(prefix: &str, name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    let slug: String = prefix.chars().chain(plain).take(SetName::MAX).collect();
    slug.trim_end_matches('_').into()
}

/// Returns the namesake of this number, from 1.
fn numbered(slug: &str, number: usize) -> SetName {
    let suffix = if number == 1 { String::new() } else { format!("_{number}") };
    let room = SetName::MAX.saturating_sub(suffix.len());
    let kept = slug.get(..room).unwrap_or(slug).trim_end_matches('_');
    SetName::new(format!("{kept}{suffix}")).unwrap_or(SetName::fixed("allow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rules: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        rules.iter().map(|name| names.unique(&slug("allow_", name)).to_string()).collect()
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
