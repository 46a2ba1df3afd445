//! Tables, chains and rules of others, in the terms that both iptables and nftables share.

use std::collections::BTreeMap;
use std::fmt;

use dockfw_policy::address::Family;

use super::hook::Hooked;
use super::verdict::Step;
use super::{View, iptables, nft};

/// All tables of others that are hooked in for packets that arrive or are forwarded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    tables: Vec<Table>,
    /// Whether some rule gives packets marks.
    marks: bool,
}

impl Tables {
    /// Returns the tables as a whole.
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        let chains = tables.iter().flat_map(|table| table.chains.values());
        let marks = chains.flat_map(|chain| &chain.rules).any(Rule::marks);
        Self { tables, marks }
    }

    /// Returns those that packets of this family meet.
    pub(super) fn of(&self, family: Family) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(move |table| table.family.is_none_or(|own| own == family))
    }

    /// Returns whether a packet may have a mark.
    pub(super) fn mark(&self) -> bool {
        self.marks
    }
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Its name for people, as in `table inet netavark` or `table nat of iptables-legacy`.
    pub(crate) name: String,
    /// Its name in iptables' words, as in `filter`, if it is one of those.
    pub(crate) of_iptables: Option<String>,
    /// The only family whose packets meet it, if there is only one.
    pub(crate) family: Option<Family>,
    /// Its chains, by their names.
    pub(crate) chains: BTreeMap<String, Chain>,
    /// The elements of its sets.
    pub(crate) sets: nft::Sets,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// Where it is hooked in, if it is.
    pub(crate) hooked: Option<Hooked>,
    /// Its rules, in order.
    pub(crate) rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// A rule of iptables, as it writes it.
    Iptables(iptables::Rule),
    /// A rule of nftables, as the kernel has it.
    Nft(nft::Rule),
}

impl Rule {
    /// Returns what it does with a packet.
    pub(super) fn step(&self, table: &Table, view: &View<'_>) -> Step {
        match self {
            Self::Iptables(rule) => rule.step(view),
            Self::Nft(rule) => rule.step(&table.sets, view),
        }
    }

    /// Returns whether it excludes packets from connection tracking.
    pub(super) fn untracks(&self) -> bool {
        match self {
            Self::Iptables(rule) => rule.untracks(),
            Self::Nft(rule) => rule.untracks(),
        }
    }

    /// Returns whether it gives connections a helper of connection tracking.
    pub(super) fn helps(&self) -> bool {
        match self {
            Self::Iptables(rule) => rule.helps,
            Self::Nft(rule) => rule.helps(),
        }
    }

    /// Returns whether it gives packets marks.
    pub(super) fn marks(&self) -> bool {
        match self {
            Self::Iptables(rule) => rule.marks,
            Self::Nft(rule) => rule.marks(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iptables(rule) => rule.text.fmt(f),
            Self::Nft(rule) => rule.fmt(f),
        }
    }
}

/// Where something was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The table's name.
    pub(crate) table: String,
    /// The chain's name.
    pub(crate) chain: String,
    /// The rule as a string; nothing: the chain's policy.
    pub(crate) rule: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{rule}"),
            None => write!(f, "the policy of chain {}", self.chain),
        }
    }
}
