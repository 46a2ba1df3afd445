//! The lists of addresses and interfaces that rules name: each once, however many rules name it.

use std::collections::{HashMap, HashSet};

use super::names::Names;
use super::title;
use crate::address::AddressSet;
use crate::interface::IfPattern;
use crate::policy::{AllowRule, Source, SourceList};
use crate::ruleset::{AddressList, InterfaceList, Match, SetName};

/// A rule of the policy, with its names in the ruleset.
pub(super) struct Allowed<'a> {
    pub(super) rule: &'a AllowRule,
    /// Its counter.
    pub(super) counter: SetName,
    /// What must hold of the interface on which packets arrive, if anything.
    arrival: Option<Match>,
    /// The addresses in its `from`: for each list, what must hold.
    sources: Vec<Match>,
}

impl Allowed<'_> {
    /// Returns the alternatives in the `from` that are about addresses: for each, what else must hold.
    pub(super) fn addresses(&self) -> Vec<Vec<Match>> {
        match self.rule.from {
            Source::Everyone => vec![self.arrival.iter().cloned().collect()],
            Source::These { .. } => self.sources.iter().map(|source| self.arriving(source.clone())).collect(),
        }
    }

    /// Returns what must hold if this is one of the alternatives.
    pub(super) fn arriving(&self, source: Match) -> Vec<Match> {
        self.arrival.iter().cloned().chain([source]).collect()
    }
}

/// The lists so far. Of equal ones, the first gives its name to all.
#[derive(Default)]
struct Shared<'a> {
    known: HashMap<&'a AddressSet, SetName>,
    lists: Vec<AddressList>,
}

impl<'a> Shared<'a> {
    fn share(
        &mut self,
        addresses: &'a AddressSet,
        comment: impl FnOnce() -> String,
        name: impl FnOnce() -> SetName,
    ) -> SetName {
        let lists = &mut self.lists;
        let new = || {
            let name = name();
            lists.push(AddressList { name: name.clone(), comment: comment(), addresses: addresses.clone() });
            name
        };
        self.known.entry(addresses).or_insert_with(new).clone()
    }
}

/// The lists of interfaces so far. Of equal ones, the first gives its name to all.
#[derive(Default)]
struct Arrivals<'a> {
    known: HashMap<&'a [IfPattern], SetName>,
    lists: Vec<InterfaceList>,
}

impl<'a> Arrivals<'a> {
    fn of(&mut self, rule: &'a AllowRule, names: &mut Names) -> Option<Match> {
        let patterns = rule.incoming.as_slice();
        let lists = &mut self.lists;
        let new = || {
            let name = names.of_arrival(rule);
            lists.push(InterfaceList {
                name: name.clone(),
                patterns: patterns.to_vec(),
                bridges_only: false,
            });
            name
        };
        (!patterns.is_empty()).then(|| Match::In(self.known.entry(patterns).or_insert_with(new).clone()))
    }
}

/// The rules of a policy, and all lists that they name.
pub(super) struct Lists<'a> {
    pub(super) allowed: Vec<Allowed<'a>>,
    pub(super) addresses: Vec<AddressList>,
    pub(super) interfaces: Vec<InterfaceList>,
}

/// Returns the rules with their names, and their lists. A list is named after a group that is exactly this list, or else
/// after the first rule that has it. The only address or network that a rule itself lists needs none: with thousands of
/// rules, it would be the sets that take most of the kernel's time.
pub(super) fn of_rules<'a>(rules: &'a [AllowRule]) -> Lists<'a> {
    let mut names = Names::default();
    let counters: Vec<_> = rules.iter().map(|rule| names.of_rule(rule)).collect();
    let mut shared = Shared::default();
    for list in rules.iter().flat_map(|rule| rule.from.lists()) {
        if let Some(group) = &list.group {
            shared.share(&list.addresses, || format!("group '{group}'"), || names.of_group(group));
        }
    }
    let mut arrivals = Arrivals::default();
    let allowed = rules.iter().zip(counters).map(|(rule, counter)| {
        let mut own = Some(counter.clone());
        let mut name = || own.take().unwrap_or_else(|| names.of_rule(rule));
        let comment = || format!("sources of {}", title(rule));
        let mut source = |list: &'a SourceList| match list.addresses.only_network() {
            Some(network) if list.group.is_none() => Match::SourceNetwork(network),
            _ => Match::Source(shared.share(&list.addresses, comment, &mut name)),
        };
        let mut sources: Vec<_> = rule.from.lists().iter().map(&mut source).collect();
        // Lists of the same addresses have one name.
        let mut seen = HashSet::new();
        sources.retain(|source| seen.insert(source.clone()));
        Allowed { rule, counter, arrival: arrivals.of(rule, &mut names), sources }
    });
    Lists { allowed: allowed.collect(), addresses: shared.lists, interfaces: arrivals.lists }
}
