//! The owner of the chain FILTERS: the old layout and the engine both have one. Pure code.

use super::rule::OldRule;
use crate::names::{INPUT, is_unmistakable};
use crate::saved::{Table, TableName};

/// The set of addresses that the old layout lets in.
pub const SET: &str = "ip_allow";

/// The owner of a table's chain FILTERS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiltersOwner {
    /// The old layout's: it is in table filter and asks the set `ip_allow`.
    OldLayout,
    /// The engine's: its other chains are there.
    Engine,
    /// Someone else's, or nobody's.
    Other,
}

/// Returns the owner of this table's chain FILTERS.
pub fn owner_of_filters(table: &Table) -> FiltersOwner {
    if table.name == TableName::Filter.as_str() && asks_the_set(table, INPUT) {
        FiltersOwner::OldLayout
    } else if table.chains.keys().any(|name| is_unmistakable(name)) {
        FiltersOwner::Engine
    } else {
        FiltersOwner::Other
    }
}

/// Returns whether FILTERS is the old layout's.
pub fn is_old_filters(table: &Table) -> bool {
    owner_of_filters(table) == FiltersOwner::OldLayout
}

/// Returns whether a chain has the old layout's rule that asks the set.
pub(super) fn asks_the_set(table: &Table, chain: &str) -> bool {
    let asks = |old: OldRule| old.gate() == Some(SET);
    table.rules(chain).iter().any(|rule| OldRule::read(&rule.words).is_some_and(asks))
}
