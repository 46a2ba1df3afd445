//! How what an engine has on the host differs from what is wanted, in words that all engines share.
//!
//! Engines find the differences; [`compare`] holds what their comparisons have in common.

pub mod compare;

use std::fmt;

use serde::Serialize;

use crate::address::Family;
use crate::engine_name::EngineName;
use crate::ruleset::{Hook, Origin};

/// The most elements of a set that are named one by one. If there are more, only their number is given.
pub const MAX_NAMED: u64 = 20;

/// One difference between what is on the host and what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In which way the two differ.
    pub kind: DifferenceKind,
    /// The family, if the engine keeps each apart.
    pub family: Option<Family>,
    /// The table, if the engine has several.
    pub table: Option<&'static str>,
    /// What differs.
    #[serde(flatten)]
    pub part: Part,
    /// A set's elements.
    pub elements: Option<ElementChanges>,
    /// The rules that are there, as the engine's tools write them.
    pub live: Vec<String>,
    /// The rules that should be there instead.
    pub wanted: Vec<String>,
}

/// In which way what is there differs from what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It is wanted, and not there.
    Missing,
    /// It is there, and not wanted.
    Foreign,
    /// It is there in another form.
    Changed,
    /// It is there without any effect: an apply left it, and the next one removes it.
    Leftover,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    /// Everything that another engine has on the host.
    Engine {
        /// Which engine.
        name: EngineName,
    },
    /// A table of the engine's own, with everything in it.
    Table {
        /// Its name.
        name: String,
        /// How many rules are wanted in it.
        rules: usize,
        /// How many sets.
        sets: usize,
    },
    /// What an earlier apply added to the variant of iptables that Docker does not use.
    Variant {
        /// The variant's name.
        name: &'static str,
    },
    /// Rules of the layout that dockfw takes over from.
    Old {
        /// The chain that they are in.
        chain: String,
        /// The variant of iptables.
        variant: &'static str,
    },
    /// A chain: whether it is there, and how it is hooked in.
    Chain {
        /// Its name.
        chain: String,
        /// How many rules are wanted in it.
        rules: usize,
    },
    /// Rules of one part of the policy, or a rule of someone else's.
    Rule {
        /// The hook that the chain belongs to.
        hook: Hook,
        /// The chain.
        chain: String,
        /// The part of the policy, if there is one.
        origin: Option<Origin>,
        /// The rules' comment, if they have one.
        comment: Option<String>,
    },
    /// The order of rules.
    Order {
        /// The hook that the chain belongs to.
        hook: Hook,
        /// The chain.
        chain: String,
    },
    /// A set.
    Set {
        /// The list of the ruleset that its elements come from; nothing if there is none.
        set: Option<String>,
        /// The set's name in the kernel.
        name: String,
        /// Which elements of the list are in it, in words.
        holds: Option<&'static str>,
    },
    /// A counter.
    Counter {
        /// Its name.
        name: String,
    },
    /// An object of a kind that dockfw does not create.
    Object {
        /// Its kind and name.
        name: String,
    },
    /// A jump from a chain of others into a chain of the engine.
    Jump {
        /// From where.
        from: &'static str,
        /// Where to.
        to: &'static str,
    },
}

/// How the elements of a set change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElementChanges {
    /// How many are there, as far as that is known.
    pub live: Option<u64>,
    /// How many are wanted.
    pub wanted: u64,
    /// Those that are wanted and not there. Nothing: they were not compared one by one. The same holds for the next field.
    pub added: Option<Elements>,
    /// Those that are there and not wanted.
    pub removed: Option<Elements>,
}

/// Elements of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Elements {
    /// How many.
    pub count: u64,
    /// Their names; empty if there are more than [`MAX_NAMED`] changes in total.
    pub names: Vec<String>,
}

impl Difference {
    /// Returns a difference that belongs neither to one family nor to one of several tables.
    pub fn new(kind: DifferenceKind, part: Part) -> Self {
        Self { kind, part, family: None, table: None, elements: None, live: Vec::new(), wanted: Vec::new() }
    }

    /// Returns whether the rules do the same with and without it.
    pub fn is_harmless(&self) -> bool {
        self.kind == DifferenceKind::Leftover
    }

    /// Returns what differs, with its place, as a phrase.
    pub fn what(&self) -> String {
        let place: Vec<_> = self.family.map(Family::name).into_iter().chain(self.table).collect();
        if place.is_empty() { self.part.to_string() } else { format!("{}: {}", place.join(" "), self.part) }
    }

    /// Returns what is known of the elements, after a colon; empty if the difference is not about elements.
    pub fn sum(&self) -> String {
        self.elements.as_ref().map(|elements| format!(": {elements}")).unwrap_or_default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.kind {
            DifferenceKind::Missing => "is missing",
            DifferenceKind::Foreign => "is not of this policy",
            DifferenceKind::Changed => "differs",
            DifferenceKind::Leftover => "is left over",
        };
        write!(f, "{} {verdict}{}", self.what(), self.sum())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { name } => write!(f, "the rules of the {name} engine"),
            Self::Table { name, rules, sets } => write!(f, "table {name} ({rules} rules, {sets} sets)"),
            Self::Variant { name } => write!(f, "what was left in iptables-{name}"),
            Self::Old { chain, variant } => write!(f, "old rules of chain {chain} (iptables-{variant})"),
            Self::Chain { chain, rules: 0 } => write!(f, "chain {chain}"),
            Self::Chain { chain, rules } => write!(f, "chain {chain} ({rules} rules)"),
            Self::Rule { hook, chain, origin, comment } => {
                write!(f, "rule of hook {hook}{}", other_name(*hook, chain))?;
                match (origin, comment) {
                    (Some(origin), _) => write!(f, " from {origin}"),
                    (None, Some(comment)) => write!(f, " called \"{comment}\""),
                    (None, None) => Ok(()),
                }
            }
            Self::Order { hook, chain } => {
                write!(f, "the order of the rules of hook {hook}{}", other_name(*hook, chain))
            }
            Self::Set { set, name, holds } => {
                write!(f, "set {}", set.as_ref().unwrap_or(name))?;
                holds.map_or(Ok(()), |holds| write!(f, " ({holds})"))
            }
            Self::Counter { name } => write!(f, "counter {name}"),
            Self::Object { name } => f.write_str(name),
            Self::Jump { from, to } => write!(f, "the jump from {from} to {to}"),
        }
    }
}

/// Returns the chain's name, if it is not the hook's.
fn other_name(hook: Hook, chain: &str) -> String {
    if chain == hook.name() { String::new() } else { format!(" (chain {chain})") }
}

impl ElementChanges {
    /// Returns how many elements change, as far as that is known.
    pub fn count(&self) -> u64 {
        [&self.added, &self.removed].into_iter().flatten().map(|elements| elements.count).sum()
    }
}

impl fmt::Display for ElementChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = grouped(self.wanted);
        match (&self.added, &self.removed, self.live) {
            (Some(Elements { count: 0, .. }), Some(Elements { count: 0, .. }), _) => {
                write!(f, "the same {wanted} elements, but another type, size or comment")
            }
            (Some(added), Some(removed), _) => {
                write!(f, "+{} -{} of {wanted}", grouped(added.count), grouped(removed.count))
            }
            (_, _, Some(live)) => {
                write!(f, "{wanted} elements wanted, {} loaded (not compared one by one)", grouped(live))
            }
            _ => write!(f, "{wanted} elements wanted (not compared one by one)"),
        }
    }
}

/// Returns a number in groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Place;

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 7, 999, 1_000, 65_536, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "65,536", "1,234,567"]);
    }

    #[test]
    fn a_rule_is_named_by_its_place_in_the_policy() {
        let place = Some(Place { file: "dockfw.toml".into(), line: 5 });
        let origin = Some(Origin { what: "allow 'web'".into(), place });
        let part = |chain: &str, origin, comment| Part::Rule {
            hook: Hook::Input,
            chain: chain.into(),
            origin,
            comment,
        };
        let mut difference = Difference::new(DifferenceKind::Changed, part("input", origin, None));
        let expected = "rule of hook input from allow 'web' at dockfw.toml:5 differs";
        assert_eq!(difference.to_string(), expected);
        difference.part = part("FILTERS", None, Some("x".into()));
        (difference.family, difference.table) = (Some(Family::Ipv6), Some("raw"));
        let expected = "IPv6 raw: rule of hook input (chain FILTERS) called \"x\" differs";
        assert_eq!(difference.to_string(), expected);
    }

    #[test]
    fn elements_are_summed_up() {
        let some = |count| Some(Elements { count, names: vec![] });
        let sum =
            |added, removed| ElementChanges { live: Some(9), wanted: 65_536, added, removed }.to_string();
        assert_eq!(sum(some(3), some(1)), "+3 -1 of 65,536");
        assert!(sum(some(0), some(0)).starts_with("the same 65,536 elements"));
        assert_eq!(sum(None, None), "65,536 elements wanted, 9 loaded (not compared one by one)");
    }
}
