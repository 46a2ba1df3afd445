//! Comparisons that all engines share: of the rules of a chain, and of the elements of a set.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

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
    /// The part of the policy that it comes from, if that is known.
    pub origin: Option<Origin>,
    /// Its comment.
    pub comment: Option<String>,
    /// The rule, as the engine's tools write it.
    pub text: String,
}

/// Returns how the rules of a chain differ; nothing if they are the same in the same order. Rules of one part of the
/// policy are one difference, because that part has changed.
///
/// Two rules that are the same have the same key; only rules with the same key are compared.
pub fn rules<'a, L, W, K: Eq + Hash>(
    chain: ChainOf<'_>,
    (live, wanted): (&'a [L], &'a [W]),
    keys: (impl Fn(&'a L) -> K, impl Fn(&'a W) -> K),
    same: impl Fn(&L, &W) -> bool,
    (show_live, show_wanted): (impl Fn(&L) -> RuleText, impl Fn(&W) -> RuleText),
) -> Vec<Difference> {
    let (live, wanted) = without_common_ends(live, wanted, &same);
    if live.is_empty() && wanted.is_empty() {
        return vec![];
    }
    let (foreign, missing) = unmatched(live, wanted, keys, same);
    if foreign.is_empty() && missing.is_empty() {
        let part = Part::Order { hook: chain.hook, chain: chain.chain.into() };
        return vec![Difference::new(DifferenceKind::Changed, part)];
    }
    let mut grouped = Grouped { chain, differences: Vec::new(), by_comment: HashMap::new() };
    for rule in missing {
        grouped.add(show_wanted(rule), Side::Wanted);
    }
    for rule in foreign {
        grouped.add(show_live(rule), Side::Live);
    }
    grouped.differences
}

/// The side of a rule that is only on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Live,
    Wanted,
}

/// The differences of a chain, each with the rules of one part of the policy.
struct Grouped<'a> {
    chain: ChainOf<'a>,
    differences: Vec<Difference>,
    /// The index of the difference to which the rules with this comment belong.
    by_comment: HashMap<String, usize>,
}

impl Grouped<'_> {
    /// Adds a rule to its difference: the one with the same comment, or a new one.
    fn add(&mut self, rule: RuleText, side: Side) {
        let RuleText { origin, comment, text } = rule;
        let known = comment.as_ref().and_then(|comment| self.by_comment.get(comment));
        if let Some(difference) = known.and_then(|index| self.differences.get_mut(*index)) {
            difference.add_rule(text, side);
            return;
        }
        if let Some(comment) = &comment {
            self.by_comment.insert(comment.clone(), self.differences.len());
        }
        let part = Part::Rule { hook: self.chain.hook, chain: self.chain.chain.into(), origin, comment };
        let mut difference = Difference::new(DifferenceKind::Changed, part);
        difference.add_rule(text, side);
        self.differences.push(difference);
    }
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

/// Returns two lists without the start and the end that they share: nearly nothing, if one line of a policy changed.
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

/// Returns the rules that are only on one side, whatever their order.
fn unmatched<'a, L, W, K: Eq + Hash>(
    live: &'a [L],
    wanted: &'a [W],
    (key_of_live, key_of_wanted): (impl Fn(&'a L) -> K, impl Fn(&'a W) -> K),
    same: impl Fn(&L, &W) -> bool,
) -> (Vec<&'a L>, Vec<&'a W>) {
    let mut by_key: HashMap<K, VecDeque<(usize, &L)>> = HashMap::new();
    for (place, rule) in live.iter().enumerate() {
        by_key.entry(key_of_live(rule)).or_default().push_back((place, rule));
    }
    let mut matching = |rule: &'a W| {
        let candidates = by_key.get_mut(&key_of_wanted(rule))?;
        let found = candidates.iter().position(|(_, own)| same(own, rule))?;
        candidates.remove(found)
    };
    let missing = wanted.iter().filter(|rule| matching(rule).is_none()).collect();
    let mut foreign: Vec<_> = by_key.into_values().flatten().collect();
    foreign.sort_by_key(|(place, _)| *place);
    (foreign.into_iter().map(|(_, rule)| rule).collect(), missing)
}

/// Returns whether rules differ only in the names of sets, which follow from the sets' contents: `renamed` has the new
/// name of each old one. nftables writes a set's name after an `@`.
pub fn only_renames(difference: &Difference, renamed: &BTreeMap<&str, &str>) -> bool {
    let rename = |word: &str| {
        let (at, name) = word.strip_prefix('@').map_or(("", word), |name| ("@", name));
        renamed.get(name).map_or_else(|| word.to_owned(), |new| format!("{at}{new}"))
    };
    let renamed_rule = |rule: &String| rule.split(' ').map(rename).collect::<Vec<_>>().join(" ");
    !difference.live.is_empty()
        && difference.live.iter().map(renamed_rule).eq(difference.wanted.iter().cloned())
}

/// Returns how the elements of a set change from `live` to `wanted`. Both are sorted.
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
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const CHAIN: ChainOf<'_> = ChainOf { hook: Hook::Input, chain: "input" };

    fn by_comment<'a>(rule: &&'a str) -> &'a str {
        rule.split_once(' ').unwrap_or_default().0
    }

    /// Compares rules of the form `comment text`.
    fn compared(live: &[&str], wanted: &[&str]) -> Vec<(DifferenceKind, usize, usize)> {
        let show = |rule: &&str| {
            let (comment, text) = rule.split_once(' ').unwrap_or_default();
            let comment = (!comment.is_empty()).then(|| comment.to_owned());
            RuleText { origin: None, comment, text: text.into() }
        };
        let differences =
            rules(CHAIN, (live, wanted), (by_comment, by_comment), |own, other| own == other, (show, show));
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

    /// Thousands of changed rules take as many comparisons, not their square.
    #[test]
    fn many_changed_rules_are_compared_about_once_each() {
        const COUNT: usize = 5000;
        let compared = Cell::new(0);
        let (live, wanted): (Vec<_>, Vec<_>) = (0..COUNT).map(|n| ((n, 0), (COUNT - n, n % 2))).unzip();
        let same = |own: &(usize, usize), other: &(usize, usize)| {
            compared.set(compared.get() + 1);
            own == other
        };
        let show = |rule: &(usize, usize)| RuleText { text: format!("{rule:?}"), ..RuleText::default() };
        let number = |rule: &(usize, usize)| rule.0;
        let found = rules(CHAIN, (&live, &wanted), (number, number), same, (show, show));
        // Every second one of those that have the number of one that is there, and 0 and COUNT.
        assert_eq!(found.len(), COUNT + 2);
        assert!(compared.get() <= 2 * COUNT, "{} comparisons", compared.get());
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
        /// The rules on one side only are what remains of either list without the other's, however often rules are there.
        #[test]
        fn each_rule_is_matched_with_one_that_is_the_same(
            live in prop::collection::vec((0..4u8, 0..3u8), 0..20),
            wanted in prop::collection::vec((0..4u8, 0..3u8), 0..20),
        ) {
            let number = |rule: &(u8, u8)| rule.0;
            let (foreign, missing) = unmatched(&live, &wanted, (number, number), |own, other| own == other);
            let mut surplus = BTreeMap::new();
            live.iter().for_each(|rule| *surplus.entry(*rule).or_insert(0) += 1);
            wanted.iter().for_each(|rule| *surplus.entry(*rule).or_insert(0) -= 1);
            let left = |side: &[&(u8, u8)], rule: &(u8, u8)| side.iter().filter(|own| **own == rule).count() as i32;
            for (rule, surplus) in surplus {
                prop_assert_eq!(left(&foreign, &rule), surplus.max(0));
                prop_assert_eq!(left(&missing, &rule), (-surplus).max(0));
            }
            let places = foreign.iter().map(|rule| std::ptr::from_ref(*rule)).collect::<Vec<_>>();
            prop_assert!(places.is_sorted(), "in the order in which they are there");
        }

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
