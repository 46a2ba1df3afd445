//! The layout that dockfw's predecessors put on hosts, and its taking over.
//!
//! The Ansible role `iptables_docker`, and the manual method that its documentation describes, keep the addresses that
//! are let in in the set `ip_allow`, the rules for processes of the host in the chain FILTERS, jumped to from INPUT, and
//! those for containers as lines of their own in DOCKER-USER. They are told by what they say, never by a chain's name
//! alone: [`OldRule`] reads a line, `layout` finds the lines that are theirs, this file takes those out and puts them back.

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
    /// What brings them back, for `iptables-restore --noflush`.
    pub put_back: String,
}

/// The old layout's rules on this host, in each variant of iptables. What can't be read has none.
pub fn find() -> Result<Vec<OldRules>, EngineError> {
    let found = with_layouts()?.into_iter().map(|(tools, table, layout)| OldRules {
        variant: tools.variant,
        parts: layout.parts(),
        put_back: layout.put_back(&table),
    });
    Ok(found.collect())
}

/// Takes the old layout's rules out of a variant of iptables, in one transaction. Lines of others stay. Returns whether
/// there were any.
pub fn take_out(variant: Variant) -> Result<bool, EngineError> {
    let found = with_layouts()?.into_iter().find(|(tools, ..)| tools.variant == variant);
    let Some((tools, _, layout)) = found else { return Ok(false) };
    tools.restore(&Restore::plain(Family::Ipv4, layout.removal()), false).map(|()| true)
}

/// Puts rules back that were taken out of a variant of iptables, in one transaction. What this engine has in their place
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

/// What brings back what both do: `newer`, and of `older` the chains that `newer` has nothing of.
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

/// What `iptables-save` prints, for each variant that has tables, and `ipset save`.
pub fn live() -> Result<(BTreeMap<&'static str, String>, String), EngineError> {
    let saved = at_once(all_tools()?, |tools| Ok((tools.variant.name(), tools.saved(Family::Ipv4)?)));
    let rules = saved.into_iter().collect::<Result<BTreeMap<_, _>, EngineError>>()?;
    let sets = Ipset::find().map(|ipset| ipset.saved()).transpose()?;
    Ok((rules, sets.unwrap_or_default()))
}

/// Whether the set of the old layout is there, as far as the program `ipset` knows. No rule can name a set that is not, and to ask for
/// it is cheaper than to read rules.
pub fn is_set_there() -> Result<bool, EngineError> {
    Ok(ipset::names()?.iter().any(|name| name == SET))
}

/// Whether the set of the old layout is certain not to be there; an error where the kernel does not answer. Where the program `ipset` is
/// missing, nobody can tell.
pub fn is_set_gone() -> Result<bool, EngineError> {
    ipset::is_gone(SET)
}

fn with_layouts() -> Result<Vec<(Tools, Table, Layout)>, EngineError> {
    if !is_set_there()? {
        return Ok(vec![]);
    }
    let read = at_once(all_tools()?, |tools| filter_of(&tools).map(|table| (tools, table)));
    // What holds rules that iptables can't write down is not readable, and was not made by the old layout.
    let tables = read.into_iter().filter(|table| !matches!(table, Err(EngineError::Unsupported(_))));
    tables
        .filter_map(|table| match table {
            Ok((tools, table)) => Layout::of(&table).map(|layout| Ok((tools, table, layout))),
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// None if iptables is not there.
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
