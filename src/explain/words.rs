//! Why a condition of a rule holds, in words.

use std::net::IpAddr;

use dockfw_policy::address::{AddressRange, Family};
use dockfw_policy::ruleset::{Match, PortField, Ruleset, SetName};
use dockfw_policy::service::{PortRange, Service, Transport};
use dockfw_policy::walk::{Interface, Packet};

/// How many ports or interfaces of a condition are shown.
const SHOWN: usize = 8;

/// Returns why a condition that holds for a packet does.
pub(super) fn why(ruleset: &Ruleset, condition: &Match, packet: &Packet) -> String {
    let path = &packet.path;
    match condition {
        Match::Loopback => "the incoming interface is lo".into(),
        Match::In(list) => {
            format!("the incoming interface {}", interface(ruleset, list, Some(&path.incoming)))
        }
        Match::NotIn(list) => {
            format!(
                "the incoming interface {} matches none of {}",
                path.incoming.name,
                patterns(ruleset, list)
            )
        }
        Match::Out(list) => {
            format!("the outgoing interface {}", interface(ruleset, list, path.outgoing.as_ref()))
        }
        Match::Crosses(pattern) => format!("the incoming and the outgoing interface match {pattern}"),
        Match::Source(list) => {
            format!("the source is in {}", entry(ruleset, list, packet.sender.address))
        }
        Match::Destination(list) => {
            format!("the destination is in {}", entry(ruleset, list, path.destination))
        }
        Match::SourceNetwork(network) => format!("the source is in {network}"),
        Match::DestinationNetwork(network) => format!("the destination is in {network}"),
        Match::DialledNetwork(network) => format!("the dialled address is in {network}"),
        Match::SourceIsOwn => "the source is an address of this host".into(),
        Match::ReversePathFails => {
            format!("this host has no route to the source by {}", path.incoming.name)
        }
        Match::BoundFor(hook) => format!("it goes to hook {hook}"),
        Match::Established => "it belongs to a live connection".into(),
        Match::Translated => "the destination is translated".into(),
        Match::Ports { transport, port, ranges } => ports(*transport, *port, ranges),
        Match::Protocol(number) => format!("the protocol is {}", Service::Protocol(*number)),
        Match::Family(Family::Ipv4) => "it is an IPv4 packet".into(),
        Match::Family(Family::Ipv6) => "it is an IPv6 packet".into(),
        Match::Icmp { types, .. } if types.start() == types.end() => {
            format!("the ICMP type is {}", types.start())
        }
        Match::Icmp { types, .. } => {
            format!("the ICMP type is one of {} to {}", types.start(), types.end())
        }
        Match::HopLimit { limit, .. } => format!("the hop limit is {limit}"),
        Match::Opening => "it opens a TCP connection".into(),
        Match::NotOpening => "it does not open a TCP connection".into(),
    }
}

/// Returns the interface, and the patterns of which it matches one.
fn interface(ruleset: &Ruleset, list: &SetName, found: Option<&Interface>) -> String {
    let name = found.map_or("", |interface| interface.name.as_str());
    format!("{name} matches one of {}", patterns(ruleset, list))
}

fn patterns(ruleset: &Ruleset, list: &SetName) -> String {
    let patterns = ruleset.interface_list(list).map_or(&[][..], |list| &list.patterns);
    shortened(patterns.iter().map(ToString::to_string))
}

/// Returns the list, and the entry of it that contains an address.
fn entry(ruleset: &Ruleset, name: &SetName, address: IpAddr) -> String {
    let own = AddressRange::single(address);
    let entry = ruleset.address_list(name).and_then(|list| {
        let range = list.addresses.first_overlap(&own)?;
        Some(format!("{range}, in the list of {}", list.comment))
    });
    entry.unwrap_or_else(|| name.to_string())
}

fn ports(transport: Transport, field: PortField, ranges: &[PortRange]) -> String {
    let what = match field {
        PortField::Source => "the source port is",
        PortField::Destination => "the port is",
        PortField::Dialled => "the dialled port is",
    };
    let ranges = ranges.iter().map(|range| Service::Ports(transport, *range).to_string());
    format!("{what} one of {}", shortened(ranges))
}

/// Returns the first of many.
fn shortened(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    let mut text = all.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
