//! What others do whatever the packet is: which of their chains close everything that none of their rules mentions, and
//! which of their tables exclude packets from connection tracking.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::Payload;

use super::{Chain, Hooked, Place, Table, Tables};
use super::{Hook, Host, Packet};
use crate::host::links::Link;
use crate::host::routes::AddressType;

/// Docker's own chains and tables: what they close is up to Docker.
const DOCKERS: &str = "docker-bridges";

/// A chain that closes everything that none of its rules mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Its hook.
    pub(crate) hook: Hook,
    /// Where it closes: its policy, or the rule.
    pub(crate) place: Place,
    /// The chain that is hooked in.
    pub(crate) chain: String,
    /// The family, if its table is one of iptables'.
    pub(crate) of_iptables: Option<Family>,
}

impl Tables {
    /// Returns the chains that close an unremarkable packet from one of these interfaces: a TCP connection from someone
    /// elsewhere to a port that no rule mentions. A rule that depends on the sender (by a list of bans, for example) closes
    /// nothing.
    pub(crate) fn closing(&self, incoming: &[&Link]) -> Vec<Closing> {
        let mut found: Vec<Closing> = Vec::new();
        for family in Family::BOTH {
            let chains = self.of(family).filter(|table| !table.name.ends_with(DOCKERS)).flat_map(hooked);
            for (table, name, hooked) in chains.filter(|(.., hooked)| !hooked.translates) {
                let place =
                    incoming.iter().find_map(|link| self.default_drop(table, name, hooked, link, family));
                let of_iptables = table.of_iptables.as_ref().and(table.family);
                let closing =
                    place.map(|place| Closing { hook: hooked.hook, place, chain: name.into(), of_iptables });
                found.extend(closing.filter(|one| !found.contains(one)));
            }
        }
        found
    }

    /// Returns the tables that exclude packets from connection tracking.
    pub(crate) fn untracking(&self) -> BTreeSet<&str> {
        let is_it =
            |table: &&Table| table.chains.values().flat_map(|chain| &chain.rules).any(super::Rule::untracks);
        let all = Family::BOTH.into_iter().flat_map(|family| self.of(family));
        all.filter(is_it).map(|table| table.name.as_str()).collect()
    }

    /// Returns a rule that gives connections a helper of connection tracking.
    pub(crate) fn helping(&self) -> Option<Place> {
        let tables = Family::BOTH.into_iter().flat_map(|family| self.of(family));
        let mut rules = tables.flat_map(|table| {
            let chains = table.chains.iter();
            chains.flat_map(move |(name, chain)| chain.rules.iter().map(move |rule| (table, name, rule)))
        });
        let (table, chain, rule) = rules.find(|(.., rule)| rule.helps())?;
        Some(Place { table: table.name.clone(), chain: chain.clone(), rule: Some(rule.to_string()) })
    }

    /// Returns where a chain drops an unremarkable packet.
    fn default_drop(
        &self,
        table: &Table,
        name: &str,
        hooked: Hooked,
        incoming: &Link,
        family: Family,
    ) -> Option<Place> {
        let payload =
            Payload::Ports { transport: Transport::Tcp, source: PORT, destination: PORT, opens: true };
        let packet =
            Packet { source: None, destination: anywhere(family), payload, incoming, host: &Nowhere };
        // Docker's chains of iptables are reached by jumps, which come first. What these chains let through or close is left
        // aside.
        let follows = hooked.hook != Hook::Forward || table.of_iptables.is_none();
        self.default_outcome(&packet, table, name, hooked, follows)
    }
}

/// Linux itself sends from this port (net.ipv4.ip_local_port_range), and no service has it.
const PORT: u16 = 50_001;

/// Returns an address of the host's (RFC 5737, RFC 3849).
fn anywhere(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

struct Nowhere;

impl Host for Nowhere {
    fn address_type(&self, _: IpAddr) -> Option<AddressType> {
        Some(AddressType::Local)
    }

    fn holder(&self, _: IpAddr) -> Option<u32> {
        None
    }

    fn set_has(&self, _: &str, _: IpAddr) -> Option<bool> {
        None
    }

    fn return_interface(&self, _: IpAddr) -> Option<u32> {
        None
    }
}

fn hooked(table: &Table) -> impl Iterator<Item = (&Table, &str, Hooked)> {
    let chains = table.chains.iter();
    chains.filter_map(move |(name, chain): (&String, &Chain)| Some((table, name.as_str(), chain.hooked?)))
}
