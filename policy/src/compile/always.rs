//! Rules of every policy: what always passes, what never does, and what the nodes of a Swarm need.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::ports;
use crate::address::{Family, LINK_LOCAL};
use crate::ruleset::{Match, PortField};
use crate::service::Transport;

/// MLD queries, reports and dones (RFC 2710).
const MLD: RangeInclusive<u8> = 130..=132;
/// Version 2 reports (RFC 3810).
const MLD2_REPORT: RangeInclusive<u8> = 143..=143;
/// Router and neighbour solicitations and advertisements, and redirects (RFC 4861).
const NEIGHBOUR_DISCOVERY: RangeInclusive<u8> = 133..=137;
/// The hop limit that it is sent with (RFC 4861, 11.2).
const NEIGHBOUR_HOP_LIMIT: u8 = 255;
/// Echo request (RFC 792).
const ECHO_REQUEST: RangeInclusive<u8> = 8..=8;
/// Echo request of ICMPv6 (RFC 4443).
const ECHO_REQUEST6: RangeInclusive<u8> = 128..=128;
/// IGMP's protocol number (RFC 1112).
const IGMP: u8 = 2;
/// ESP's protocol number (RFC 4303): encrypted overlays.
const ESP: u8 = 50;
/// DHCP's server and client ports (RFC 2131).
const DHCP: [u16; 2] = [67, 68];
/// DHCPv6's client port (RFC 8415).
const DHCP6_CLIENT: u16 = 546;
/// The Swarm managers' port; Docker has no option for it.
const SWARM_MANAGEMENT: u16 = 2377;
/// The port of Swarm's gossip; Docker has no option for it.
const SWARM_GOSSIP: u16 = 7946;

/// Groups (multicast): RFC 5771, RFC 4291.
const GROUPS4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 0);
const GROUPS6: Ipv6Addr = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
const LOOPBACK4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// Returns matches for packets that did not arrive on `lo` and have an address that only the host itself could use.
pub(super) fn impossible_addresses() -> Vec<Vec<Match>> {
    impossible(Match::DestinationNetwork)
}

/// Returns the same for new connections, once their destination may have been translated, maybe to an address of `lo`:
/// the dialled address counts.
pub(super) fn impossible_connections() -> Vec<Vec<Match>> {
    impossible(Match::DialledNetwork)
}

fn impossible(destination: fn(IpNetwork) -> Match) -> Vec<Vec<Match>> {
    let of_loopback = |network| [vec![Match::SourceNetwork(network)], vec![destination(network)]];
    loopback_networks().into_iter().flat_map(of_loopback).chain([vec![Match::SourceIsOwn]]).collect()
}

fn loopback_networks() -> [IpNetwork; 2] {
    [network4(LOOPBACK4, 8), network6(Ipv6Addr::LOCALHOST, 128)]
}

/// What passes, and its description.
type Passing = Vec<(Vec<Match>, &'static str)>;

/// Returns what a network segment needs to work. (Errors about live connections belong to those.)
pub(super) fn neighbourhood() -> Passing {
    vec![
        (icmp6(NEIGHBOUR_DISCOVERY), "neighbour discovery"),
        (icmp6(MLD), "MLD"),
        (icmp6(MLD2_REPORT), "MLD"),
        (vec![Match::Protocol(IGMP)], "IGMP"),
    ]
}

/// Returns the same among forwarded packets, if they never left their segment: in frames that cross a bridge. The
/// kernel believes neighbour discovery only with the hop limit that it was sent with, and a router reduces that by one.
/// MLD and IGMP are for groups, which only a multicast router forwards, and such a router keeps IGMP to itself
/// (ip_mr_input, net/ipv4/ipmr.c).
pub(super) fn neighbourhood_across() -> Passing {
    let sent = Match::HopLimit { family: Family::Ipv6, limit: NEIGHBOUR_HOP_LIMIT };
    let to_group = Match::DestinationNetwork(network6(GROUPS6, 8));
    vec![
        ([icmp6(NEIGHBOUR_DISCOVERY), vec![sent]].concat(), "neighbour discovery"),
        ([icmp6(MLD), vec![to_group.clone()]].concat(), "MLD"),
        ([icmp6(MLD2_REPORT), vec![to_group]].concat(), "MLD"),
        (vec![Match::Protocol(IGMP), Match::DestinationNetwork(network4(GROUPS4, 4))], "IGMP"),
    ]
}

fn icmp6(types: RangeInclusive<u8>) -> Vec<Match> {
    vec![Match::Icmp { family: Family::Ipv6, types }]
}

/// Returns matches for answers of DHCP servers. Connection tracking does not know them: the question went to a
/// broadcast or multicast address. A client of DHCPv6 asks from its link-local address, to which no router forwards
/// anything. Servers and relays may answer from any address, and from any port (RFC 8415, 7.2 defines on which ports
/// they listen, not from which they send).
pub(super) fn dhcp() -> Passing {
    let [_, client4] = DHCP;
    let mut answers = dhcp_as_dialled();
    if let Some((v4, _)) = answers.first_mut() {
        v4.push(udp_port(PortField::Destination, client4));
    }
    answers
}

/// Returns the same for packets whose destinations may yet be translated to a client's port of DHCP. (To that of DHCPv6
/// at a link-local address, nobody translates.)
pub(super) fn dhcp_as_dialled() -> Passing {
    let [server4, _] = DHCP;
    let v4 = vec![Match::Family(Family::Ipv4), udp_port(PortField::Source, server4)];
    let to_client = Match::DestinationNetwork(network6(LINK_LOCAL, 10));
    let v6 = vec![to_client, udp_port(PortField::Destination, DHCP6_CLIENT)];
    vec![(v4, "DHCP"), (v6, "DHCPv6")]
}

fn udp_port(field: PortField, number: u16) -> Match {
    ports(Transport::Udp, field, [number])
}

pub(super) fn echo_requests() -> Vec<Vec<Match>> {
    vec![
        vec![Match::Icmp { family: Family::Ipv4, types: ECHO_REQUEST }],
        vec![Match::Icmp { family: Family::Ipv6, types: ECHO_REQUEST6 }],
    ]
}

/// Returns matches for what the nodes of a Swarm use among themselves. UDP is matched by the header's ports: VXLAN may
/// well be untracked. TCP is matched by the dialled port, because the early drop of TCP SYNs sees no other.
pub(super) fn swarm_services(data_path_port: u16) -> Vec<Match> {
    let udp = [SWARM_GOSSIP, data_path_port];
    let mut udp = udp.to_vec();
    udp.sort_unstable();
    udp.dedup();
    vec![
        swarm_tcp(PortField::Dialled),
        ports(Transport::Udp, PortField::Destination, udp),
        Match::Protocol(ESP),
    ]
}

/// Returns matches for connections between nodes, by the header's ports: management and gossip.
pub(super) fn swarm_talk() -> [Match; 2] {
    let gossip = ports(Transport::Udp, PortField::Destination, [SWARM_GOSSIP]);
    [swarm_tcp(PortField::Destination), gossip]
}

/// Returns the TCP part of it.
pub(super) fn swarm_tcp(field: PortField) -> Match {
    ports(Transport::Tcp, field, [SWARM_MANAGEMENT, SWARM_GOSSIP])
}

fn network4(address: Ipv4Addr, prefix: u8) -> IpNetwork {
    IpNetwork::V4(Ipv4Network::new_checked(address, prefix).unwrap_or_else(|| Ipv4Network::from(address)))
}

fn network6(address: Ipv6Addr, prefix: u8) -> IpNetwork {
    IpNetwork::V6(Ipv6Network::new_checked(address, prefix).unwrap_or_else(|| Ipv6Network::from(address)))
}
