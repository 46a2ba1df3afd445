//! What this engine has on the host, and what is around it, as plain data. Pure code.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{Count, Presence, SetState};
use dockfw_xtables::clauses::comment;
use dockfw_xtables::names::is_filling_set;
use dockfw_xtables::ownership::{has_foreign_filters, have_own, own_chains};
use dockfw_xtables::presence::presence_of;
use dockfw_xtables::saved::{TableName, Tables};
use ipnetwork::IpNetwork;

use crate::lower::counter_of;

/// What is on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// The tables of each family that the host has.
    pub(crate) families: BTreeMap<Family, Tables>,
    /// The engine's own sets, with their elements if they can be the right ones.
    pub(crate) sets: BTreeMap<String, Option<Vec<IpNetwork>>>,
}

impl Live {
    /// Returns the family and the table in which FILTERS is someone else's, if there is one.
    pub(crate) fn foreign_filters(&self) -> Option<(Family, &'static str)> {
        let families = self.families.iter();
        let mut places =
            families.flat_map(|(family, tables)| TableName::ALL.map(|name| (*family, tables, name)));
        let found = places
            .find(|(_, tables, name)| *name != TableName::Raw && has_foreign_filters(&tables.table(*name)));
        found.map(|(family, _, name)| (family, name.as_str()))
    }

    /// Returns how much of the engine is there.
    pub(crate) fn presence(&self) -> Presence {
        presence_of(self.families.values().any(have_own), !self.sets.is_empty())
    }

    /// Returns the counters that rules of the policy name in their comments, summed over the rules of both families.
    pub(crate) fn counters(&self) -> Vec<Count> {
        let mut order = Vec::new();
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for tables in self.families.values() {
            let table = tables.table(TableName::Mangle);
            for rule in own_chains(&table).into_iter().flat_map(|name| table.rules(name)) {
                let Some(name) = comment(&rule.words).and_then(counter_of) else { continue };
                let name = name.to_string();
                if !counts.contains_key(&name) {
                    order.push(name.clone());
                }
                let (packets, bytes) = counts.entry(name).or_default();
                *packets += rule.packets;
                *bytes += rule.bytes;
            }
        }
        let count = |name: String| {
            let (packets, bytes) = counts.get(&name).copied().unwrap_or_default();
            Count { name, packets, bytes }
        };
        order.into_iter().map(count).collect()
    }

    /// Returns the sets that are finished.
    pub(crate) fn set_states(&self) -> Vec<SetState> {
        let finished = self.sets.iter().filter(|(name, _)| !is_filling_set(name));
        finished
            .map(|(name, networks)| SetState {
                name: name.clone(),
                elements: networks.as_ref().and_then(|networks| u64::try_from(networks.len()).ok()),
            })
            .collect()
    }
}
