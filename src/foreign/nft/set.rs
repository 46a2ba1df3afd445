//! What a set or a map holds.

use super::super::{Answer, Verdict};
use super::registers::Bytes;

/// A set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    kind: Kind,
    /// The elements, in the order of their keys. If an interval ends where another one begins, the end comes first.
    elements: Vec<Element>,
    /// The element that stands for all keys that no other one has.
    catch_all: Option<Element>,
    /// The length of a key.
    key_length: usize,
}

/// What its elements are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Single keys.
    #[default]
    Keys,
    /// The ends of intervals.
    Ends,
    /// Intervals, each with both of its ends: in sets with several fields.
    Intervals,
}

/// An element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// The key, or the start of an interval.
    pub(crate) key: Vec<u8>,
    /// The end of the interval, in a set with several fields.
    pub(crate) last: Option<Vec<u8>>,
    /// Whether an interval ends before the key.
    pub(crate) ends: bool,
    /// Whether it stands for all keys that no other element has.
    pub(crate) is_catch_all: bool,
    /// The verdict that it maps to.
    pub(crate) verdict: Option<Verdict>,
    /// The value that it maps to.
    pub(crate) value: Option<Vec<u8>>,
    /// The lengths of the key's fields, if it has several.
    pub(crate) fields: Vec<usize>,
}

impl Element {
    /// Returns whether both elements give the same result.
    fn maps_as(&self, other: &Self) -> bool {
        (&self.verdict, &self.value) == (&other.verdict, &other.value)
    }
}

impl Set {
    /// Returns a set of these elements, in any order. `has_intervals`: whether they are of intervals.
    pub(crate) fn new(elements: Vec<Element>, has_intervals: bool) -> Self {
        let kind = match elements.iter().any(|element| element.last.is_some()) {
            true => Kind::Intervals,
            false if has_intervals => Kind::Ends,
            false => Kind::Keys,
        };
        let key_length = elements.iter().map(|element| element.key.len()).max().unwrap_or_default();
        let (catch_all, mut elements): (Vec<_>, Vec<_>) =
            elements.into_iter().partition(|element| element.is_catch_all);
        elements.sort_by(|a, b| (&a.key, !a.ends).cmp(&(&b.key, !b.ends)));
        Self { kind, elements, catch_all: catch_all.into_iter().next(), key_length }
    }

    /// Returns the length of a key in bytes.
    pub(super) fn key_length(&self) -> usize {
        self.key_length
    }

    /// Returns the elements that may contain a key, each with whether it certainly does. Of consecutive elements with the
    /// same result, it returns one.
    pub(super) fn find(&self, key: &Bytes) -> Vec<(&Element, Answer)> {
        let mut found = match (key.all(), self.kind) {
            (Some(key), Kind::Keys) => self.exact(&key),
            (Some(key), Kind::Ends) => self.around(&key),
            _ => self.possible(key),
        };
        if let Some(element) = &self.catch_all {
            match found.first() {
                None => found.push((element, Answer::Yes)),
                Some((_, Answer::Yes)) => {}
                Some(_) => found.push((element, Answer::Unknown)),
            }
        }
        found
    }

    /// Returns the element with this key.
    fn exact(&self, key: &[u8]) -> Vec<(&Element, Answer)> {
        let at = self.elements.binary_search_by(|element| element.key.as_slice().cmp(key));
        let found = at.ok().and_then(|at| self.elements.get(at));
        found.map(|element| (element, Answer::Yes)).into_iter().collect()
    }

    /// Returns the element whose interval contains the key. An interval reaches to the next element, which ends it or
    /// begins another one.
    fn around(&self, key: &[u8]) -> Vec<(&Element, Answer)> {
        let behind = self.elements.partition_point(|element| element.key.as_slice() <= key);
        let last = behind.checked_sub(1).and_then(|at| self.elements.get(at));
        last.filter(|element| !element.ends).map(|element| (element, Answer::Yes)).into_iter().collect()
    }

    /// Returns all elements that may contain the key, if some of its bytes are unknown, or if its fields are of intervals.
    fn possible(&self, key: &Bytes) -> Vec<(&Element, Answer)> {
        let mut found: Vec<(&Element, Answer)> = Vec::new();
        for element in self.elements.iter().filter(|element| !element.ends) {
            let answer = self.may_have(element, key);
            let is_known =
                found.last().is_some_and(|(other, known)| *known == answer && other.maps_as(element));
            if answer != Answer::No && !is_known {
                found.push((element, answer));
            }
        }
        found
    }

    fn may_have(&self, element: &Element, key: &Bytes) -> Answer {
        match (&element.last, self.kind) {
            (Some(last), _) => within(key, &element.key, last, &element.fields),
            (None, Kind::Ends) => Answer::Unknown,
            (None, _) => key.are(&element.key),
        }
    }

    /// Returns the two-byte numbers at this offset of its keys: the first and the last of each element.
    pub(in crate::foreign) fn numbers(&self, at: usize) -> impl Iterator<Item = (u16, u16)> {
        self.elements.iter().enumerate().filter(|(_, element)| !element.ends).filter_map(
            move |(number, element)| {
                let first = number_at(&element.key, at)?;
                let last = match (&element.last, self.kind) {
                    (Some(last), _) => number_at(last, at)?,
                    (None, Kind::Ends) => {
                        let next = self.elements.get(number + 1);
                        next.map_or(Some(u16::MAX), |next| number_at(&next.key, at)?.checked_sub(1))?
                    }
                    (None, _) => first,
                };
                Some((first, last.max(first)))
            },
        )
    }

    /// Returns the parts of this length at this offset of its keys.
    pub(in crate::foreign) fn parts(&self, at: usize, length: usize) -> impl Iterator<Item = &[u8]> {
        self.elements.iter().filter_map(move |element| element.key.get(at..at.checked_add(length)?))
    }
}

fn number_at(key: &[u8], at: usize) -> Option<u16> {
    let bytes = key.get(at..at.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}

/// Returns whether each field is between its ends.
fn within(key: &Bytes, first: &[u8], last: &[u8], fields: &[usize]) -> Answer {
    let whole = [first.len()];
    let fields = if fields.is_empty() { &whole[..] } else { fields };
    let (mut at, mut answer) = (0_usize, Answer::Yes);
    for length in fields {
        let end = at.saturating_add(*length);
        let own = key.bytes.get(at..end).unwrap_or_default();
        let (first, last) = (first.get(at..end).unwrap_or_default(), last.get(at..end).unwrap_or_default());
        let answers = match own.iter().all(Option::is_some) {
            true => (own.iter().flatten().ge(first) && own.iter().flatten().le(last)).into(),
            false if first == last => {
                Bytes { bytes: own.to_vec(), are_of_elsewhere: key.are_of_elsewhere }.are(first)
            }
            false => Answer::Unknown,
        };
        answer = answer.and(answers);
        if answer == Answer::No {
            return answer;
        }
        // Each field has registers of its own.
        at = end.next_multiple_of(4);
    }
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(key: u16, ends: bool) -> Element {
        Element { key: key.to_be_bytes().to_vec(), ends, ..Element::default() }
    }

    fn has(set: &Set, key: u16) -> bool {
        match set.find(&Bytes::known(&key.to_be_bytes()))[..] {
            [] => false,
            [(_, Answer::Yes)] => true,
            ref found => panic!("{found:?}"),
        }
    }

    /// From each even number to the next number.
    #[test]
    fn of_a_large_set_each_element_is_found_whatever_its_place() {
        let ends = (0..u16::MAX - 1).rev().map(|number| element(number, number % 2 == 1)).collect();
        let intervals = Set::new(ends, true);
        let keys =
            Set::new((0..u16::MAX / 2).rev().map(|number| element(number * 2, false)).collect(), false);
        assert!((0..u16::MAX - 2).all(|key| has(&intervals, key) == (key % 2 == 0)));
        assert!((0..u16::MAX - 2).all(|key| has(&keys, key) == (key % 2 == 0)));
    }

    #[test]
    fn an_interval_begins_where_another_one_ends() {
        let set =
            Set::new(vec![element(5, true), element(9, true), element(5, false), element(1, false)], true);
        assert_eq!([0, 1, 4, 5, 8, 9].map(|key| has(&set, key)), [false, true, true, true, true, false]);
        assert_eq!(set.numbers(0).collect::<Vec<_>>(), [(1, 4), (5, 8)]);
        let open = Set::new(vec![element(0, true), element(9, false)], true);
        assert_eq!([0, 8, 9, u16::MAX].map(|key| has(&open, key)), [false, false, true, true]);
        assert_eq!(open.numbers(0).collect::<Vec<_>>(), [(9, u16::MAX)]);
    }

    #[test]
    fn of_a_key_that_is_not_known_all_that_it_may_be_is_found() {
        let verdict = |key, verdict: Verdict| Element { verdict: Some(verdict), ..element(key, false) };
        let keys = [verdict(1, Verdict::Accept), verdict(2, Verdict::Accept), verdict(3, Verdict::Drop)];
        for has_intervals in [false, true] {
            let set = Set::new(keys.to_vec(), has_intervals);
            let found =
                set.find(&Bytes::unknown(2)).into_iter().map(|(one, answer)| (one.verdict.clone(), answer));
            let expected = [Verdict::Accept, Verdict::Drop].map(|one| (Some(one), Answer::Unknown));
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fields_are_each_between_their_ends(ends in prop::collection::vec(any::<[u8; 4]>(), 1..9), key in any::<[u8; 2]>()) {
            // Two fields of one byte, each in registers of its own.
            let wide = |[a, b]: [u8; 2]| vec![a, 0, 0, 0, b, 0, 0, 0];
            let elements = ends.iter().map(|[a, b, c, d]| Element {
                key: wide([*a.min(b), *c.min(d)]),
                last: Some(wide([*a.max(b), *c.max(d)])),
                fields: vec![1, 1],
                ..Element::default()
            });
            let set = Set::new(elements.collect(), true);
            let is_in = |one: u8, a: u8, b: u8| (a.min(b)..=a.max(b)).contains(&one);
            let expected = ends.iter().any(|[a, b, c, d]| is_in(key[0], *a, *b) && is_in(key[1], *c, *d));
            prop_assert_eq!(!set.find(&Bytes::known(&wide(key))).is_empty(), expected);
        }
    }
}
