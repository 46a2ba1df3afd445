//! Packets that no honest client sends, seen (or not) by a witness behind all filters.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Body, Machine, Packet, SECOND_V6, Sender, Witness};

use super::networks::machines;
use super::{SOURCES, opening};
use crate::fixture::{PacketFixture, Setting};

/// Packets with what they are, for messages. Each gets its token when it is sent.
pub(super) type Described = Vec<(String, Packet)>;

/// A SYN and a datagram to a port.
pub(super) fn both(
    what: &str,
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    port: u16,
) -> Described {
    let (source, destination) = (source.into(), destination.into());
    vec![
        (format!("{what}, tcp {source} to {destination}:{port}"), Packet::syn(source, destination, port, 1)),
        (
            format!("{what}, udp {source} to {destination}:{port}"),
            Packet::udp(source, destination, port, 1, "forged"),
        ),
    ]
}

/// Sends the packets, and gives the descriptions of those that got through all filters.
pub(super) fn survivors(
    fixture: &PacketFixture<'_>,
    sender: &Sender,
    packets: &Described,
) -> Result<BTreeSet<String>> {
    survivors_by(fixture, "eth0", sender, packets)
}

/// The same for packets that come in by another interface.
pub(super) fn survivors_by(
    fixture: &PacketFixture<'_>,
    interface: &str,
    sender: &Sender,
    packets: &Described,
) -> Result<BTreeSet<String>> {
    fixture.lab.on_host("conntrack", &["-F"])?;
    let witness = Witness::install(&fixture.lab.host, interface)?;
    for (token, (_, packet)) in (1..).zip(packets) {
        sender.send(&Packet { token, ..packet.clone() })?;
    }
    let survived = witness.survivors_of(packets.len())?;
    let tokens: BTreeSet<_> = survived.into_iter().map(|survivor| usize::from(survivor.token)).collect();
    Ok(tokens.into_iter().filter_map(|token| Some(packets.get(token.checked_sub(1)?)?.0.clone())).collect())
}

/// Without dockfw all of the packets get through, and under the policy none.
pub(super) fn are_dropped(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    (interface, sender): (&str, &Sender),
    packets: &Described,
    policy: &str,
) -> Result<()> {
    fixture.remove()?;
    let open = survivors_by(fixture, interface, sender, packets)?;
    let missing: Vec<_> = packets.iter().map(|(what, _)| what).filter(|what| !open.contains(*what)).collect();
    ensure!(
        missing.is_empty(),
        "proves nothing, for they don't get through without dockfw either: {missing:#?}"
    );
    fixture.apply(setting, policy)?;
    let survived = survivors_by(fixture, interface, sender, packets)?;
    ensure!(survived.is_empty(), "got through: {survived:#?}");
    Ok(())
}

pub(super) fn inside_sources(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let mut packets = Described::new();
    let in_docker0 = [IpAddr::from([172, 17, 0, 99]), "fd00:d0c::99".parse()?];
    for (source, host) in in_docker0.into_iter().zip(fixture.lab.host.addresses()) {
        packets.extend(both("to a host process", source, host, 9000));
        packets.extend(both("to a published port", source, host, 8080));
    }
    // What Docker itself drops proves nothing of us.
    let containers = [fixture.quiet.v4().into(), IpAddr::from(fixture.quiet.v6())];
    let containers = containers.into_iter().filter(|_| fixture.docker_lets_direct_routing());
    for (source, container) in in_docker0.into_iter().zip(containers) {
        packets.extend(both("to a container", source, container, 80));
    }
    let sender = fixture.lab.untrusted.sender_to(&fixture.lab.host)?;
    are_dropped(fixture, setting, ("eth0", &sender), &packets, SOURCES)
}

pub(super) fn trusted_overlap_is_named(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let output = fixture.try_apply(setting, "trusted = [\"172.16.0.0/12\", \"192.0.2.10\"]", &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success()
            && said.contains("172.16.0.0/12 in `trusted` overlaps networks of Docker's: 172.17.0.0/16"),
        "it said {said}"
    );
    let output = fixture.apply(setting, SOURCES)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!said.contains("overlaps"), "it said {said}");
    Ok(())
}

/// Addresses that only the host itself could use, from `eth0`, from an exempt interface and from a container, under a
/// policy that trusts them all.
pub(super) fn impossible_addresses(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = r#"
        trusted = ["127.0.0.0/8", "192.0.2.0/24", "2001:db8:1::/64", "10.99.0.0/16", "172.16.0.0/12", "fd00::/8"]
        [[allow]]
        name  = "all"
        ports = ["1-65535/tcp", "1-65535/udp"]
        [interfaces]
        exempt = ["vpn0"]
    "#;
    let vpn = fixture.lab.outside_segment("vpn0")?;
    let bridge = fixture.docker.inspect_network("bridge")?.bridge;
    for (interface, sender, peer) in [
        ("eth0", fixture.lab.untrusted.sender_to(&fixture.lab.host)?, fixture.lab.untrusted.v4),
        ("vpn0", vpn.sender_to(&fixture.on_segment_of(&vpn))?, vpn.v4),
        (bridge.as_str(), fixture.web.sender_to(&fixture.lab.host, &bridge)?, fixture.web.v4()),
    ] {
        believe_anything(fixture, interface)?;
        let (host4, host6) = (fixture.lab.host.v4, fixture.lab.host.v6);
        let packets = [
            both("from its own address", host4, Ipv4Addr::from([192, 0, 2, 2]), 9000),
            both("from its own address", host6, "2001:db8:1::2".parse::<Ipv6Addr>()?, 9000),
            both("to loopback", peer, Ipv4Addr::from([127, 0, 0, 1]), 9000),
            both("from loopback", Ipv4Addr::from([127, 0, 0, 5]), host4, 9000),
        ]
        .concat();
        are_dropped(fixture, setting, (interface, &sender), &packets, policy)?;
    }
    Ok(())
}

/// Takes the kernel's own checks of addresses away, which many hosts do without: route_localnet is Docker's own doing.
///
/// What comes to 127.0.0.1 then is answered from there, half-open connections again and again for a minute. The question
/// for the neighbour's hardware address must not come from 127.0.0.1 too, as it would by itself: no neighbour answers
/// that, and for as long as it is repeated, everything else for this neighbour waits.
pub(super) fn believe_anything(fixture: &PacketFixture<'_>, interface: &str) -> Result<()> {
    for (key, value) in
        [("route_localnet", "1"), ("accept_local", "1"), ("rp_filter", "0"), ("arp_announce", "2")]
    {
        fixture.lab.host.set_sysctl(&format!("net.ipv4.conf.{interface}.{key}"), value)?;
    }
    fixture.lab.host.set_sysctl("net.ipv4.conf.all.rp_filter", "0")
}

/// What a segment needs to work, and next to it what looks like it and is not.
pub(super) fn neighbourhood(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &format!("{SOURCES}\n[icmp]\necho = \"trusted\"\n"))?;
    let sender = fixture.lab.untrusted.sender_to(&fixture.lab.host)?;
    let (untrusted, host) = (&fixture.lab.untrusted, &fixture.lab.host);
    let link_local: IpAddr = "fe80::1".parse()?;
    let udp = |what: &str, source: IpAddr, destination: IpAddr, from, to| {
        let body = Body::Udp { from, to, payload: vec![0; 8] };
        (what.to_owned(), Packet::of(source, destination, 1, body))
    };
    let icmp6 = |kind: u8| {
        let body = Body::Icmp { kind, code: 0, rest: vec![0; 20] };
        let packet = Packet::of(link_local, host.v6, 1, body);
        (format!("ICMPv6 of type {kind}"), packet)
    };
    let igmp = Body::Other { protocol: 2, payload: vec![0x11, 0, 0xee, 0xff, 0, 0, 0, 0] };
    let igmp = Packet::of(untrusted.v4, host.v4, 1, igmp);
    let mut pass: Described = [133, 134, 135, 136, 137, 130, 131, 132, 143].map(icmp6).into();
    pass.push(("IGMP".into(), igmp));
    pass.push(udp("DHCP", untrusted.v4.into(), host.v4.into(), 67, 68));
    let own_link_local = link_local_of(host)?.into();
    pass.push(udp("DHCPv6 from the link", link_local, own_link_local, 547, 546));
    pass.push(udp("DHCPv6 of a relay", untrusted.v6.into(), own_link_local, 547, 546));
    pass.push(udp("DHCPv6 from another port", untrusted.v6.into(), own_link_local, 50000, 546));
    let mut stop = vec![icmp6(129), icmp6(144)];
    stop.push(udp("UDP from port 67 to 69", untrusted.v4.into(), host.v4.into(), 67, 69));
    stop.push(udp("UDP from port 68 to 68", untrusted.v4.into(), host.v4.into(), 68, 68));
    stop.push(udp("IPv6 from port 67 to 68", untrusted.v6.into(), host.v6.into(), 67, 68));
    stop.push(udp("DHCPv6 to a global address", untrusted.v6.into(), host.v6.into(), 547, 546));
    stop.push(udp("DHCPv6 from the link to a global address", link_local, host.v6.into(), 547, 546));
    stop.push(udp("UDP to the port of DHCPv6's servers", link_local, own_link_local, 546, 547));
    let survived = survivors(fixture, &sender, &[pass.clone(), stop].concat())?;
    let expected: BTreeSet<_> = pass.into_iter().map(|(what, _)| what).collect();
    ensure!(survived == expected, "got through: {survived:#?}\nexpected: {expected:#?}");
    Ok(())
}

/// A machine's link-local address on its first segment.
pub(super) fn link_local_of(machine: &Machine) -> Result<Ipv6Addr> {
    let shown = machine.shell("ip -6 -oneline address show dev eth0 scope link")?;
    let address = shown.split_whitespace().nth(3).and_then(|address| address.split('/').next());
    Ok(address.context("eth0 has no link-local address")?.parse()?)
}

/// Forwarded to an inside machine or a container, from beyond its segment, it is none of the segment's.
pub(super) fn neighbourhood_from_afar(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let [inside] = machines(fixture.lab.bridge("virt0", 1)?)?;
    let mut places = vec![inside.addresses()];
    // What Docker itself drops proves nothing of us.
    if fixture.docker_lets_direct_routing() {
        places.push([fixture.quiet.v4().into(), fixture.quiet.v6().into()]);
    }
    let packets: Described =
        places.into_iter().flat_map(|place| from_beyond(&fixture.lab.untrusted, place)).collect();
    let policy = format!("{SOURCES}[interfaces]\ninside = [\"virt0\"]\n");
    let sender = fixture.lab.untrusted.sender_to(&fixture.lab.host)?;
    let outcome = are_dropped(fixture, setting, ("eth0", &sender), &packets, &policy);
    fixture.lab.host.ip(&["link delete virt0"])?;
    outcome
}

/// What neighbours say to each other, from a machine that is none, to one that has these addresses.
fn from_beyond(from: &Machine, [v4, v6]: [IpAddr; 2]) -> Described {
    let mut packets = Described::new();
    for (kind, hop_limit) in
        [130, 131, 132, 133, 134, 135, 136, 137, 143].into_iter().flat_map(|kind| [(kind, 64), (kind, 255)])
    {
        let body = Body::Icmp { kind, code: 0, rest: vec![0; 20] };
        let packet = Packet { hop_limit, ..Packet::of(from.v6, v6, 1, body) };
        packets.push((format!("ICMPv6 of type {kind}, hop limit {hop_limit}, to {v6}"), packet));
    }
    let igmp = Body::Other { protocol: 2, payload: vec![0x11, 0, 0xee, 0xff, 0, 0, 0, 0] };
    packets.push((format!("IGMP to {v4}"), Packet::of(from.v4, v4, 1, igmp)));
    packets
}

/// Its own address as the source, in frames to a group or to everyone: only looped packets look so, and these go to a group.
pub(super) fn own_address_in_a_groups_frame(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = r#"
        trusted = ["192.0.2.0/24", "2001:db8:1::/64"]
        [[allow]]
        name  = "all"
        ports = ["1-65535/tcp", "1-65535/udp"]
    "#;
    believe_anything(fixture, "eth0")?;
    let host = &fixture.lab.host;
    for frame in [[0xff; 6], [0x33, 0x33, 0, 0, 0, 1], [0x01, 0x00, 0x5e, 0, 0, 1]] {
        let sender = Sender::new(&fixture.lab.untrusted, &fixture.lab.untrusted.interface, frame)?;
        let packets = [
            both("from its own address", host.v6, host.v6, 9000),
            both("from its other address", SECOND_V6, host.v6, 9000),
            both("from its own address", host.v4, host.v4, 9000),
        ];
        are_dropped(fixture, setting, ("eth0", &sender), &packets.concat(), policy)
            .with_context(|| format!("in a frame to {frame:02x?}"))?;
    }
    Ok(())
}

/// What the host sends to a group comes back to its own members, from its own address.
pub(super) fn looped_multicast(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &opening(&["5353"], "host"))?;
    for group in ["239.1.2.3", "ff02::1:99"] {
        let heard = fixture.lab.host.hears_itself("eth0", group.parse()?, 5353)?;
        ensure!(heard, "the host does not hear what it sends to {group}");
    }
    Ok(())
}

pub(super) fn ping(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let pings = |from: &dockfw_lab::Machine| -> Described {
        let pairs = from.addresses().into_iter().zip(fixture.lab.host.addresses());
        pairs.map(|(from, to)| (format!("ping from {from}"), Packet::echo(from, to, 1))).collect()
    };
    for (echo, untrusted_may) in [("accept", true), ("trusted", false)] {
        fixture.apply(setting, &format!("{SOURCES}\n[icmp]\necho = \"{echo}\"\n"))?;
        for (client, may) in [(&fixture.lab.untrusted, untrusted_may), (&fixture.lab.trusted, true)] {
            let survived = survivors(fixture, &client.sender_to(&fixture.lab.host)?, &pings(client))?;
            let expected = if may { 2 } else { 0 };
            ensure!(survived.len() == expected, "echo = {echo}: got through: {survived:?}");
        }
    }
    Ok(())
}

/// An ICMP error about a live connection gets through, to a process of the host and to a container, and one about none does
/// not.
pub(super) fn errors_of_live_connections(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &format!("{}\n[icmp]\necho = \"trusted\"\n", opening(&["22", "8443"], "")))?;
    let (untrusted, host) = (&fixture.lab.untrusted, &fixture.lab.host);
    let sender = untrusted.sender_to(host)?;
    let flow = |from: IpAddr, to: IpAddr, service| {
        Packet::of(from, to, 1, Body::Udp { from: 45000, to: service, payload: vec![] })
    };
    let mut packets = Described::new();
    for (from, to) in untrusted.addresses().into_iter().zip(host.addresses()) {
        for service in [22, 8443] {
            packets.push((format!("datagram from {from} to {service}"), flow(from, to, service)));
            packets.push((format!("live, from {from}, of {service}"), too_big(from, 45000, to, service)));
            packets.push((format!("unknown, from {from}, of {service}"), too_big(from, 45001, to, service)));
        }
    }
    let survived = survivors(fixture, &sender, &packets)?;
    let expected: BTreeSet<_> =
        packets.into_iter().map(|(what, _)| what).filter(|what| !what.contains("unknown")).collect();
    ensure!(survived == expected, "got through: {survived:#?}\nexpected: {expected:#?}");
    Ok(())
}

/// "Packet too big" about an answer from a service of the host's to `client`'s port.
fn too_big(client: IpAddr, port: u16, host: IpAddr, service: u16) -> Packet {
    let answer = Body::Udp { from: service, to: port, payload: vec![0; 8] };
    let answer = Packet::of(host, client, 1, answer);
    // Without the Ethernet header.
    let quoted = answer.frame([0; 6], [0; 6]).split_off(14);
    let (kind, code) = if client.is_ipv4() { (3, 4) } else { (2, 0) };
    let rest = [vec![0, 0, 5, 0], quoted].concat();
    Packet::of(client, host, 1, Body::Icmp { kind, code, rest })
}
