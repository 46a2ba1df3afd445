//! What is in force on a host, part by part, and which policy each part is of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use dockfw_lab::{Tree, ipsets, nftables, xtables};

/// Where a policy is in force as a whole or not at all: the native engine's table, and the tables of each family of iptables.
const PARTS: [&str; 3] = ["nftables", "IPv4", "IPv6"];

/// The parts of the compat engine.
pub(crate) const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// The trees of the tables of one part.
type Tables = BTreeMap<String, String>;

/// What is in force and what is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    parts: BTreeMap<&'static str, Tables>,
    /// Chains, sets and counters that no rule leads to.
    pub(crate) unused: BTreeSet<String>,
    /// The names of the files in which records are.
    files: String,
    /// What is recorded, with times and numbers that are never the same.
    records: String,
}

impl State {
    /// Reads what a host prints of itself: sections, each below a line with its name.
    pub(crate) fn read(printed: &str) -> Result<Self> {
        let sections: BTreeMap<_, _> =
            printed.split("=== ").filter_map(|section| section.split_once('\n')).collect();
        let section = |name: &str| sections.get(name).copied().with_context(|| format!("no section {name}"));
        let sets = ipsets(section("ipset")?);
        let mut state = Self {
            files: section("files")?.to_owned(),
            records: section("records")?.to_owned(),
            ..Self::default()
        };
        let mut used = BTreeSet::new();
        for (table, rules) in nftables(section("nftables")?)? {
            state.note("nftables", table, rules.tree());
        }
        for family in FAMILIES {
            for variant in ["iptables-nft", "iptables-legacy"] {
                for (table, rules) in xtables(section(&format!("{family} {variant}"))?, &sets) {
                    let tree = rules.tree();
                    used.extend(tree.used.iter().cloned());
                    state.note(family, format!("{table} of {variant}"), tree);
                }
            }
        }
        state.unused.extend(sets.keys().filter(|set| !used.contains(*set)).map(|set| format!("set {set}")));
        Ok(state)
    }

    fn note(&mut self, part: &'static str, table: String, tree: Tree) {
        self.unused.extend(tree.unused.iter().map(|name| format!("{name} in {part} {table}")));
        self.parts.entry(part).or_default().insert(table, tree.text);
    }

    fn tree(&self, part: &str, table: &str) -> &str {
        self.parts.get(part).and_then(|tables| tables.get(table)).map_or("", String::as_str)
    }

    /// Whether the next run of dockfw finds the same, but for times and numbers.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.is_as(other) && self.files == other.files
    }

    /// Whether all of it is in force, whatever is recorded, and nothing else is left.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.parts == other.parts && self.unused == other.unused
    }
}

/// The states before and after what is done, and what is the same in all policies.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    /// States of two policies that have nothing in common.
    pub(crate) policies: [&'a State; 2],
}

impl Ends<'_> {
    /// What is wrong with a state: nothing where each part is as before or as after.
    pub(crate) fn mixtures(&self, state: &State) -> Vec<String> {
        PARTS.into_iter().filter_map(|part| self.mixture(part, state)).collect()
    }

    /// The parts that are not as before any more.
    pub(crate) fn changed(&self, state: &State) -> BTreeSet<&'static str> {
        let differs =
            |part: &&str| self.tables(part, state).any(|table| !self.is(self.before, part, table, state));
        PARTS.into_iter().filter(differs).collect()
    }

    /// Whether some part has what every policy has, and not the rest, or the other way round.
    pub(crate) fn has_part_of_end(&self, state: &State) -> bool {
        let is = |end: &State, part: &str| end.parts.get(part) == state.parts.get(part);
        !PARTS.into_iter().all(|part| is(self.before, part) || is(self.after, part))
    }

    fn mixture(&self, part: &str, state: &State) -> Option<String> {
        let tables: Vec<_> = self.tables(part, state).collect();
        let all = |end: &State| tables.iter().all(|table| self.is(end, part, table, state));
        if all(self.before) || all(self.after) {
            return None;
        }
        let mut found = format!("{part}:");
        for table in tables {
            let is = |end| self.is(end, part, table, state);
            let word = match (is(self.before), is(self.after)) {
                (true, true) => "is as ever",
                (true, false) => "is as before",
                (false, true) => "is as after",
                (false, false) => "is neither as before nor as after",
            };
            let _ = write!(found, " {table} {word};");
            if word.contains("neither") {
                let _ = write!(found, " it is\n{}", state.tree(part, table));
            }
        }
        Some(found)
    }

    /// The tables of a part in any of the states.
    fn tables<'s>(&'s self, part: &str, state: &'s State) -> impl Iterator<Item = &'s str> {
        let all = [self.before, self.after, state].map(|state| state.parts.get(part));
        let names: BTreeSet<_> = all.into_iter().flatten().flat_map(BTreeMap::keys).collect();
        names.into_iter().map(String::as_str)
    }

    /// Whether a table is as at one end. What every policy has says nothing of which one is in force: it may be there alone.
    fn is(&self, end: &State, part: &str, table: &str, state: &State) -> bool {
        let [one, other] = self.policies.map(|policy| policy.tree(part, table));
        let own = state.tree(part, table);
        own == end.tree(part, table)
            || (one == other && [self.before, self.after].iter().any(|end| end.tree(part, table) == own))
    }
}
