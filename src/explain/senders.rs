//! The senders of one list for whom the verdict is another than for its first address.

use dockfw_policy::address::AddressSet;
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::walk::Verdict;
use serde::Serialize;

use super::names::first;
use super::{Asks, Basis, Explanation, Question, explain};
use crate::exposure::{Facts, shortened, without};

/// How many parts of a list are asked about: more than the lists that one policy usually has.
const MOST_PARTS: usize = 64;

/// Senders with another verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Exception {
    /// Who, in words: addresses and networks.
    pub(crate) from: String,
    /// What dockfw decides about them.
    pub(crate) verdict: Verdict,
    /// Why, in a sentence: that of the first of them.
    pub(crate) reason: String,
}

/// Returns the exceptions among the senders of a list. Rules distinguish sources by sets alone, so one address stands for
/// all that are in the same ones. What can't be asked about (an address without a route) is no exception.
pub(crate) fn exceptions(
    basis: Basis<'_>,
    facts: &Facts,
    asks: &dyn Asks,
    question: &Question,
    senders: &AddressSet,
    usual: &Explanation,
) -> Vec<Exception> {
    let of_part = |part: AddressSet| {
        let from = first(part.ranges().next()?);
        let found = explain(basis, facts, asks, &Question { from, ..question.clone() }).ok()?;
        let (verdict, reason) = (found.verdict, found.reason);
        (verdict != usual.verdict).then(|| Exception { from: shortened(&part), verdict, reason })
    };
    parts(senders, basis.rules.ruleset).into_iter().filter_map(of_part).collect()
}

/// Returns the parts of a set whose addresses are in the same sets of the rules.
fn parts(senders: &AddressSet, ruleset: &Ruleset) -> Vec<AddressSet> {
    let mut parts = vec![senders.clone()];
    for set in ruleset.source_sets().filter(|set| set.overlaps(senders)) {
        if parts.len() > MOST_PARTS {
            break;
        }
        parts = parts.iter().flat_map(|part| split(part, &set)).collect();
    }
    parts
}

/// Returns what of a set is outside of another, and what is in it, without the empty.
fn split(part: &AddressSet, list: &AddressSet) -> impl Iterator<Item = AddressSet> {
    let outside = without(part, list);
    let inside = without(part, &outside);
    [outside, inside].into_iter().filter(|part| !part.is_empty())
}
