//! What rules lead elsewhere: the numbers that they name, which are then tried.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Hook;

use super::table::{Chain, Rule, Table, Tables};

/// Of a range of more ports, none is tried.
const MOST: u16 = 1_000;

/// The numbers that rules of translation name. Not all are led anywhere: each is to be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doors {
    /// Ports.
    pub(crate) ports: BTreeSet<u16>,
    /// Addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
}

/// Where a rule leads more than can be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Led {
    /// The table.
    pub(crate) table: String,
    /// The rule as text.
    pub(crate) rule: String,
}

impl Tables {
    /// What the rules name that translate what comes in.
    pub(crate) fn doors(&self, family: Family) -> Doors {
        let mut doors = Doors::default();
        for table in self.translating(family) {
            let rules = table.chains.values().flat_map(|chain| &chain.rules);
            for rule in rules {
                doors.ports.extend(
                    rule.ports().filter(|(first, last)| last - first < MOST).flat_map(|(a, b)| a..=b),
                );
                doors.addresses.extend(rule.addresses(family));
            }
            let elements = table.sets.values().flat_map(|set| &set.elements);
            let keys: Vec<_> = elements.map(|element| element.key.as_slice()).collect();
            doors.ports.extend(keys.iter().flat_map(|key| ports_in(key)));
            doors.addresses.extend(keys.iter().flat_map(|key| addresses_in(key, family)));
        }
        doors.ports.remove(&0);
        doors
    }

    /// The rules that lead elsewhere whatever port is dialled, or more ports than can be tried.
    pub(crate) fn wide(&self, family: Family) -> Vec<Led> {
        let tables = self.translating(family);
        let rules = tables.flat_map(|table| {
            let reached = reached(table);
            reached.into_iter().flat_map(move |chain| chain.rules.iter().map(move |rule| (table, rule)))
        });
        let wide = rules
            .filter(|(_, rule)| rule.translates() && rule.ports().all(|(first, last)| last - first >= MOST));
        wide.filter(|(table, rule)| !is_narrowed(table, rule))
            .map(|(table, rule)| Led { table: table.name.clone(), rule: rule.to_string() })
            .collect()
    }

    fn translating(&self, family: Family) -> impl Iterator<Item = &Table> {
        self.of(family).filter(|table| table.chains.values().any(is_translating))
    }
}

fn is_translating(chain: &Chain) -> bool {
    chain.hooked.is_some_and(|hooked| hooked.translates && hooked.hook == Hook::Prerouting)
}

/// The chains where a packet may be led: those that are hooked in. What leads on to others asks for ports, mostly there.
fn reached(table: &Table) -> Vec<&Chain> {
    table.chains.values().filter(|chain| is_translating(chain)).collect()
}

/// Whether a set that the rule asks names the ports.
fn is_narrowed(table: &Table, rule: &Rule) -> bool {
    let Rule::Nft(rule) = rule else { return false };
    rule.sets().any(|name| {
        table.sets.get(name).is_some_and(|set| set.elements.iter().any(|one| !ports_in(&one.key).is_empty()))
    })
}

impl Rule {
    fn ports(&self) -> Box<dyn Iterator<Item = (u16, u16)> + '_> {
        match self {
            Self::Iptables(rule) => Box::new(rule.ports()),
            Self::Nft(rule) => Box::new(rule.ports()),
        }
    }

    fn addresses(&self, family: Family) -> Box<dyn Iterator<Item = IpAddr> + '_> {
        match self {
            Self::Iptables(rule) => Box::new(rule.destinations()),
            Self::Nft(rule) => Box::new(rule.addresses(family)),
        }
    }

    fn translates(&self) -> bool {
        match self {
            Self::Iptables(rule) => rule.translates(),
            Self::Nft(rule) => rule.translates(),
        }
    }
}

/// What could be a port among the fields of a key, each of which begins at a multiple of 4 bytes.
fn ports_in(key: &[u8]) -> Vec<u16> {
    let fields = key.chunks(4).filter_map(|field| match field {
        [a, b] | [a, b, 0, 0] => Some(u16::from_be_bytes([*a, *b])),
        _ => None,
    });
    fields.filter(|port| *port != 0).collect()
}

/// What could be an address among them.
fn addresses_in(key: &[u8], family: Family) -> Vec<IpAddr> {
    let size = if family == Family::Ipv4 { 4 } else { 16 };
    let starts = (0..key.len()).step_by(4);
    starts.filter_map(|at| super::nft::address(key.get(at..at.checked_add(size)?)?)).collect()
}
