//! Packets at random, most of them at the edges of what policies speak of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use dockfw_lab::{Body, Dice, Netns, Observed, Packet, TcpFlags, run, run_with_input};

use crate::fixture::PacketFixture;

/// A packet, and what is known of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) packet: Packet,
    /// Whether it is to be part of a connection that is up.
    is_live: bool,
    /// What the kernel makes of it, if it gets through without dockfw.
    pub(super) observed: Option<Observed>,
}

const SOURCES: [&str; 19] = [
    "192.0.2.10",
    "192.0.2.20",
    "192.0.2.30",
    "192.0.2.40",
    "192.0.2.50",
    "172.17.0.77",
    "203.0.113.9",
    "10.99.7.20",
    "127.0.0.5",
    // The host's own.
    "192.0.2.1",
    "172.17.0.1",
    "2001:db8:1::10",
    "2001:db8:1::20",
    "2001:db8:1::30",
    "2001:db8:1::40",
    "fd00:d0c::77",
    "fe80::7",
    // Docker's bridges have this one. (The kernel itself does away with packets from ::1.)
    "fe80::1",
    "2001:db8:1::1",
];

/// Beside containers: the host, Docker's gateway, loopback, and elsewhere.
const DESTINATIONS: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.2",
    "172.17.0.1",
    "127.0.0.1",
    "203.0.113.200",
    "2001:db8:1::1",
    "2001:db8:1::2",
    "fd00:d0c::1",
    "2001:db8:9::200",
];

const PORTS: [u16; 20] = [
    22, 80, 443, 546, 68, 1, 2377, 3000, 4789, 7000, 7001, 7002, 7946, 8080, 8081, 8082, 8083, 8443, 9000,
    65535,
];

/// So many packets, no two of which belong to one connection: none changes what becomes of another.
pub(super) fn random(fixture: &PacketFixture<'_>, dice: &mut Dice, count: usize) -> Result<Vec<Sent>> {
    let containers = [&fixture.web, &fixture.same, &fixture.quiet, &fixture.v4only, &fixture.second];
    let containers = containers.iter().flat_map(|container| container.addresses.iter().copied());
    let sources = parsed(&SOURCES)?;
    let destinations: Vec<_> = containers.chain(parsed(&DESTINATIONS)?).collect();
    let mut connections = BTreeSet::new();
    let mut packets = Vec::new();
    for token in (1..).take(count * 4) {
        let destination = dice.pick(&destinations);
        let of_family: Vec<_> =
            sources.iter().copied().filter(|source| source.is_ipv4() == destination.is_ipv4()).collect();
        let source = dice.pick(&of_family);
        let packet = Packet {
            hop_limit: dice.pick(&[64, 255]),
            ..Packet::of(source, destination, token, body(dice, token))
        };
        // Without ports, what goes one way and what goes the other are one connection.
        let ends = [source.min(destination), source.max(destination)];
        if packets.len() < count && connections.insert(format!("{ends:?} {:?}", packet.body)) {
            packets.push(Sent { packet, is_live: dice.one_in(8), observed: None });
        }
    }
    Ok(packets)
}

fn parsed(addresses: &[&str]) -> Result<Vec<IpAddr>> {
    addresses.iter().map(|address| Ok(address.parse()?)).collect()
}

fn body(dice: &mut Dice, token: u16) -> Body {
    let to = dice.pick(&PORTS);
    // No other packet's, nor a port that any is sent to.
    let from = 10_000 + token;
    let [high, low] = token.to_be_bytes();
    match dice.roll(20) {
        0 | 1 => {
            let kind = dice.pick(&[0, 3, 8, 13, 128, 129, 130, 133, 135, 137, 143, 144]);
            Body::Icmp { kind, code: 0, rest: [vec![high, low], vec![0; 18]].concat() }
        }
        2 => Body::Other { protocol: dice.pick(&[2, 47, 50, 112]), payload: vec![0; 16] },
        3 => Body::Udp { from: dice.pick(&[67, 547]), to: dice.pick(&[68, 546]), payload: vec![0; 4] },
        4..=8 => Body::Udp { from, to, payload: vec![0; 4] },
        9..=15 => Body::Tcp { from, to, flags: TcpFlags::SYN },
        // Any combination, with the ECN bits.
        _ => Body::Tcp { from, to, flags: TcpFlags(u8::try_from(dice.roll(256)).unwrap_or_default()) },
    }
}

/// Makes the host forget all connections but those that are to be up.
pub(super) fn make_live(host: &Netns, packets: &[Sent]) -> Result<()> {
    run(host.command("conntrack").arg("-F"))?;
    let lines: String = packets.iter().filter(|sent| sent.is_live).filter_map(live).collect();
    let load = &mut host.command("conntrack");
    run_with_input(load.args(["-R", "-"]), lines.as_bytes()).context("connections that are up")?;
    Ok(())
}

/// The line that makes a packet part of a connection that is up.
fn live(sent: &Sent) -> Option<String> {
    let (protocol, from, to) = match sent.packet.body {
        Body::Tcp { from, to, .. } => ("tcp --state ESTABLISHED", from, to),
        Body::Udp { from, to, .. } => ("udp", from, to),
        Body::Icmp { .. } | Body::Other { .. } => return None,
    };
    let (source, destination) = (sent.packet.source, sent.packet.destination);
    Some(format!(
        "-I -p {protocol} -s {source} -d {destination} --sport {from} --dport {to} -t 600 -u SEEN_REPLY\n"
    ))
}
