//! A ruleset in nftables' own terms: one table with its chains, sets and counters.
//!
//! [`lower()`] is the only way here from a [`Ruleset`](crate::ruleset::Ruleset); [`text`] writes the table as `nft`
//! would read it, and the native engine writes the same table as netlink messages.

mod lower;
pub mod text;

use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use crate::address::{Family, Range};
use crate::interface::IfPattern;
use crate::policy::Rate;
use crate::ruleset::{Origin, PortField, SetName};
use crate::service::{PortRange, Transport};

pub use lower::{Features, lower};

/// The table's name; its family is `inet`.
pub const TABLE: &str = "dockfw";

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Named counters.
    pub counters: Vec<Counter>,
    /// Named sets.
    pub sets: Vec<Set>,
    /// Base chains of type `filter` and policy `accept`.
    pub chains: Vec<Chain>,
}

/// A named counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The counter's name.
    pub name: SetName,
}

/// A named set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The set's name.
    pub name: String,
    /// The list of the ruleset that its elements are of; ports are of none.
    pub list: Option<SetName>,
    /// Its elements, which give its type.
    pub elements: Elements,
    /// Whether it is an interval set: whether any element is more than a single value.
    pub interval: bool,
    /// What it is, in words; at most 100 bytes.
    pub comment: String,
}

/// The elements of a set, sorted and without overlaps, never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// `ipv4_addr`.
    Ipv4(Vec<Range<std::net::Ipv4Addr>>),
    /// `ipv6_addr`.
    Ipv6(Vec<Range<std::net::Ipv6Addr>>),
    /// `inet_service`.
    Ports(Vec<PortRange>),
    /// `ifname`.
    Interfaces(Vec<IfPattern>),
}

impl Elements {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Ipv4(ranges) => ranges.len(),
            Self::Ipv6(ranges) => ranges.len(),
            Self::Ports(ranges) => ranges.len(),
            Self::Interfaces(patterns) => patterns.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The chain's name.
    pub name: &'static str,
    /// `prerouting`, `input` or `forward`.
    pub hook: crate::ruleset::Hook,
    /// The chain's priority.
    pub priority: i32,
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

/// One statement of a rule. What it depends on (`meta nfproto`, `meta l4proto`) is implied, once a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `iifname "lo"`.
    InterfaceName(IfPattern),
    /// `iifname @set`, `oifname @set`.
    InterfaceIn {
        /// In or out.
        direction: Direction,
        /// The set.
        set: SetName,
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
    /// `ip saddr @set`, `ip6 saddr @set`.
    SourceIn {
        /// The set's family.
        family: Family,
        /// The set.
        set: String,
    },
    /// `meta pkttype host`: sent to this host alone.
    Unicast,
    /// `fib saddr type local`.
    SourceIsLocal,
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
        /// The protocol that the port is of.
        transport: Transport,
        /// Which port.
        field: PortField,
        /// The ports.
        ports: Ports,
    },
    /// `ct state established,related`.
    Established,
    /// `ct status dnat`.
    Translated,
    /// `meta l4proto != tcp`.
    NotTcp,
    /// `tcp flags & (fin|syn|rst|ack) != syn`.
    NotOpening,
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
}

/// Whether a packet's way in or its way out is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In.
    In,
    /// Out.
    Out,
}

/// The two ends of a packet's way.
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
