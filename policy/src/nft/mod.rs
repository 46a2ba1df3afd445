//! A ruleset in nftables' own terms: one table with its chains, sets and counters.
//!
//! [`lower()`] is the only way to create it from a [`Ruleset`](crate::ruleset::Ruleset). [`text`] writes the table as
//! `nft` would read it, and the native engine writes the same table as netlink messages.

mod dispatch;
mod lower;
mod pieces;
pub mod text;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use crate::address::{Address, Family, Range};
use crate::digest::Digest;
use crate::interface::IfPattern;
use crate::policy::Rate;
use crate::ruleset::{Hook, Origin, PortField, SetName};
use crate::service::{PortRange, Transport};

pub use lower::{Features, lower};

/// The table's name; its family is `inet`.
pub const TABLE: &str = "dockfw";

/// How the names of the chains begin that maps lead to.
pub const TARGET: &str = "port_";

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Named counters.
    pub counters: Vec<Counter>,
    /// Named sets.
    pub sets: Vec<Set>,
    /// Chains; chains that others jump to come first.
    pub chains: Vec<Chain>,
}

impl Table {
    /// Returns the same table with other names of sets: those that `rename` returns for them, if any.
    pub fn with_sets_renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let mut table = self.clone();
        let rename = |name: &mut String| name.clone_from(&rename(name).unwrap_or_else(|| name.clone()));
        table.sets.iter_mut().for_each(|set| rename(&mut set.name));
        let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
        rules.flat_map(|rule| &mut rule.statements).filter_map(Statement::set_mut).for_each(rename);
        table
    }
}

/// A named counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The counter's name.
    pub name: SetName,
}

/// A named set, or a map, which is a set too. It never changes: a set with other contents has another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The set's name, which ends in a digest of everything else.
    pub name: String,
    /// The list of the ruleset that its elements come from; ports come from none.
    pub list: Option<SetName>,
    /// Its elements, which determine its type.
    pub elements: Elements,
    /// Whether it is an interval set: whether any element is more than a single value.
    pub interval: bool,
    /// Its description; at most 100 bytes.
    pub comment: String,
}

/// Returns a set's name without the digest at its end, if it has one: its name in the policy.
pub fn title(name: &str) -> &str {
    name.rsplit_once('_').filter(|(_, end)| Digest::is_letters(end)).map_or(name, |(title, _)| title)
}

impl Set {
    /// Returns a set whose name begins with its name in the policy.
    pub fn new(
        title: &str,
        list: Option<SetName>,
        elements: Elements,
        interval: bool,
        comment: String,
    ) -> Self {
        let kind = [elements.kind(), u8::from(interval)];
        let parts = [title.as_bytes(), &kind, comment.as_bytes(), &elements.bytes()];
        let name = format!("{title}_{}", Digest::of(parts).letters());
        Self { name, list, elements, interval, comment }
    }
}

/// The elements of a set, sorted and without overlaps. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// `ipv4_addr`.
    Ipv4(Vec<Range<Ipv4Addr>>),
    /// `ipv6_addr`.
    Ipv6(Vec<Range<Ipv6Addr>>),
    /// `inet_service`.
    Ports(Vec<PortRange>),
    /// `ifname`.
    Interfaces(Vec<IfPattern>),
    /// `inet_service : verdict`: a map from ports to the chains that they jump to.
    Jumps(Vec<(PortRange, String)>),
}

impl Elements {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Ipv4(ranges) => ranges.len(),
            Self::Ipv6(ranges) => ranges.len(),
            Self::Ports(ranges) => ranges.len(),
            Self::Interfaces(patterns) => patterns.len(),
            Self::Jumps(jumps) => jumps.len(),
        }
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the chains that elements of a map jump to.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let jumps = if let Self::Jumps(jumps) = self { jumps.as_slice() } else { &[] };
        jumps.iter().map(|(_, chain)| chain.as_str())
    }

    /// Returns a number for each type.
    fn kind(&self) -> u8 {
        match self {
            Self::Ipv4(_) => 4,
            Self::Ipv6(_) => 6,
            Self::Ports(_) => 1,
            Self::Interfaces(_) => 2,
            Self::Jumps(_) => 3,
        }
    }

    /// Returns the elements as bytes, different for each list of elements.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ipv4(ranges) => ends(ranges, Ipv4Addr::octets),
            Self::Ipv6(ranges) => ends(ranges, Ipv6Addr::octets),
            Self::Ports(ranges) => ranges.iter().flat_map(|range| port_bytes(*range)).collect(),
            // No name of a chain has a NUL in it.
            Self::Jumps(jumps) => {
                let bytes = |(range, chain): &(PortRange, String)| {
                    [&port_bytes(*range), chain.as_bytes(), &[0]].concat()
                };
                jumps.iter().flat_map(bytes).collect()
            }
            // No name of an interface has a NUL in it.
            Self::Interfaces(patterns) => {
                patterns.iter().flat_map(|pattern| format!("{pattern}\0").into_bytes()).collect()
            }
        }
    }
}

fn port_bytes(range: PortRange) -> [u8; 4] {
    let ([a, b], [c, d]) = (range.first().to_be_bytes(), range.last().to_be_bytes());
    [a, b, c, d]
}

/// Returns both ends of each of these ranges, of which there may be hundreds of thousands.
fn ends<A: Address, const N: usize>(ranges: &[Range<A>], octets: impl Fn(&A) -> [u8; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ranges.len() * 2 * N);
    for range in ranges {
        bytes.extend_from_slice(&octets(&range.first()));
        bytes.extend_from_slice(&octets(&range.last()));
    }
    bytes
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The chain's name.
    pub name: String,
    /// The hook whose packets meet it.
    pub hook: Hook,
    /// The priority at the hook of a base chain, which is of type `filter` and policy `accept`; nothing for a chain that is
    /// only jumped to.
    pub priority: Option<i32>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule: statements from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The statements.
    pub statements: Vec<Statement>,
    /// The rule's comment, at most 100 bytes.
    pub comment: String,
    /// The part of the policy that it comes from.
    pub origin: Origin,
}

/// One statement of a rule. What it depends on (`meta nfproto`, `meta l4proto`) is implied, once per rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `iifname "lo"`, `oifname "vmbr0"`.
    InterfaceName {
        /// In or out.
        direction: Direction,
        /// The name, or its beginning.
        pattern: IfPattern,
    },
    /// `iifname @set`, `oifname @set`.
    InterfaceIn {
        /// In or out.
        direction: Direction,
        /// The set.
        set: String,
        /// `!=`.
        negated: bool,
    },
    /// `meta iifkind "bridge"`, `meta oifkind "bridge"`.
    Bridge(Direction),
    /// `ip saddr 127.0.0.0/8` and the like.
    Address {
        /// Source or destination.
        end: End,
        /// The network.
        network: IpNetwork,
    },
    /// `ct original ip daddr 127.0.0.0/8` and the like.
    DialledAddress(IpNetwork),
    /// `ip saddr @set`, `ip6 daddr @set` and the like.
    AddressIn {
        /// Source or destination.
        end: End,
        /// The set's family.
        family: Family,
        /// The set.
        set: String,
    },
    /// `meta pkttype host`: sent to this host alone; or `!=`.
    Unicast {
        /// `!=`.
        negated: bool,
    },
    /// `fib daddr type unicast`: for an address that is none of the host's, no group's and not everyone's; or `!=`.
    IsElsewhere {
        /// `!=`.
        negated: bool,
    },
    /// `fib saddr type local`, `fib daddr type local`.
    IsLocal(End),
    /// `fib saddr . iif oif missing`: no route back to the source by the interface that the packet arrived on.
    ReversePathFails,
    /// `ip ttl N`, `ip6 hoplimit N`.
    HopLimit {
        /// IPv4 or IPv6.
        family: Family,
        /// The number.
        limit: u8,
    },
    /// `meta nfproto ipv4`.
    Family(Family),
    /// `meta l4proto N`.
    Protocol(u8),
    /// `icmp type`, `icmpv6 type`.
    Icmp {
        /// ICMP or ICMPv6.
        family: Family,
        /// The types.
        types: RangeInclusive<u8>,
    },
    /// `tcp dport`, `ct original proto-dst` and the like.
    Port {
        /// The protocol of the port.
        transport: Transport,
        /// Which port.
        field: PortField,
        /// The ports.
        ports: Ports,
    },
    /// `tcp dport vmap @map` and the like: on to the chain for the port, and back.
    Dispatch {
        /// The protocol of the port.
        transport: Transport,
        /// Which port.
        field: PortField,
        /// The map.
        map: String,
    },
    /// `ct state established,related`.
    Established,
    /// `ct status dnat`.
    Translated,
    /// `meta l4proto != tcp`.
    NotTcp,
    /// `tcp flags & (fin|syn|rst|ack) == syn`; or `!=`.
    Opening {
        /// `!=`.
        negated: bool,
    },
    /// `limit rate 10/second`.
    Limit(Rate),
    /// `log prefix "..." level info`.
    Log(String),
    /// `counter name "..."`.
    Counter(SetName),
    /// `accept`.
    Accept,
    /// `drop`.
    Drop,
    /// `jump chain`.
    Jump(&'static str),
    /// `return`.
    Return,
}

impl Statement {
    /// Returns the name of the set that it asks, if it asks one.
    pub fn set(&self) -> Option<&str> {
        match self {
            Self::InterfaceIn { set, .. }
            | Self::AddressIn { set, .. }
            | Self::Port { ports: Ports::Set(set), .. }
            | Self::Dispatch { map: set, .. } => Some(set),
            _ => None,
        }
    }

    fn set_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::InterfaceIn { set, .. }
            | Self::AddressIn { set, .. }
            | Self::Port { ports: Ports::Set(set), .. }
            | Self::Dispatch { map: set, .. } => Some(set),
            _ => None,
        }
    }
}

/// Whether the incoming or the outgoing interface is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Incoming.
    In,
    /// Outgoing.
    Out,
}

/// The two ends of a packet's route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// The right-hand side of a port match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// One range, in the rule itself.
    Range(PortRange),
    /// A set.
    Set(String),
}
