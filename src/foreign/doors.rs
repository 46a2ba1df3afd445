//! What rules lead elsewhere: the numbers that they name, which are then tried.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dockfw_policy::address::Family;

use super::nft::{Field, Lookup, address};
use super::{Chain, Hook, Rule, Table, Tables};

/// A range of more ports than this is not tried at all.
const MOST: u16 = 1_000;

/// The numbers that translation rules name. Not all are led anywhere: each is to be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doors {
    /// Ports.
    pub(crate) ports: BTreeSet<u16>,
    /// Addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
}

/// A rule that leads more than can be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Led {
    /// The table.
    pub(crate) table: String,
    /// The rule as a string.
    pub(crate) rule: String,
}

impl Tables {
    /// Returns what the rules that translate incoming packets name.
    pub(crate) fn doors(&self, family: Family) -> Doors {
        let mut doors = Doors::default();
        for table in self.translating(family) {
            let rules = || table.chains.values().flat_map(|chain| &chain.rules);
            let listed: BTreeSet<_> = rules().flat_map(Rule::lookups).collect();
            let ports = rules()
                .flat_map(Rule::ports)
                .chain(listed.iter().flat_map(|lookup| ports_in(table, *lookup)));
            doors.ports.extend(ports.filter(|range| !is_wide(*range)).flat_map(|(first, last)| first..=last));
            doors.addresses.extend(rules().flat_map(|rule| rule.addresses(family)));
            doors.addresses.extend(listed.iter().flat_map(|lookup| addresses_in(table, *lookup, family)));
        }
        doors.ports.remove(&0);
        doors
    }

    /// Returns the rules that lead elsewhere whatever port is dialled, or more ports than can be tried, or the ports of a
    /// set that could not be read.
    pub(crate) fn wide(&self, family: Family) -> Vec<Led> {
        let led = |table: &Table, rule: &Rule| Led { table: table.name.clone(), rule: rule.to_string() };
        let tables = self.translating(family).flat_map(|table| {
            let reached = reached(table).into_iter().flat_map(|chain| &chain.rules);
            let wide = reached.filter(|rule| rule.translates() && rule.is_wide(table));
            let all = table.chains.values().flat_map(|chain| &chain.rules);
            let unread = all.filter(|rule| rule.asks_for_unread_ports(table));
            wide.chain(unread).map(move |rule| led(table, rule))
        });
        let mut found: Vec<_> = tables.collect();
        found.dedup();
        found
    }

    fn translating(&self, family: Family) -> impl Iterator<Item = &Table> {
        self.of(family).filter(|table| table.chains.values().any(is_translating))
    }
}

fn is_translating(chain: &Chain) -> bool {
    chain.hooked.is_some_and(|hooked| hooked.translates && hooked.hook == Hook::Prerouting)
}

/// Returns the chains in which a packet may be led: those that are hooked in. What leads on to others asks for ports,
/// mostly there.
fn reached(table: &Table) -> Vec<&Chain> {
    table.chains.values().filter(|chain| is_translating(chain)).collect()
}

/// Returns whether these are more ports than are tried.
fn is_wide((first, last): (u16, u16)) -> bool {
    last.saturating_sub(first) >= MOST
}

impl Rule {
    /// Returns whether neither the rule nor a set that it asks restricts it to a few ports.
    fn is_wide(&self, table: &Table) -> bool {
        let lookups = self.lookups();
        let mut listed = lookups.iter().flat_map(|lookup| ports_in(table, *lookup)).peekable();
        self.ports().all(is_wide) && (listed.peek().is_none() || listed.any(is_wide))
    }

    fn asks_for_unread_ports(&self, table: &Table) -> bool {
        self.lookups()
            .iter()
            .any(|lookup| lookup.field == Field::Port && !table.sets.contains_key(lookup.set))
    }

    fn lookups(&self) -> Vec<Lookup<'_>> {
        match self {
            Self::Iptables(_) => Vec::new(),
            Self::Nft(rule) => rule.lookups(),
        }
    }

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

/// Returns the ports that a set names, if it is asked for ports.
fn ports_in<'a>(table: &'a Table, lookup: Lookup<'_>) -> impl Iterator<Item = (u16, u16)> + use<'a> {
    let set = table.sets.get(lookup.set).filter(|_| lookup.field == Field::Port);
    set.into_iter().flat_map(move |set| set.numbers(lookup.at))
}

/// Returns the addresses that it names, if it is asked for those of a family.
fn addresses_in<'a>(
    table: &'a Table,
    lookup: Lookup<'_>,
    family: Family,
) -> impl Iterator<Item = IpAddr> + use<'a> {
    let size = if family == Family::Ipv4 { 4 } else { 16 };
    let set = table.sets.get(lookup.set).filter(|_| lookup.field == Field::Address(family));
    set.into_iter().flat_map(move |set| set.parts(lookup.at, size)).filter_map(address)
}
