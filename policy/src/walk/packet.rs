//! A packet as rules see it.

use std::net::IpAddr;

use crate::address::Family;
use crate::ruleset::{Hook, InterfaceList, PortField};
use crate::service::Transport;

/// IANA's number of ICMP.
const ICMP: u8 = 1;
/// IANA's number of ICMPv6.
const ICMPV6: u8 = 58;

/// What hosts send with, where nothing asks for another (IPDEFTTL, linux/ip.h).
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
    /// Whether the host has no way back to the address by the interface that the packet came in by.
    pub reverse_path_fails: bool,
}

/// All of a packet but its source: what it asks for, and its way through the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The address that it was sent to, before any translation.
    pub destination: IpAddr,
    /// What it carries.
    pub payload: Payload,
    /// Where its connection's destination was translated to, if it was.
    pub translated: Option<Translation>,
    /// Its hop limit (IPv6) or time to live (IPv4) behind routing, which takes one from what it passes on.
    pub hop_limit: u8,
    /// The interface that it came in by.
    pub incoming: Interface,
    /// The interface that it goes out by; nothing where it is for the host itself.
    pub outgoing: Option<Interface>,
    /// What connection tracking thinks of it.
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
    /// The new port; of no meaning for what has none.
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
    /// Whether a list of interfaces has it.
    pub fn is_of(&self, list: &InterfaceList) -> bool {
        (self.is_bridge || !list.bridges_only)
            && list.patterns.iter().any(|pattern| pattern.matches(&self.name))
    }
}

/// What connection tracking thinks of a packet.
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
    /// The hooks that the packet meets.
    pub fn hooks(&self) -> [Hook; 2] {
        [Hook::Prerouting, if self.outgoing.is_some() { Hook::Forward } else { Hook::Input }]
    }

    /// The packet's family.
    pub fn family(&self) -> Family {
        if self.destination.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// The packet's IP protocol.
    pub fn protocol(&self) -> u8 {
        match (self.payload, self.family()) {
            (Payload::Ports { transport, .. }, _) => transport.number(),
            (Payload::Icmp(_), Family::Ipv4) => ICMP,
            (Payload::Icmp(_), Family::Ipv6) => ICMPV6,
            (Payload::Other(number), _) => number,
        }
    }

    /// The destination address in the packet's header, as it is at a hook.
    pub(super) fn destination_at(&self, hook: Hook) -> IpAddr {
        self.translation_at(hook).map_or(self.destination, |to| to.address)
    }

    /// One of the packet's ports, as it is at a hook; nothing where it has none there.
    pub(super) fn port_at(&self, hook: Hook, field: PortField) -> Option<u16> {
        let Payload::Ports { source, destination, .. } = self.payload else { return None };
        match field {
            PortField::Source => Some(source),
            PortField::Destination => Some(self.translation_at(hook).map_or(destination, |to| to.port)),
            PortField::Dialled => self.is_tracked_at(hook).then_some(destination),
        }
    }

    /// Whether connection tracking knows the packet at a hook: the first of them comes before it.
    pub(super) fn is_tracked_at(&self, hook: Hook) -> bool {
        hook != Hook::Prerouting && self.connection != Connection::None
    }

    /// What the packet was translated to by the time that it meets a hook. Nothing is translated that is not tracked.
    pub(super) fn translation_at(&self, hook: Hook) -> Option<Translation> {
        self.translated.filter(|_| self.is_tracked_at(hook))
    }
}
