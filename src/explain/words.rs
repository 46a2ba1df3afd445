//! Why a condition of a rule holds, in words.

use std::net::IpAddr;

use dockfw_policy::address::{AddressRange, Family};
use dockfw_policy::compile::names;
use dockfw_policy::ruleset::{AddressList, Match, PortField, Ruleset, SetName};
use dockfw_policy::service::{PortRange, Service, Transport};
use dockfw_policy::walk::{Interface, Packet};

use crate::exposure::part;
use crate::message::shortened;

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
            let patterns = patterns(ruleset, list);
            let matches = if patterns.len() == 1 { "does not match" } else { "matches none of" };
            format!(
                "the incoming interface {} {matches} {}",
                path.incoming.name,
                shortened(patterns.into_iter(), SHOWN)
            )
        }
        Match::Out(list) => {
            format!("the outgoing interface {}", interface(ruleset, list, path.outgoing.as_ref()))
        }
        Match::Crosses(pattern) => format!("the incoming and the outgoing interface match {pattern}"),
        Match::Source(list) => {
            format!("the source is {}", entry(ruleset, list, packet.sender.address))
        }
        Match::Destination(list) => {
            format!("the destination is {}", entry(ruleset, list, path.destination))
        }
        Match::SourceNetwork(network) => {
            let network = AddressRange::network_of(network.ip(), network.prefix());
            let is_one = network == AddressRange::single(packet.sender.address);
            format!("the source is {}{network}", if is_one { "" } else { "in " })
        }
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
    format!("{name} matches {}", one_of(patterns(ruleset, list)))
}

fn patterns(ruleset: &Ruleset, list: &SetName) -> Vec<String> {
    let patterns = ruleset.interface_list(list).map_or(&[][..], |list| &list.patterns);
    patterns.iter().map(ToString::to_string).collect()
}

/// Returns the entry of a list that contains an address, and the list.
fn entry(ruleset: &Ruleset, name: &SetName, address: IpAddr) -> String {
    let own = AddressRange::single(address);
    let entry = ruleset.address_list(name).and_then(|list| {
        let range = list.addresses.first_overlap(&own)?;
        let range = if range == own { address.to_string() } else { format!("in {range}") };
        Some(format!("{range}, which {} lists", owner(list)))
    });
    entry.unwrap_or_else(|| format!("in {name}"))
}

/// Returns which part of the policy has a list.
fn owner(list: &AddressList) -> String {
    match list.comment.strip_prefix("sources of ").unwrap_or(&list.comment) {
        _ if list.name == names::PEERS => "`peers` in [swarm]".into(),
        key @ ("trusted" | "blocked") => format!("`{key}`"),
        other => part(other),
    }
}

fn ports(transport: Transport, field: PortField, ranges: &[PortRange]) -> String {
    let what = match field {
        PortField::Source => "the source port is",
        PortField::Destination => "the port is",
        PortField::Dialled => "the dialled port is",
    };
    let ranges = ranges.iter().map(|range| Service::Ports(transport, *range).to_string());
    format!("{what} {}", one_of(ranges.collect()))
}

/// Returns what something is one of, or the only thing that it can be.
fn one_of(all: Vec<String>) -> String {
    let one_of = if all.len() == 1 { "" } else { "one of " };
    format!("{one_of}{}", shortened(all.into_iter(), SHOWN))
}
