//! A table as `nft -f` reads it. Loading it replaces the existing table, in one transaction.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use super::{Chain, Direction, Elements, End, Ports, Rule, Set, Statement, TABLE, Table};
use crate::address::Family;
use crate::interface::IfPattern;
use crate::ruleset::PortField;
use crate::service::{PortRange, Transport};

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The first line creates the table, so that the second has something to delete.
        writeln!(f, "table inet {TABLE}\ndelete table inet {TABLE}\n\ntable inet {TABLE} {{")?;
        for counter in &self.counters {
            writeln!(f, "\tcounter {} {{\n\t}}\n", counter.name)?;
        }
        for set in &self.sets {
            writeln!(f, "{set}")?;
        }
        for (index, chain) in self.chains.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{chain}")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.elements, Elements::Jumps(_)) { "map" } else { "set" };
        writeln!(f, "\t{kind} {} {{\n\t\ttype {}", self.name, type_name(&self.elements))?;
        if self.interval {
            writeln!(f, "\t\tflags interval")?;
        } else {
            // A set with a known maximum size is loaded and looked up faster.
            writeln!(f, "\t\tsize {}", self.elements.len())?;
        }
        writeln!(f, "\t\tcomment \"{}\"", self.comment)?;
        match &self.elements {
            Elements::Ipv4(ranges) => write_elements(f, ranges),
            Elements::Ipv6(ranges) => write_elements(f, ranges),
            Elements::Ports(ranges) => write_elements(f, ranges),
            Elements::Interfaces(patterns) => {
                write_elements(f, &patterns.iter().map(Quoted).collect::<Vec<_>>())
            }
            Elements::Jumps(jumps) => {
                let jump = |(range, chain): &(PortRange, String)| format!("{range} : jump {chain}");
                write_elements(f, &jumps.iter().map(jump).collect::<Vec<_>>())
            }
        }?;
        writeln!(f, "\t}}")
    }
}

fn type_name(elements: &Elements) -> &'static str {
    match elements {
        Elements::Ipv4(_) => "ipv4_addr",
        Elements::Ipv6(_) => "ipv6_addr",
        Elements::Ports(_) => "inet_service",
        Elements::Interfaces(_) => "ifname",
        Elements::Jumps(_) => "inet_service : verdict",
    }
}

fn write_elements(f: &mut Formatter<'_>, elements: &[impl Display]) -> fmt::Result {
    for (index, element) in elements.iter().enumerate() {
        let before = if index == 0 { "\t\telements = { " } else { ",\n\t\t\t     " };
        write!(f, "{before}{element}")?;
    }
    writeln!(f, " }}")
}

/// The name of an interface in quotes.
struct Quoted<'a>(&'a IfPattern);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some(priority) = self.priority {
            writeln!(f, "\t\ttype filter hook {} priority {priority}; policy accept;", self.hook)?;
        }
        for rule in &self.rules {
            writeln!(f, "\t\t{rule}")?;
        }
        writeln!(f, "\t}}")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for statement in &self.statements {
            write!(f, "{statement} ")?;
        }
        write!(f, "comment \"{}\"", self.comment)
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterfaceName { direction, pattern } => {
                write!(f, "{}name {}", interface(*direction), Quoted(pattern))
            }
            Self::InterfaceIn { direction, set, negated } => {
                let not = if *negated { "!= " } else { "" };
                write!(f, "{}name {not}@{set}", interface(*direction))
            }
            Self::Bridge(direction) => write!(f, "meta {}kind \"bridge\"", interface(*direction)),
            Self::Address { end, network } => write_address(f, "", *end, *network),
            Self::DialledAddress(network) => write_address(f, "ct original ", End::Destination, *network),
            Self::AddressIn { end, family, set } => {
                write!(f, "{} {} @{set}", ip(*family), address_field(*end))
            }
            Self::Unicast { negated: false } => f.write_str("meta pkttype host"),
            Self::Unicast { negated: true } => f.write_str("meta pkttype != host"),
            Self::IsLocal(end) => write!(f, "fib {} type local", address_field(*end)),
            Self::IsElsewhere { negated: false } => f.write_str("fib daddr type unicast"),
            Self::IsElsewhere { negated: true } => f.write_str("fib daddr type != unicast"),
            Self::ReversePathFails => f.write_str("fib saddr . iif oif missing"),
            Self::HopLimit { family: Family::Ipv4, limit } => write!(f, "ip ttl {limit}"),
            Self::HopLimit { family: Family::Ipv6, limit } => write!(f, "ip6 hoplimit {limit}"),
            Self::Family(Family::Ipv4) => f.write_str("meta nfproto ipv4"),
            Self::Family(Family::Ipv6) => f.write_str("meta nfproto ipv6"),
            Self::Protocol(number) => match Transport::ALL.iter().find(|known| known.number() == *number) {
                Some(transport) => write!(f, "meta l4proto {}", transport.name()),
                None => write!(f, "meta l4proto {number}"),
            },
            Self::Icmp { family, types } => write_icmp(f, *family, types),
            Self::Port { transport, field, ports } => {
                write_port_field(f, *transport, *field)?;
                match ports {
                    Ports::Range(range) => range.fmt(f),
                    Ports::Set(name) => write!(f, "@{name}"),
                }
            }
            Self::Dispatch { transport, field, map } => {
                write_port_field(f, *transport, *field)?;
                write!(f, "vmap @{map}")
            }
            Self::Established => f.write_str("ct state established,related"),
            Self::Translated => f.write_str("ct status dnat"),
            Self::NotTcp => f.write_str("meta l4proto != tcp"),
            Self::Opening { negated } => {
                let comparison = if *negated { "!=" } else { "==" };
                write!(f, "tcp flags & (fin | syn | rst | ack) {comparison} syn")
            }
            Self::Limit(rate) => write!(f, "limit rate {rate}"),
            Self::Log(prefix) => write!(f, "log prefix \"{prefix}\" level info"),
            Self::Counter(name) => write!(f, "counter name \"{name}\""),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Return => f.write_str("return"),
        }
    }
}

fn interface(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "iif",
        Direction::Out => "oif",
    }
}

fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

fn address_field(end: End) -> &'static str {
    match end {
        End::Source => "saddr",
        End::Destination => "daddr",
    }
}

fn write_address(f: &mut Formatter<'_>, before: &str, end: End, network: IpNetwork) -> fmt::Result {
    let (ip, whole) = if network.is_ipv4() { ("ip", 32) } else { ("ip6", 128) };
    write!(f, "{before}{ip} {} {}", address_field(end), network.ip())?;
    if network.prefix() == whole { Ok(()) } else { write!(f, "/{}", network.prefix()) }
}

fn write_icmp(f: &mut Formatter<'_>, family: Family, types: &RangeInclusive<u8>) -> fmt::Result {
    let protocol = match family {
        Family::Ipv4 => "icmp",
        Family::Ipv6 => "icmpv6",
    };
    write!(f, "{protocol} type {}", types.start())?;
    if types.start() == types.end() { Ok(()) } else { write!(f, "-{}", types.end()) }
}

fn write_port_field(f: &mut Formatter<'_>, transport: Transport, field: PortField) -> fmt::Result {
    let transport = transport.name();
    match field {
        PortField::Source => write!(f, "{transport} sport "),
        PortField::Destination => write!(f, "{transport} dport "),
        PortField::Dialled => write!(f, "meta l4proto {transport} ct original proto-dst "),
    }
}
