//! The lists of addresses that rules name: each once, however many rules name it.

use std::collections::{HashMap, HashSet};

use super::names::Names;
use super::title;
use crate::address::AddressSet;
use crate::policy::{AllowRule, Source, SourceList};
use crate::ruleset::{AddressList, Match, SetName};

/// A rule of the policy, with its names in the ruleset.
pub(super) struct Allowed<'a> {
    pub(super) rule: &'a AllowRule,
    /// Its counter.
    pub(super) counter: SetName,
    /// The addresses in its `from`: for each list, what must hold.
    sources: Vec<Match>,
}

impl Allowed<'_> {
    /// Returns the alternatives in the `from` that are about addresses: for each, what else must hold.
    pub(super) fn addresses(&self) -> Vec<Vec<Match>> {
        match self.rule.from {
            Source::Everyone => vec![vec![]],
            Source::These { .. } => self.sources.iter().map(|source| vec![source.clone()]).collect(),
        }
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

/// Returns the rules with their names, and their lists. A list is named after a group that is exactly this list, or else
/// after the first rule that has it. The only address or network that a rule itself lists needs none: with thousands of
/// rules, it would be the sets that take most of the kernel's time.
pub(super) fn of_rules<'a>(rules: &'a [AllowRule]) -> (Vec<Allowed<'a>>, Vec<AddressList>) {
    let mut names = Names::default();
    let counters: Vec<_> = rules.iter().map(|rule| names.of_rule(rule)).collect();
    let mut shared = Shared::default();
    for list in rules.iter().flat_map(|rule| rule.from.lists()) {
        if let Some(group) = &list.group {
            shared.share(&list.addresses, || format!("group '{group}'"), || names.of_group(group));
        }
    }
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
        Allowed { rule, counter, sources }
    });
    (allowed.collect(), shared.lists)
}
