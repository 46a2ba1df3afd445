//! Why a condition of a rule holds, in words.

use std::net::IpAddr;

use dockfw_policy::address::{AddressRange, Family};
use dockfw_policy::ruleset::{Match, PortField, Ruleset, SetName};
use dockfw_policy::service::{PortRange, Service, Transport};
use dockfw_policy::walk::{Interface, Packet};

/// So many ports or interfaces of a condition are shown.
const SHOWN: usize = 8;

/// Why a condition that holds for a packet does.
pub(super) fn why(ruleset: &Ruleset, condition: &Match, packet: &Packet) -> String {
    let path = &packet.path;
    match condition {
        Match::Loopback => "it comes in by lo".into(),
        Match::In(list) => format!("it comes in by {}", interface(ruleset, list, Some(&path.incoming))),
        Match::NotIn(list) => {
            format!("it comes in by {}, which is none of {}", path.incoming.name, patterns(ruleset, list))
        }
        Match::Out(list) => format!("it goes out by {}", interface(ruleset, list, path.outgoing.as_ref())),
        Match::Crosses(pattern) => format!("it comes in and goes out by {pattern}"),
        Match::Source(list) => {
            format!("its source is in {}", entry(ruleset, list, packet.sender.address))
        }
        Match::Destination(list) => {
            format!("its destination is in {}", entry(ruleset, list, path.destination))
        }
        Match::SourceNetwork(network) => format!("its source is in {network}"),
        Match::DestinationNetwork(network) => format!("its destination is in {network}"),
        Match::DialledNetwork(network) => format!("the address dialled is in {network}"),
        Match::SourceIsOwn => "its source is an address of this host".into(),
        Match::ReversePathFails => {
            format!("this host has no way back to its source by {}", path.incoming.name)
        }
        Match::BoundFor(hook) => format!("it is for the hook {hook}"),
        Match::Established => "it belongs to a live connection".into(),
        Match::Translated => "its destination is translated".into(),
        Match::Ports { transport, port, ranges } => ports(*transport, *port, ranges),
        Match::Protocol(number) => format!("its protocol is {}", Service::Protocol(*number)),
        Match::Family(Family::Ipv4) => "it is of IPv4".into(),
        Match::Family(Family::Ipv6) => "it is of IPv6".into(),
        Match::Icmp { types, .. } if types.start() == types.end() => {
            format!("its ICMP type is {}", types.start())
        }
        Match::Icmp { types, .. } => {
            format!("its ICMP type is one of {} to {}", types.start(), types.end())
        }
        Match::HopLimit { limit, .. } => format!("its hop limit is {limit}"),
        Match::NotOpening => "it is no SYN of TCP".into(),
    }
}

/// The interface, and the patterns that it fits.
fn interface(ruleset: &Ruleset, list: &SetName, found: Option<&Interface>) -> String {
    let name = found.map_or("an interface", |interface| interface.name.as_str());
    format!("{name}, of {}", patterns(ruleset, list))
}

fn patterns(ruleset: &Ruleset, list: &SetName) -> String {
    let patterns = ruleset.interface_list(list).map_or(&[][..], |list| &list.patterns);
    shortened(patterns.iter().map(ToString::to_string))
}

/// The list, and the entry of it that an address is in.
fn entry(ruleset: &Ruleset, name: &SetName, address: IpAddr) -> String {
    let own = AddressRange::single(address);
    let entry = ruleset.address_list(name).and_then(|list| {
        let range = list.addresses.first_overlap(&own)?;
        Some(format!("{range}, of {}", list.comment))
    });
    entry.unwrap_or_else(|| name.to_string())
}

fn ports(transport: Transport, field: PortField, ranges: &[PortRange]) -> String {
    let what = match field {
        PortField::Source => "its source port is",
        PortField::Destination => "its port is",
        PortField::Dialled => "the port dialled is",
    };
    let ranges = ranges.iter().map(|range| Service::Ports(transport, *range).to_string());
    format!("{what} of {}", shortened(ranges))
}

/// The first of many.
fn shortened(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    let mut text = all.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
