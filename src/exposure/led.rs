//! Where rules of others lead a packet for a door.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::walk::Translation;

use super::doors::Door;
use super::{Facts, Kind, placeholder};
use crate::foreign::{Arrival, Host, Packet, Place, Way};
use crate::host::links::Link;
use crate::host::routes::AddressType;

/// Docker's chains of iptables, and the table of its nftables backend: those whose translations are of published ports,
/// or of the routing mesh's.
const PUBLISHED: &str = "DOCKER";
const MESH: &str = "DOCKER-INGRESS";
const TABLE: &str = " docker-bridges";

/// The host, for the rules that ask about it.
pub(super) struct Surroundings<'a> {
    facts: &'a Facts,
    /// An address of each family that stands for all that no rule names.
    any: [IpAddr; 2],
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(facts: &'a Facts) -> Self {
        Self { facts, any: Family::BOTH.map(|family| unnamed(facts, family)) }
    }

    /// Returns where a packet for a door that arrives on an interface may be led, and whether that is known.
    pub(super) fn arrival(&self, door: &Door<'_>, incoming: &Link) -> Arrival {
        let [v4, v6] = self.any;
        let any = if door.family == Family::Ipv4 { v4 } else { v6 };
        let destination = if door.address.is_unspecified() { any } else { door.address };
        let packet = Packet { source: None, destination, payload: door.port.opening(), incoming, host: self };
        let mut arrival = self.facts.others.tables.arrival(&packet);
        if !self.facts.others.unreadable.is_empty() {
            arrival.ways.splice(0..0, claimed(door, &arrival));
        }
        arrival
    }

    /// Returns whether an address is one of the host's own.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.any.contains(&address) || self.holder(address).is_some()
    }
}

/// Returns where Docker's own statement leads a door. If rules can't be read, it is as good as rules.
fn claimed(door: &Door<'_>, arrival: &Arrival) -> Option<Way> {
    let is_led = arrival.ways.iter().any(|way| way.translated.is_some());
    let (address, port) = door.target.filter(|_| !is_led)?;
    Some(Way { translated: Some(Translation { address, port }), is_tracked: true, by: None })
}

/// Returns the first address of the host that no rule names; if it has none, one that stands for any.
fn unnamed(facts: &Facts, family: Family) -> IpAddr {
    let named = facts.others.tables.doors(family).addresses;
    let links = facts.links.iter().filter(|link| link.is_up && !link.is_loopback());
    let mut own = links.flat_map(|link| link.addresses.iter().copied());
    own.find(|address| is_of(*address, family) && !named.contains(address)).unwrap_or(placeholder(family))
}

fn is_of(address: IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::Ipv4)
}

impl Host for Surroundings<'_> {
    fn address_type(&self, address: IpAddr) -> Option<AddressType> {
        Some(if self.is_own(address) { AddressType::Local } else { AddressType::Unicast })
    }

    fn holder(&self, address: IpAddr) -> Option<u32> {
        self.facts.links.iter().find(|link| link.addresses.contains(&address)).map(|link| link.index)
    }

    fn set_has(&self, _: &str, _: IpAddr) -> Option<bool> {
        None
    }

    fn return_interface(&self, _: IpAddr) -> Option<u32> {
        None
    }
}

/// Returns the kind of a door that a rule leads on.
pub(super) fn kind_by(place: &Place) -> Kind {
    match place.chain.as_str() {
        PUBLISHED => Kind::Published,
        MESH => Kind::Mesh,
        _ if place.table.ends_with(TABLE) => Kind::Published,
        _ => Kind::Translated,
    }
}
