//! A packet as rules of others see it.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::walk::{Payload, Translation};
use nix::libc;

use super::{Answer, Hook};
use crate::host::links::Link;
use crate::host::routes::AddressType;

/// IANA's numbers of ICMP and ICMPv6.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What rules ask the host about.
pub(crate) trait Host {
    /// Returns the type of an address for the host; nothing: there is no route to it.
    fn address_type(&self, address: IpAddr) -> Option<AddressType>;

    /// Returns the index of an interface that has an address of the host, if that is known.
    fn holder(&self, address: IpAddr) -> Option<u32>;

    /// Returns whether a set of ipset has an address, if that can be asked.
    fn set_has(&self, set: &str, address: IpAddr) -> Option<bool>;

    /// Returns the index of the interface by which the host would answer an address, if that can be asked.
    fn return_interface(&self, address: IpAddr) -> Option<u32>;
}

/// The first packet of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    /// Who sends it; nothing: anyone elsewhere.
    pub(crate) source: Option<IpAddr>,
    /// The address that is dialled.
    pub(crate) destination: IpAddr,
    /// What it carries.
    pub(crate) payload: Payload,
    /// The interface that it arrives on.
    pub(crate) incoming: &'a Link,
    /// The host at which it arrives.
    pub(crate) host: &'a dyn Host,
}

/// What connection tracking has of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Nothing: it comes later.
    NotYet,
    /// An entry, of which the packet is the first.
    New,
    /// Nothing: a rule excluded the packet.
    Exempt,
    /// One of these.
    Unknown,
}

impl Tracking {
    /// Returns whether it has an entry. If a packet has none, no question of a rule about an entry holds, nor does its
    /// opposite.
    pub(super) fn has_entry(self) -> Answer {
        match self {
            Self::New => Answer::Yes,
            Self::NotYet | Self::Exempt => Answer::No,
            Self::Unknown => Answer::Unknown,
        }
    }
}

/// The packet at a hook.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) packet: &'a Packet<'a>,
    pub(crate) hook: Hook,
    /// What its destination was translated to by then.
    pub(crate) translated: Option<Translation>,
    /// What connection tracking has of it.
    pub(crate) tracking: Tracking,
    /// The interface that it leaves by, if it is forwarded.
    pub(crate) outgoing: Option<&'a Link>,
    /// Whether some rule may have given it a mark.
    pub(super) may_be_marked: bool,
}

impl View<'_> {
    /// Returns its family.
    pub(super) fn family(&self) -> Family {
        if self.packet.destination.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// Returns the destination in its header.
    pub(super) fn destination(&self) -> IpAddr {
        self.translated.map_or(self.packet.destination, |to| to.address)
    }

    /// Returns the destination port in its header.
    pub(super) fn port(&self) -> Option<u16> {
        self.dialled_port().map(|dialled| self.translated.map_or(dialled, |to| to.port))
    }

    /// Returns the port that was dialled.
    pub(super) fn dialled_port(&self) -> Option<u16> {
        match self.packet.payload {
            Payload::Ports { destination, .. } => Some(destination),
            Payload::Icmp(_) | Payload::Other(_) => None,
        }
    }

    /// Returns its protocol's number.
    pub(super) fn protocol(&self) -> u8 {
        match self.packet.payload {
            Payload::Ports { transport, .. } => transport.number(),
            Payload::Icmp(_) if self.family() == Family::Ipv4 => ICMP,
            Payload::Icmp(_) => ICMPV6,
            Payload::Other(number) => number,
        }
    }

    /// Returns whether its source is in a network, by what is known of the source.
    pub(super) fn source_is(&self, is_there: impl Fn(IpAddr) -> bool, is_link_local: bool) -> Answer {
        match self.packet.source {
            Some(source) => is_there(source).into(),
            // A sender elsewhere has an address that routers forward.
            None if is_link_local => Answer::No,
            None => Answer::Unknown,
        }
    }

    /// Returns the type of an address for the host, if that is known.
    pub(super) fn address_type(&self, address: IpAddr) -> Option<AddressType> {
        match address {
            // `inet_dev_addr_type` (net/ipv4/fib_frontend.c) takes an address that it knows nothing about for somebody else's.
            IpAddr::V4(v4) if v4.is_broadcast() || v4.is_unspecified() => Some(AddressType::Broadcast),
            _ if address.is_multicast() => Some(AddressType::Multicast),
            IpAddr::V4(_) => self.packet.host.address_type(address).or(Some(AddressType::Unicast)),
            IpAddr::V6(_) => self.packet.host.address_type(address),
        }
    }

    /// Returns how it was sent on its link, as its destination shows (`PACKET_HOST` and its kin, linux/if_packet.h).
    pub(super) fn packet_type(&self) -> u8 {
        match self.address_type(self.packet.destination) {
            Some(AddressType::Broadcast) => libc::PACKET_BROADCAST,
            Some(AddressType::Multicast) => libc::PACKET_MULTICAST,
            _ => libc::PACKET_HOST,
        }
    }

    /// Returns whether the host would answer it by the interface that it arrived on. Packets from elsewhere arrive on the
    /// right one.
    pub(super) fn comes_by_the_way_back(&self) -> Answer {
        let Some(source) = self.packet.source else { return Answer::Yes };
        // There may be a route back by another interface as well.
        let is_it = self.packet.host.return_interface(source) == Some(self.packet.incoming.index);
        if is_it { Answer::Yes } else { Answer::Unknown }
    }

    /// Returns its mark, if that is known.
    pub(super) fn mark(&self) -> Option<u32> {
        (!self.may_be_marked).then_some(0)
    }
}
