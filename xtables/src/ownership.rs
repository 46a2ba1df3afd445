//! Which chains are the engine's. Pure code.

use crate::names::{INPUT, is_own_chain, is_unmistakable};
use crate::old::{FiltersOwner, owner_of_filters};
use crate::saved::{Table, Tables};

/// Returns whether any table has a chain of the engine's. Others have chains called FILTERS too.
pub fn have_own(tables: &Tables) -> bool {
    tables.all().any(|table| table.chains.keys().any(|name| is_unmistakable(name)))
}

/// Returns the engine's own chains in a table. Others have chains called FILTERS too: that chain is the engine's if its
/// other chains are there, unless the old layout has it.
pub fn own_chains(table: &Table) -> Vec<&String> {
    let is_own = |name: &&String| match name.as_str() {
        INPUT => owner_of_filters(table) == FiltersOwner::Engine,
        name => is_own_chain(name),
    };
    table.chains.keys().filter(is_own).collect()
}

/// Returns whether FILTERS is someone else's, neither the engine's nor the old layout's, and in use.
pub fn has_foreign_filters(table: &Table) -> bool {
    !table.rules(INPUT).is_empty() && owner_of_filters(table) == FiltersOwner::Other
}
