//! What a ruleset is in the terms of ipset and iptables: sets, chains and rules, as plain data.

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::{Hook, Origin};
use ipnetwork::IpNetwork;

/// The chain of the Input hook, jumped to from INPUT.
pub(crate) const INPUT: &str = "FILTERS";
/// The chain of the Forward hook, jumped to from DOCKER-USER.
pub(crate) const FORWARD: &str = "DOCKFW-USER";
/// The chain of the Prerouting hook, which both of the above begin with: in their table, so that all that depends on
/// the policy is replaced in one transaction.
pub(crate) const PREROUTING: &str = "DOCKFW-PRE";
/// The chain in table raw, of what holds under every policy.
pub(crate) const RAW: &str = "DOCKFW-RAW";
/// Docker's chain for the operator's rules.
pub(crate) const DOCKER_USER: &str = "DOCKER-USER";

/// Whether a chain is the engine's own: one of the four, or a continuation of one.
pub(crate) fn is_own_chain(name: &str) -> bool {
    [INPUT, FORWARD, PREROUTING, RAW].iter().any(|own| match name.strip_prefix(own) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(is_number),
        None => false,
    })
}

/// The hook that a chain of the engine's own belongs to.
pub(crate) fn hook_of(chain: &str) -> Hook {
    if chain.starts_with(INPUT) {
        Hook::Input
    } else if chain.starts_with(FORWARD) {
        Hook::Forward
    } else {
        Hook::Prerouting
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableName {
    /// Before connection tracking.
    Raw,
    /// Where packets are judged.
    Filter,
    /// Before the table filter, at the same hooks.
    Mangle,
}

impl TableName {
    /// All of them, in the order in which they are restored: raw only ever drops what is impossible under every policy,
    /// so that it may be there early.
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Filter, Self::Mangle];

    /// The table's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Filter => "filter",
            Self::Mangle => "mangle",
        }
    }
}

/// Everything that is to be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The sets of both families.
    pub(crate) sets: Vec<Set>,
    /// The chains, IPv4 first.
    pub(crate) families: [FamilyChains; 2],
}

/// The chains of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FamilyChains {
    /// The family.
    pub(crate) family: Family,
    /// The chains of table raw.
    pub(crate) raw: Vec<Chain>,
    /// The chains of table filter.
    pub(crate) filter: Vec<Chain>,
    /// The chains of table mangle: the Forward hook's, once more, where Docker puts nothing before them. It takes its jump
    /// to DOCKER-USER out for a while each time it starts (28), or has none (IPv6 before 23). A packet that passes both
    /// chains while one of them is old and the other new has the verdict of one of the two.
    pub(crate) mangle: Vec<Chain>,
}

impl FamilyChains {
    /// The chains of one table.
    pub(crate) fn table(&self, table: TableName) -> &[Chain] {
        match table {
            TableName::Raw => &self.raw,
            TableName::Filter => &self.filter,
            TableName::Mangle => &self.mangle,
        }
    }
}

/// A chain of the engine's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The chain's name.
    pub(crate) name: String,
    /// Its rules.
    pub(crate) rules: Vec<Rule>,
}

/// A rule, as the words behind `-A CHAIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The words, unquoted.
    pub(crate) words: Vec<String>,
    /// The part of the policy that it comes from; nothing for what only connects chains.
    pub(crate) origin: Option<Origin>,
}

/// A `hash:net` set of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    /// The set's name in the kernel, which has a digest of all else in it.
    pub(crate) name: String,
    /// Its name in the ruleset.
    pub(crate) title: String,
    /// The family of its elements.
    pub(crate) family: Family,
    /// The elements, sorted, none of them `/0`, never none.
    pub(crate) networks: Vec<IpNetwork>,
}
