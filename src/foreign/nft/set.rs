//! What a set or a map holds.

use super::super::{Answer, Verdict};
use super::registers::Bytes;

/// A set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    /// Whether its elements are the ends of intervals.
    pub(crate) has_intervals: bool,
    /// The elements, in the order of their keys where they are ends of intervals.
    pub(crate) elements: Vec<Element>,
}

/// An element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// The key; where an interval begins.
    pub(crate) key: Vec<u8>,
    /// Where the interval ends, of a set with several fields.
    pub(crate) last: Option<Vec<u8>>,
    /// Whether an interval ends before the key.
    pub(crate) ends: bool,
    /// Whether it stands for all keys that no other element has.
    pub(crate) is_catch_all: bool,
    /// The verdict that it maps to.
    pub(crate) verdict: Option<Verdict>,
    /// The value that it maps to.
    pub(crate) value: Option<Vec<u8>>,
    /// The lengths of the key's fields, where it has several.
    pub(crate) fields: Vec<usize>,
}

impl Set {
    /// The elements that a key may be of, each with whether it surely is.
    pub(super) fn find(&self, key: &Bytes) -> Vec<(&Element, Answer)> {
        let own = self.elements.iter().filter(|element| !element.is_catch_all && !element.ends);
        let mut found: Vec<_> = own
            .map(|element| (element, self.has(element, key)))
            .filter(|(_, answer)| *answer != Answer::No)
            .collect();
        if let Some(element) = self.elements.iter().find(|element| element.is_catch_all) {
            match found.first() {
                None => found.push((element, Answer::Yes)),
                Some((_, Answer::Yes)) => {}
                Some(_) => found.push((element, Answer::Unknown)),
            }
        }
        found
    }

    fn has(&self, element: &Element, key: &Bytes) -> Answer {
        match &element.last {
            Some(last) => within(key, &element.key, last, &element.fields),
            None if self.has_intervals => self.interval(element, key),
            None => key.are(&element.key),
        }
    }

    /// Up to the next element, which ends the interval or begins another one.
    fn interval(&self, element: &Element, key: &Bytes) -> Answer {
        let Some(key) = key.all() else { return Answer::Unknown };
        let next = self
            .elements
            .iter()
            .filter(|other| other.key > element.key && !other.is_catch_all)
            .min_by(|a, b| a.key.cmp(&b.key));
        let begins = element.key.as_slice() <= key.get(..element.key.len()).unwrap_or_default();
        let ends =
            next.is_some_and(|next| next.key.as_slice() <= key.get(..next.key.len()).unwrap_or_default());
        (begins && !ends).into()
    }
}

/// Whether each field is between its ends.
fn within(key: &Bytes, first: &[u8], last: &[u8], fields: &[usize]) -> Answer {
    let whole = [first.len()];
    let fields = if fields.is_empty() { &whole[..] } else { fields };
    let (mut at, mut answer) = (0_usize, Answer::Yes);
    for length in fields {
        let end = at.saturating_add(*length);
        let part = Bytes { bytes: key.bytes.get(at..end).unwrap_or_default().to_vec(), ..key.clone() };
        let (first, last) = (first.get(at..end).unwrap_or_default(), last.get(at..end).unwrap_or_default());
        answer = answer.and(match part.all() {
            Some(part) => (first <= part.as_slice() && part.as_slice() <= last).into(),
            None if first == last => part.are(first),
            None => Answer::Unknown,
        });
        // Each field has registers of its own.
        at = end.next_multiple_of(4);
    }
    answer
}
