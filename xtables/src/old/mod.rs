//! The layout that dockfw's predecessors created on hosts, and the take-over from it.
//!
//! The predecessors are the Ansible role `iptables_docker`, and the manual method that its documentation describes.
//! They keep the addresses that are let in in the set `ip_allow`. The rules for processes of the host are in the chain
//! FILTERS, to which INPUT jumps, and those for containers are lines of their own in DOCKER-USER. The rules are
//! recognised by their contents, never by a chain's name alone: [`OldRule`] reads a line, `layout` finds the lines that
//! are theirs, this file removes those and restores them.

mod filters;
mod layout;
mod rule;

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;
use dockfw_system::programs::at_once;

use crate::ipset::{self, Ipset};
use crate::names::INPUT;
use crate::restore::Restore;
use crate::saved::{Table, TableName};
use crate::tools::{Tools, Variant};
use crate::variants;

pub use filters::{FiltersOwner, SET, is_old_filters, owner_of_filters};
use layout::Layout;
pub use layout::{CHAINS, OldPart};
pub use rule::OldRule;

/// The old layout's rules in one variant of iptables. They are IPv4 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRules {
    /// The variant.
    pub variant: Variant,
    /// Where they are, and how many: a chain, or what leads there.
    pub parts: Vec<OldPart>,
    /// What restores them, for `iptables-restore --noflush`.
    pub put_back: String,
}

/// Returns the old layout's rules on this host, in each variant of iptables. A variant that can't be read has none.
pub fn find() -> Result<Vec<OldRules>, EngineError> {
    let found = with_layouts()?.into_iter().map(|(tools, table, layout)| OldRules {
        variant: tools.variant,
        parts: layout.parts(),
        put_back: layout.put_back(&table),
    });
    Ok(found.collect())
}

/// Removes the old layout's rules from a variant of iptables, in one transaction. Lines of others stay. Returns whether
/// there were any.
pub fn take_out(variant: Variant) -> Result<bool, EngineError> {
    let found = with_layouts()?.into_iter().find(|(tools, ..)| tools.variant == variant);
    let Some((tools, _, layout)) = found else { return Ok(false) };
    tools.restore(&Restore::plain(Family::Ipv4, layout.removal()), false).map(|()| true)
}

/// Restores rules that were removed from a variant of iptables, in one transaction. What this engine has in their place
/// makes room.
pub fn put_back(variant: Variant, saved: &str) -> Result<(), EngineError> {
    let tools = all_tools()?.into_iter().find(|tools| tools.variant == variant);
    let tools =
        tools.ok_or_else(|| EngineError::Unsupported(format!("iptables-{variant} is not installed")))?;
    let table = filter_of(&tools)?;
    if !table.rules(INPUT).is_empty() && owner_of_filters(&table) == FiltersOwner::Other {
        return Err(EngineError::Unsupported(format!("another program has a chain {INPUT} in their place")));
    }
    tools.restore(&Restore::plain(Family::Ipv4, layout::restoration(saved, &table)), false)
}

/// Returns what restores both: `newer`, and of `older` the chains of which `newer` has nothing.
pub fn merge(newer: &str, older: &str) -> String {
    layout::merged(newer, older)
}

/// Destroys the set of the old layout. Returns whether it was there.
pub fn destroy_set() -> Result<bool, EngineError> {
    let Some(ipset) = Ipset::find() else { return Ok(false) };
    if !is_set_there()? {
        return Ok(false);
    }
    match ipset.destroy(SET)? {
        None => Ok(true),
        Some(complaint) => {
            Err(EngineError::Unsupported(format!("the set {SET} could not be destroyed: {complaint}")))
        }
    }
}

/// Returns what `iptables-save` prints, for each variant that has tables, and `ipset save`.
pub fn live() -> Result<(BTreeMap<&'static str, String>, String), EngineError> {
    let saved = at_once(all_tools()?, |tools| Ok((tools.variant.name(), tools.saved(Family::Ipv4)?)));
    let rules = saved.into_iter().collect::<Result<BTreeMap<_, _>, EngineError>>()?;
    let sets = Ipset::find().map(|ipset| ipset.saved()).transpose()?;
    Ok((rules, sets.unwrap_or_default()))
}

/// Returns whether the set of the old layout exists, as far as the program `ipset` knows. No rule can name a missing
/// set, and asking for it is cheaper than reading rules.
pub fn is_set_there() -> Result<bool, EngineError> {
    Ok(ipset::names()?.iter().any(|name| name == SET))
}

/// Returns whether the set of the old layout certainly does not exist. Fails if the kernel does not answer. If the
/// program `ipset` is missing, that is unknown.
pub fn is_set_gone() -> Result<bool, EngineError> {
    ipset::is_gone(SET)
}

fn with_layouts() -> Result<Vec<(Tools, Table, Layout)>, EngineError> {
    if !is_set_there()? {
        return Ok(vec![]);
    }
    let read = at_once(all_tools()?, |tools| filter_of(&tools).map(|table| (tools, table)));
    // A table with rules that iptables can't list is not readable, and was not made by the old layout.
    let tables = read.into_iter().filter(|table| !matches!(table, Err(EngineError::Unsupported(_))));
    tables
        .filter_map(|table| match table {
            Ok((tools, table)) => Layout::of(&table).map(|layout| Ok((tools, table, layout))),
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// Returns the programs; none if iptables is not there.
fn all_tools() -> Result<Vec<Tools>, EngineError> {
    match variants::installed() {
        Ok((usual, other)) => Ok([Some(usual), other].into_iter().flatten().collect()),
        Err(EngineError::Unsupported(_)) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

fn filter_of(tools: &Tools) -> Result<Table, EngineError> {
    let tables = tools.read()?;
    Ok(tables.get(&Family::Ipv4).map(|tables| tables.table(TableName::Filter)).unwrap_or_default())
}
