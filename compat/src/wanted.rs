//! A ruleset in the terms of ipset and iptables: sets, chains and rules, as plain data.

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::{Hook, Origin};
use dockfw_xtables::names::{FORWARD, INPUT, PREROUTING};
use dockfw_xtables::saved::TableName;
use ipnetwork::IpNetwork;

/// The chains in table mangle, each with its hook. All of this comes after connection tracking: what is decided right
/// after that shares the chain of the first hook.
pub(crate) const HOOKS: [(Hook, &str); 3] =
    [(Hook::Prerouting, PREROUTING), (Hook::Input, INPUT), (Hook::Forward, FORWARD)];

/// Returns the hook that a chain of the engine's own belongs to.
pub(crate) fn hook_of(chain: &str) -> Hook {
    let found = HOOKS.into_iter().find(|(_, name)| chain.starts_with(name));
    found.map_or(Hook::Prerouting, |(hook, _)| hook)
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
    /// The chains of table mangle: everything that depends on the policy, because one table is replaced at one instant, but
    /// two are not. Docker adds nothing before them there.
    pub(crate) mangle: Vec<Chain>,
    /// The chains of table filter, the same under every policy: they show where the rules are.
    pub(crate) filter: Vec<Chain>,
}

impl FamilyChains {
    /// Returns the chains of one table.
    pub(crate) fn table(&self, table: TableName) -> &[Chain] {
        match table {
            TableName::Mangle => &self.mangle,
            TableName::Filter => &self.filter,
            TableName::Raw => &[],
        }
    }
}

/// Returns the chains of table filter: an operator who knows the old layout looks there.
pub(crate) fn signposts() -> Vec<Chain> {
    let signpost = |name: &str| {
        let text = format!("dockfw: see table mangle, chain {name}");
        let words = ["-m", "comment", "--comment", &text, "-j", "RETURN"].map(String::from).to_vec();
        Chain { name: name.into(), rules: vec![Rule { words, origin: None }] }
    };
    [INPUT, FORWARD].map(signpost).into()
}

/// A chain of the engine's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The chain's name.
    pub(crate) name: String,
    /// Its rules.
    pub(crate) rules: Vec<Rule>,
}

/// A rule, as the words after `-A CHAIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The words, unquoted.
    pub(crate) words: Vec<String>,
    /// The part of the policy that it comes from; nothing for a rule that only connects chains.
    pub(crate) origin: Option<Origin>,
}

/// A `hash:net` set of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    /// The set's name in the kernel, which contains a digest of everything else.
    pub(crate) name: String,
    /// Its name in the ruleset.
    pub(crate) title: String,
    /// The family of its elements.
    pub(crate) family: Family,
    /// The elements, sorted, none of them `/0`; never empty.
    pub(crate) networks: Vec<IpNetwork>,
}
