//! Comparisons that all engines share: of the rules of a chain, and of the elements of a set.

use std::cmp::Ordering;

use super::{Difference, DifferenceKind, ElementChanges, Elements, MAX_NAMED, Part};
use crate::ruleset::{Hook, Origin};

/// A chain whose rules are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainOf<'a> {
    /// The hook that it belongs to.
    pub hook: Hook,
    /// Its name.
    pub chain: &'a str,
}

/// A rule as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleText {
    /// The part of the policy that it comes from, where that is known.
    pub origin: Option<Origin>,
    /// Its comment.
    pub comment: Option<String>,
    /// The rule, as the engine's tools write it.
    pub text: String,
}

/// How the rules of a chain differ; nothing where they are the same in the same order. Rules of one part of the policy
/// are one difference, for it is that part which changed.
pub fn rules<L, W>(
    chain: ChainOf<'_>,
    (live, wanted): (&[L], &[W]),
    same: impl Fn(&L, &W) -> bool,
    (show_live, show_wanted): (impl Fn(&L) -> RuleText, impl Fn(&W) -> RuleText),
) -> Vec<Difference> {
    let (live, wanted) = without_common_ends(live, wanted, &same);
    if live.is_empty() && wanted.is_empty() {
        return vec![];
    }
    let (foreign, missing) = unmatched(live, wanted, same);
    if foreign.is_empty() && missing.is_empty() {
        let part = Part::Order { hook: chain.hook, chain: chain.chain.into() };
        return vec![Difference::new(DifferenceKind::Changed, part)];
    }
    let mut differences = Vec::new();
    for rule in missing {
        add(&mut differences, chain, show_wanted(rule), Side::Wanted);
    }
    for rule in foreign {
        add(&mut differences, chain, show_live(rule), Side::Live);
    }
    differences
}

/// Where a rule is that is on one side only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Live,
    Wanted,
}

/// Adds a rule to the difference that it belongs to: that of the rules with the same comment, or a new one.
fn add(differences: &mut Vec<Difference>, chain: ChainOf<'_>, rule: RuleText, side: Side) {
    let is_same = |difference: &&mut Difference| match &difference.part {
        Part::Rule { comment, .. } => comment.is_some() && *comment == rule.comment,
        _ => false,
    };
    if let Some(difference) = differences.iter_mut().find(is_same) {
        difference.add_rule(rule.text, side);
        return;
    }
    let RuleText { origin, comment, text } = rule;
    let part = Part::Rule { hook: chain.hook, chain: chain.chain.into(), origin, comment };
    let mut difference = Difference::new(DifferenceKind::Changed, part);
    difference.add_rule(text, side);
    differences.push(difference);
}

impl Difference {
    fn add_rule(&mut self, text: String, side: Side) {
        match side {
            Side::Live => self.live.push(text),
            Side::Wanted => self.wanted.push(text),
        }
        self.kind = match (self.live.is_empty(), self.wanted.is_empty()) {
            (true, _) => DifferenceKind::Missing,
            (false, true) => DifferenceKind::Foreign,
            (false, false) => DifferenceKind::Changed,
        };
    }
}

/// What is left of two lists without what they both begin and end with: nearly nothing, where one line of a policy
/// changed.
fn without_common_ends<'a, L, W>(
    mut live: &'a [L],
    mut wanted: &'a [W],
    same: &impl Fn(&L, &W) -> bool,
) -> (&'a [L], &'a [W]) {
    while let ([one, live_rest @ ..], [other, wanted_rest @ ..]) = (live, wanted)
        && same(one, other)
    {
        (live, wanted) = (live_rest, wanted_rest);
    }
    while let ([live_rest @ .., one], [wanted_rest @ .., other]) = (live, wanted)
        && same(one, other)
    {
        (live, wanted) = (live_rest, wanted_rest);
    }
    (live, wanted)
}

/// The rules that are on one side only, whatever their order.
fn unmatched<'a, L, W>(
    live: &'a [L],
    wanted: &'a [W],
    same: impl Fn(&L, &W) -> bool,
) -> (Vec<&'a L>, Vec<&'a W>) {
    let mut foreign: Vec<_> = live.iter().collect();
    let mut missing = Vec::new();
    for rule in wanted {
        match foreign.iter().position(|own| same(own, rule)) {
            Some(index) => drop(foreign.remove(index)),
            None => missing.push(rule),
        }
    }
    (foreign, missing)
}

/// How the elements of a set change from `live` to `wanted`, each of which is sorted.
pub fn elements<T: Ord>(
    live: impl IntoIterator<Item = T>,
    wanted: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> String,
) -> ElementChanges {
    let (mut live, mut wanted) = (live.into_iter().peekable(), wanted.into_iter().peekable());
    let (mut live_count, mut wanted_count) = (0, 0);
    let (mut added, mut removed) = (Elements::default(), Elements::default());
    loop {
        let order = match (live.peek(), wanted.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(own), Some(other)) => own.cmp(other),
        };
        let own = (order != Ordering::Greater).then(|| live.next()).flatten();
        let other = (order != Ordering::Less).then(|| wanted.next()).flatten();
        live_count += u64::from(own.is_some());
        wanted_count += u64::from(other.is_some());
        match (own, other) {
            (Some(element), None) => removed.add(&element, &name),
            (None, Some(element)) => added.add(&element, &name),
            _ => {}
        }
    }
    if added.count + removed.count > MAX_NAMED {
        added.names.clear();
        removed.names.clear();
    }
    ElementChanges {
        live: Some(live_count),
        wanted: wanted_count,
        added: Some(added),
        removed: Some(removed),
    }
}

impl Elements {
    fn add<T>(&mut self, element: &T, name: impl Fn(&T) -> String) {
        self.count += 1;
        if self.count <= MAX_NAMED {
            self.names.push(name(element));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: ChainOf<'_> = ChainOf { hook: Hook::Input, chain: "input" };

    /// Compares rules that are `comment text`.
    fn compared(live: &[&str], wanted: &[&str]) -> Vec<(DifferenceKind, usize, usize)> {
        let show = |rule: &&str| {
            let (comment, text) = rule.split_once(' ').unwrap_or_default();
            let comment = (!comment.is_empty()).then(|| comment.to_owned());
            RuleText { origin: None, comment, text: text.into() }
        };
        let differences = rules(CHAIN, (live, wanted), |own, other| own == other, (show, show));
        differences.iter().map(|d| (d.kind, d.live.len(), d.wanted.len())).collect()
    }

    #[test]
    fn rules_of_one_part_of_the_policy_are_one_difference() {
        use DifferenceKind::{Changed, Foreign, Missing};
        let old = ["a 1", "web 80", "web 81", "z 1"];
        assert_eq!(compared(&old, &old), []);
        assert_eq!(compared(&old, &["a 1", "web 90", "web 91", "z 1"]), [(Changed, 2, 2)]);
        assert_eq!(compared(&old, &["a 1", "web 80", "z 1"]), [(Foreign, 1, 0)]);
        assert_eq!(compared(&["a 1", "z 1"], &old), [(Missing, 0, 2)]);
        assert_eq!(compared(&["a 1", " x", " y", "z 1"], &["a 1", "z 1"]), [(Foreign, 1, 0); 2]);
        assert_eq!(compared(&["a 1", "a 1"], &["a 1"]), [(Foreign, 1, 0)]);
    }

    #[test]
    fn where_only_the_order_differs_that_is_said() {
        let differences = compared(&["a 1", "b 1", "c 1"], &["b 1", "a 1", "c 1"]);
        assert_eq!(differences, [(DifferenceKind::Changed, 0, 0)]);
    }

    #[test]
    fn a_few_elements_are_named_and_many_summed_up() {
        let changes = elements([1, 2, 4], [1, 3, 4], ToString::to_string);
        assert_eq!(changes.added, Some(Elements { count: 1, names: vec!["3".into()] }));
        assert_eq!(changes.removed, Some(Elements { count: 1, names: vec!["2".into()] }));
        assert_eq!((changes.live, changes.wanted), (Some(3), 3));
        let named =
            |count| elements([0], 1..=count, ToString::to_string).added.map(|added| added.names.len());
        assert_eq!([named(19), named(20)], [Some(19), Some(0)]);
    }

    proptest! {
        #[test]
        fn what_is_added_and_removed_makes_one_of_the_other(
            live in prop::collection::btree_set(0..40u8, 0..30),
            wanted in prop::collection::btree_set(0..40u8, 0..30),
        ) {
            let changes = elements(live.iter(), wanted.iter(), |element| element.to_string());
            let (added, removed) = (changes.added.unwrap(), changes.removed.unwrap());
            prop_assert_eq!(added.count, wanted.difference(&live).count() as u64);
            prop_assert_eq!(removed.count, live.difference(&wanted).count() as u64);
            prop_assert_eq!(added.names.len() + removed.names.len() > MAX_NAMED as usize, false);
        }
    }
}
