//! The layout that dockfw's predecessors put on hosts, and its taking over.
//!
//! The Ansible role `iptables_docker`, and the manual method that its documentation describes, keep the addresses that
//! are let in in the set `ip_allow`, the rules for processes of the host in the chain FILTERS, jumped to from INPUT, and
//! those for containers as lines of their own in DOCKER-USER. They are told by what they say, never by a chain's name
//! alone: [`OldRule`] reads a line, `layout` finds the lines that are theirs, this file takes those out and puts them back.

mod layout;
mod rule;

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;
use dockfw_system::programs::{at_once, find as find_program};

use crate::host::{self, release_set, saved_sets, set_names, tools};
use crate::plan::{Line, Restore};
use crate::saved::Table;
use crate::text;
use crate::tools::Tools;
use crate::wanted::{INPUT, TableName};

pub use layout::CHAINS;
use layout::Layout;
pub(crate) use layout::is_old_filters;
pub use rule::OldRule;

/// The set that the old layout lets in.
pub const SET: &str = "ip_allow";

/// The old layout's rules in one variant of iptables. They are IPv4 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRules {
    /// The variant: `legacy` or `nft`.
    pub variant: &'static str,
    /// Where they are, and how many: a chain, or what leads there.
    pub parts: Vec<OldPart>,
    /// What brings them back, for `iptables-restore --noflush`.
    pub put_back: String,
}

/// Rules of the old layout in one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldPart {
    /// The chain.
    pub chain: String,
    /// The rules, as `iptables-save` writes them.
    pub rules: Vec<String>,
}

/// The old layout's rules on this host, in each variant of iptables. What can't be read has none.
pub fn find() -> Result<Vec<OldRules>, EngineError> {
    let found = with_layouts()?.into_iter().map(|(tools, table, layout)| OldRules {
        variant: tools.variant.name(),
        parts: layout.parts(),
        put_back: layout.put_back(&table),
    });
    Ok(found.collect())
}

/// Takes the old layout's rules out of a variant of iptables, in one transaction. Lines of others stay. Returns whether
/// there were any.
pub fn take_out(variant: &str) -> Result<bool, EngineError> {
    let found = with_layouts()?.into_iter().find(|(tools, ..)| tools.variant.name() == variant);
    let Some((tools, _, layout)) = found else { return Ok(false) };
    tools.restore(&restore(layout.removal()), false).map(|()| true)
}

/// Puts rules back that were taken out of a variant of iptables, in one transaction. What this engine has in their place
/// makes room.
pub fn put_back(variant: &str, saved: &str) -> Result<(), EngineError> {
    let tools = all_tools()?.into_iter().find(|tools| tools.variant.name() == variant);
    let tools = tools.ok_or_else(|| EngineError::Unsupported(format!("iptables-{variant} is not there")))?;
    let table = filter_of(&tools)?;
    if table.has_foreign_filters() {
        return Err(EngineError::Unsupported(format!("a chain {INPUT} of someone else's is in their place")));
    }
    tools.restore(&restore(layout::restoration(saved, &table)), false)
}

/// What brings back what both do: `newer`, and of `older` the chains that `newer` has nothing of.
pub fn merge(newer: &str, older: &str) -> String {
    layout::merged(newer, older)
}

/// Destroys the set of the old layout. Returns whether it was there.
pub fn destroy_set() -> Result<bool, EngineError> {
    let Some(ipset) = find_program("ipset") else { return Ok(false) };
    if !is_set_there()? {
        return Ok(false);
    }
    match release_set(&ipset, SET)? {
        None => Ok(true),
        Some(complaint) => Err(EngineError::Unsupported(format!("the set {SET} stays: {complaint}"))),
    }
}

/// What `iptables-save` prints, for each variant that has tables, and `ipset save`.
pub fn live() -> Result<(BTreeMap<&'static str, String>, String), EngineError> {
    let saved = at_once(all_tools()?, |tools| Ok((tools.variant.name(), tools.saved(Family::Ipv4)?)));
    let rules = saved.into_iter().collect::<Result<BTreeMap<_, _>, EngineError>>()?;
    let sets = find_program("ipset").map(|ipset| saved_sets(&ipset)).transpose()?;
    Ok((rules, sets.unwrap_or_default()))
}

/// Whether the set of the old layout is there, as far as the program `ipset` knows. No rule can name a set that is not, and to ask for
/// it is cheaper than to read rules.
pub fn is_set_there() -> Result<bool, EngineError> {
    Ok(set_names()?.iter().any(|name| name == SET))
}

/// Whether the set of the old layout is certain not to be there; an error where the kernel does not answer. Where the program `ipset` is
/// missing, nobody can tell.
pub fn is_set_gone() -> Result<bool, EngineError> {
    host::is_set_gone(SET)
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
    match tools() {
        Ok((usual, other)) => Ok([Some(usual), other].into_iter().flatten().collect()),
        Err(EngineError::Unsupported(_)) => Ok(vec![]),
        Err(error) => Err(error),
    }
}

fn filter_of(tools: &Tools) -> Result<Table, EngineError> {
    let tables = tools.read()?;
    Ok(tables.get(&Family::Ipv4).map(|tables| tables.table(TableName::Filter)).unwrap_or_default())
}

fn restore(lines: Vec<String>) -> Restore {
    let lines = lines.into_iter().map(|text| Line { text, origin: None }).collect();
    Restore { family: Family::Ipv4, lines }
}

/// A rule as a line of `iptables-save`.
fn rule_line(chain: &str, words: &[String]) -> String {
    format!("-A {chain} {}", text::line(words))
}
