//! What a rule of iptables asks of a packet: iptables(8), "PARAMETERS", and iptables-extensions(8), "MATCH EXTENSIONS".

use std::net::IpAddr;

use dockfw_policy::service::Transport;
use dockfw_policy::walk::Payload;
use ipnetwork::IpNetwork;

use super::{Answer, Tracking, View};
use crate::host::routes::AddressType;

/// The lowest port that a client sends from, unless it asks for another one (only root may use those below).
const CLIENT_PORTS: u16 = 1024;
/// The bit of SYN among the flags of TCP, of which the first packet of a connection has no other (RFC 9293).
pub(super) const SYN: u8 = 0x02;

/// A condition, or its opposite.
#[derive(Clone, Debug)]
pub(super) struct Negatable {
    pub(super) is_negated: bool,
    pub(super) condition: Condition,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Source(IpNetwork),
    Destination(IpNetwork),
    In(String),
    Out(String),
    Protocol(u8),
    SourcePort(Vec<[u16; 2]>),
    DestinationPort(Vec<[u16; 2]>),
    EitherPort(Vec<[u16; 2]>),
    /// What an address is to the host: one of these.
    DestinationType(Vec<AddressType>),
    SourceType(Vec<AddressType>),
    /// How the packet was sent on its link.
    PacketType(u8),
    States(Vec<String>),
    DialledAddress(IpNetwork),
    DialledPort([u16; 2]),
    Direction {
        is_original: bool,
    },
    Mark {
        value: u32,
        mask: u32,
    },
    /// The mark of its connection.
    ConnectionMark {
        value: u32,
        mask: u32,
    },
    Set {
        name: String,
        is_source: bool,
    },
    SourceRange([IpAddr; 2]),
    DestinationRange([IpAddr; 2]),
    IcmpType(u8),
    /// Whether an answer would leave by the interface that the packet arrived on.
    HasWayBack,
    Flags {
        mask: u8,
        set: u8,
    },
    /// What holds for every packet that is asked about.
    Always(bool),
    Unknown,
}

impl Negatable {
    pub(super) fn holds(&self, view: &View<'_>) -> Answer {
        let holds = self.condition.holds(view).negated(self.is_negated);
        if self.condition.is_of_entry() { holds.and(view.tracking.has_entry()) } else { holds }
    }

    /// Returns the ports that it asks the destination port to be one of.
    pub(super) fn ports(&self) -> Vec<(u16, u16)> {
        match &self.condition {
            Condition::DestinationPort(ranges) | Condition::EitherPort(ranges) if !self.is_negated => {
                ranges.iter().map(|[first, last]| (*first, *last)).collect()
            }
            Condition::DialledPort([first, last]) if !self.is_negated => vec![(*first, *last)],
            _ => vec![],
        }
    }

    /// Returns the single address that it asks the destination to be.
    pub(super) fn destination(&self) -> Option<IpAddr> {
        match &self.condition {
            Condition::Destination(network) | Condition::DialledAddress(network) if !self.is_negated => {
                let bits = if network.is_ipv4() { 32 } else { 128 };
                (network.prefix() == bits).then_some(network.ip())
            }
            _ => None,
        }
    }
}

impl Condition {
    /// Returns whether it is about an entry of connection tracking.
    fn is_of_entry(&self) -> bool {
        matches!(
            self,
            Self::DialledAddress(_)
                | Self::DialledPort(_)
                | Self::Direction { .. }
                | Self::ConnectionMark { .. }
        )
    }

    fn holds(&self, view: &View<'_>) -> Answer {
        let packet = view.packet;
        match self {
            Self::Source(network) => {
                let is_link_local = network.ip().to_string().starts_with("fe80:");
                view.source_is(|source| network.contains(source), is_link_local)
            }
            Self::SourceRange([first, last]) => {
                view.source_is(|source| (first..=last).contains(&&source), false)
            }
            Self::SourceType(types) => match packet.source {
                Some(source) => is_of_type(view, source, types),
                // A sender elsewhere has an address of its own.
                None => types.contains(&AddressType::Unicast).into(),
            },
            Self::Destination(network) => network.contains(view.destination()).into(),
            Self::DestinationRange([first, last]) => (first..=last).contains(&&view.destination()).into(),
            Self::DestinationType(types) => is_of_type(view, view.destination(), types),
            Self::PacketType(kind) => (view.packet_type() == *kind).into(),
            Self::In(pattern) => is_named(&packet.incoming.name, pattern).into(),
            Self::Out(pattern) => view.outgoing.is_some_and(|link| is_named(&link.name, pattern)).into(),
            Self::Protocol(number) => (view.protocol() == *number).into(),
            Self::SourcePort(ranges) => source_port(view, ranges),
            Self::DestinationPort(ranges) => is_in(view.port(), ranges).into(),
            Self::EitherPort(ranges) if is_in(view.port(), ranges) => Answer::Yes,
            Self::EitherPort(ranges) => source_port(view, ranges),
            Self::States(names) => states(view, names),
            Self::DialledAddress(network) => network.contains(packet.destination).into(),
            Self::DialledPort(range) => is_in(view.dialled_port(), &[*range]).into(),
            Self::Direction { is_original } => (*is_original).into(),
            Self::Mark { value, mask } | Self::ConnectionMark { value, mask } => {
                view.mark().map(|mark| mark & mask == *value).into()
            }
            Self::Set { name, is_source } => {
                let address = if *is_source { packet.source } else { Some(view.destination()) };
                address.and_then(|address| packet.host.set_has(name, address)).into()
            }
            Self::HasWayBack => view.comes_by_the_way_back(),
            Self::IcmpType(kind) => matches!(packet.payload, Payload::Icmp(own) if own == *kind).into(),
            Self::Flags { mask, set } => {
                let opens = matches!(packet.payload, Payload::Ports { transport: Transport::Tcp, .. });
                (opens && SYN & mask == *set).into()
            }
            Self::Always(holds) => (*holds).into(),
            Self::Unknown => Answer::Unknown,
        }
    }
}

/// Returns whether a name matches iptables' pattern, of which `+` at the end stands for anything.
fn is_named(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('+').map_or(name == pattern, |start| name.starts_with(start))
}

fn is_in(port: Option<u16>, ranges: &[[u16; 2]]) -> bool {
    port.is_some_and(|port| ranges.iter().any(|[first, last]| (first..=last).contains(&&port)))
}

/// Returns whether an address is of one of these types (`addrtype_mt_v1`, net/netfilter/xt_addrtype.c). For IPv6, all
/// those types must hold that are known without a route.
fn is_of_type(view: &View<'_>, address: IpAddr, types: &[AddressType]) -> Answer {
    let own = view.address_type(address);
    let asked = |kind| types.contains(&kind);
    let is_asked = own.map(|own| types.contains(&own));
    if address.is_ipv4() {
        return is_asked.into();
    }
    let (is_group, is_nobody) = (address.is_multicast(), address.is_unspecified());
    let fails =
        asked(AddressType::Multicast) && !is_group || asked(AddressType::Unicast) && (is_group || is_nobody);
    match asked(AddressType::Local) || asked(AddressType::Anycast) {
        _ if fails => Answer::No,
        true => is_asked.into(),
        false => Answer::Yes,
    }
}

/// A client chooses its own source port, rarely a low one.
fn source_port(view: &View<'_>, ranges: &[[u16; 2]]) -> Answer {
    if view.port().is_none() || ranges.iter().all(|[_, last]| *last < CLIENT_PORTS) {
        return Answer::No;
    }
    let takes_all = ranges.iter().any(|[first, last]| *first <= CLIENT_PORTS && *last == u16::MAX);
    if takes_all { Answer::Yes } else { Answer::Unknown }
}

/// Returns whether these states include that of a connection's first packet (`conntrack_mt`,
/// net/netfilter/xt_conntrack.c).
fn states(view: &View<'_>, names: &[String]) -> Answer {
    let has = |name: &str| names.iter().any(|own| own == name);
    let [not_yet, new, exempt] = ["INVALID", "NEW", "UNTRACKED"].map(has);
    match view.tracking {
        _ if has("DNAT") && view.translated.is_some() => Answer::Yes,
        Tracking::NotYet => not_yet.into(),
        Tracking::New => new.into(),
        Tracking::Exempt => exempt.into(),
        // Between connection tracking and translation, it is one of these.
        Tracking::Unknown if new == exempt => new.into(),
        Tracking::Unknown => Answer::Unknown,
    }
}
