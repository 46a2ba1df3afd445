//! A packet as rules see it.

use std::net::IpAddr;

use crate::address::Family;
use crate::ruleset::{Hook, InterfaceList, PortField};
use crate::service::Transport;

/// IANA's number of ICMP.
const ICMP: u8 = 1;
/// IANA's number of ICMPv6.
const ICMPV6: u8 = 58;

/// The hop limit that hosts send with, if nothing asks for another (IPDEFTTL, linux/ip.h).
pub const USUAL_HOP_LIMIT: u8 = 64;

/// A packet, and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub sender: Sender,
    /// Everything else.
    pub path: Path,
}

/// The source of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The source address, of the destination's family.
    pub address: IpAddr,
    /// Whether the address is one of the host's own, and the packet is none of the host's own to a group or to everyone.
    pub is_own: bool,
    /// Whether the host has no route back to the address by the interface that the packet arrived on.
    pub reverse_path_fails: bool,
}

/// Everything of a packet except its source: what it asks for, and its route through the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The address that it was sent to, before any translation.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
    /// What its connection's destination was translated to, if it was.
    pub translated: Option<Translation>,
    /// Its hop limit (IPv6) or time to live (IPv4) after routing, which takes one from forwarded packets.
    pub hop_limit: u8,
    /// The interface that it arrived on.
    pub incoming: Interface,
    /// The interface that it leaves by; nothing if it is for the host itself.
    pub outgoing: Option<Interface>,
    /// Its state in connection tracking.
    pub connection: Connection,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A protocol that has ports.
    Ports {
        /// The protocol.
        transport: Transport,
        /// The port that it was sent from.
        source: u16,
        /// The port that it was sent to, before any translation.
        destination: u16,
        /// Whether it opens a TCP connection: of FIN, SYN, RST and ACK only SYN is set.
        opens: bool,
    },
    /// ICMP or ICMPv6, as the destination's family has it, of this type.
    Icmp(u8),
    /// Any other protocol, by its IANA number.
    Other(u8),
}

/// A translated destination (DNAT or REDIRECT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The new address.
    pub address: IpAddr,
    /// The new port; without a meaning if the protocol has none.
    pub port: u16,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is a kernel bridge. An engine that knows interfaces by their names alone takes each for one.
    pub is_bridge: bool,
}

impl Interface {
    /// Returns whether a list of interfaces contains it.
    pub fn is_of(&self, list: &InterfaceList) -> bool {
        (self.is_bridge || !list.bridges_only)
            && list.patterns.iter().any(|pattern| pattern.matches(&self.name))
    }
}

/// The state of a packet in connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The first of a connection, as far as is known.
    New,
    /// Part of a known connection in the direction of its first packet, or an error or helper's packet about one.
    Live,
    /// None: it makes no sense to connection tracking, or was exempt from it.
    None,
}

impl Path {
    /// Returns the hooks that the packet meets.
    pub fn hooks(&self) -> [Hook; 3] {
        let routed = if self.outgoing.is_some() { Hook::Forward } else { Hook::Input };
        [Hook::Prerouting, Hook::Tracked, routed]
    }

    /// Returns the packet's family.
    pub fn family(&self) -> Family {
        if self.destination.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// Returns the packet's IP protocol.
    pub fn protocol(&self) -> u8 {
        match (self.payload, self.family()) {
            (Payload::Ports { transport, .. }, _) => transport.number(),
            (Payload::Icmp(_), Family::Ipv4) => ICMP,
            (Payload::Icmp(_), Family::Ipv6) => ICMPV6,
            (Payload::Other(number), _) => number,
        }
    }

    /// Returns the destination address in the packet's header, as it is at a hook.
    pub(super) fn destination_at(&self, hook: Hook) -> IpAddr {
        self.translation_at(hook).map_or(self.destination, |to| to.address)
    }

    /// Returns one of the packet's ports, as it is at a hook; nothing if it has none there.
    pub(super) fn port_at(&self, hook: Hook, field: PortField) -> Option<u16> {
        let Payload::Ports { source, destination, .. } = self.payload else { return None };
        match field {
            PortField::Source => Some(source),
            PortField::Destination => Some(self.translation_at(hook).map_or(destination, |to| to.port)),
            PortField::Dialled => self.is_tracked_at(hook).then_some(destination),
        }
    }

    /// Returns whether connection tracking knows the packet at a hook: the first of them comes before it.
    pub(super) fn is_tracked_at(&self, hook: Hook) -> bool {
        hook != Hook::Prerouting && self.connection != Connection::None
    }

    /// Returns what the packet was translated to by the time it meets a hook. Packets that are not tracked are not
    /// translated.
    pub(super) fn translation_at(&self, hook: Hook) -> Option<Translation> {
        self.translated.filter(|_| hook != Hook::Tracked && self.is_tracked_at(hook))
    }
}
