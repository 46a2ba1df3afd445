//! What containers send by hand: with sources that are none of theirs, and in their node's name.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Body, Container, Packet, Proto, Sender};

use super::forged::{Described, are_dropped, believe_anything, both, survivors_by};
use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

/// Groups that every machine is a member of (RFC 1112, RFC 4291).
const ALL_MACHINES: [&str; 2] = ["224.0.0.1", "ff02::1"];

/// A bridge of Docker's on which the host believes any source, and a container's way onto it.
fn on_bridge(fixture: &PacketFixture<'_>, container: &Container) -> Result<(String, Sender)> {
    let bridge = fixture.docker.inspect_network("bridge")?.bridge;
    believe_anything(fixture, &bridge)?;
    let sender = container.sender_to(&fixture.lab.host, &bridge)?;
    Ok((bridge, sender))
}

/// The addresses of the host at which a container may dial it: on the outside, on the container's bridge, and in groups.
fn of_the_host(fixture: &PacketFixture<'_>) -> Result<Vec<IpAddr>> {
    let [v4, v6] = fixture.lab.host.addresses();
    let groups = ALL_MACHINES.iter().map(|group| Ok(group.parse()?)).collect::<Result<Vec<IpAddr>>>()?;
    Ok([vec![v4, v6, Ipv4Addr::new(172, 17, 0, 1).into()], groups].concat())
}

/// With a trusted source, with one that a rule names, and with a neighbour's, at processes of the host.
pub(super) fn forged_to_the_host(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = format!(
        "{SOURCES}\n[[allow]]\nname = \"office\"\nfrom = [\"192.0.2.30\", \"2001:db8:1::30\", \"172.18.0.0/16\"]\n\
         ports = [\"9000/tcp\", \"9000/udp\"]\n"
    );
    let (bridge, sender) = on_bridge(fixture, &fixture.web)?;
    let sources = ["192.0.2.10", "192.0.2.30", "172.18.0.9", "2001:db8:1::10", "2001:db8:1::30"];
    let mut packets = Described::new();
    for source in sources.map(|source| source.parse::<IpAddr>().expect("an address")) {
        for to in of_the_host(fixture)?.into_iter().filter(|to| to.is_ipv4() == source.is_ipv4()) {
            let transports = both("forged", source, to, 9000).into_iter();
            // Nobody opens a TCP connection with a group.
            packets.extend(transports.filter(|(_, packet)| !to.is_multicast() || is_udp(packet)));
        }
    }
    are_dropped(fixture, setting, (&bridge, &sender), &packets, &policy)
}

fn is_udp(packet: &Packet) -> bool {
    matches!(packet.body, Body::Udp { .. })
}

/// As a peer of the Swarm: what its nodes say to each other, VXLAN above all, which the kernel unpacks.
pub(super) fn forged_peers(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let peers = "[swarm]\npeers = [\"192.0.2.50\", \"2001:db8:1::50\"]\n";
    let (bridge, sender) = on_bridge(fixture, &fixture.web)?;
    let peer = ["192.0.2.50".parse::<IpAddr>()?, "2001:db8:1::50".parse()?];
    let mut packets = Described::new();
    for (from, to) in peer.into_iter().zip(fixture.lab.host.addresses()) {
        for port in [2377, 4789, 7946] {
            packets.extend(both("as a peer", from, to, port));
        }
    }
    are_dropped(fixture, setting, (&bridge, &sender), &packets, &format!("{SOURCES}{peers}"))?;
    // Whatever a rule opens to containers, VXLAN is none of theirs.
    let vxlan = opening(&["4789", "9000"], "host");
    fixture.apply(setting, &format!("{vxlan}{peers}"))?;
    let own = fixture.web.addresses.iter().zip(fixture.lab.host.addresses());
    let own: Described = own
        .flat_map(|(from, to)| [4789, 9000].map(|port| both("its own", *from, to, port)))
        .flatten()
        .collect();
    let survived = survivors_by(fixture, &bridge, &sender, &own)?;
    let expected = own.iter().filter(|(what, _)| !what.contains(":4789") || what.contains("tcp"));
    let expected: std::collections::BTreeSet<_> = expected.map(|(what, _)| what.clone()).collect();
    ensure!(survived == expected, "got through: {survived:#?}\nexpected: {expected:#?}");
    Ok(())
}

/// A VPN in a container sends what others sent it: to the outside, that is its own business.
pub(super) fn foreign_sources_outwards(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let (bridge, sender) = on_bridge(fixture, &fixture.web)?;
    let clients = ["10.8.0.5".parse::<IpAddr>()?, "fd08::5".parse()?];
    let outside = clients.into_iter().zip(fixture.lab.untrusted.addresses());
    let packets: Described = outside.flat_map(|(from, to)| both("of a VPN's client", from, to, 80)).collect();
    fixture.remove()?;
    let before = survivors_by(fixture, &bridge, &sender, &packets)?;
    ensure!(before.len() == packets.len(), "proves nothing, for without dockfw pass only {before:#?}");
    fixture.apply(setting, SOURCES)?;
    let under = survivors_by(fixture, &bridge, &sender, &packets)?;
    ensure!(under == before, "without dockfw: {before:#?}\nunder the policy: {under:#?}");
    Ok(())
}

/// A container on two networks, by either of which it dials its host.
pub(super) fn two_networks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let docker = fixture.docker;
    let container = docker.container("two-homes").network("app").start()?;
    docker.cli(&["network", "connect", "other", "two-homes"])?;
    let verify = || -> Result<()> {
        let policy =
            "[[allow]]\nname = \"private\"\nfrom = [\"containers\"]\nports = [\"9000/tcp\", \"9000/udp\"]\n";
        fixture.apply(setting, &format!("{SOURCES}{policy}"))?;
        let mut expect = Expectations::default();
        for network in ["app", "other"] {
            let gateway = gateway_of(fixture, network)?;
            expect.answers(&container, [(gateway, 9000).into()], "private");
        }
        expect.answers(&container, fixture.at(9000), "private").verify()
    };
    let outcome = verify();
    docker.cli(&["rm", "--force", "two-homes"])?;
    outcome
}

/// The host's IPv4 address on a network.
fn gateway_of(fixture: &PacketFixture<'_>, network: &str) -> Result<IpAddr> {
    let format = "{{(index .IPAM.Config 0).Gateway}} {{(index .IPAM.Config 1).Gateway}}";
    let gateways = fixture.docker.cli(&["network", "inspect", "--format", format, network])?;
    let gateways = gateways.split_whitespace().filter_map(|gateway| gateway.parse::<IpAddr>().ok());
    gateways.into_iter().find(IpAddr::is_ipv4).with_context(|| format!("{network} has no gateway"))
}

/// Masqueraded, a container's packet comes from its node's address, which the other nodes trust.
pub(super) fn no_swarm_in_the_nodes_name(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let (peer, other) = (&fixture.lab.office, &fixture.lab.untrusted);
    let ports = [(Proto::Tcp, 2377), (Proto::Tcp, 7946), (Proto::Udp, 7946)];
    let mut services = Vec::new();
    for machine in [peer, other] {
        for (proto, port) in ports.into_iter().chain([(Proto::Udp, 7947)]) {
            services.push(machine.serve(&format!("{port}/{proto}"), "node")?);
        }
    }
    let probe_all = |peer_is_reached: bool| -> Result<()> {
        let mut expect = Expectations::default();
        for (proto, port) in ports {
            expect.answers_over(proto, &fixture.web, other.at(port), "node");
            if peer_is_reached {
                expect.answers_over(proto, &fixture.web, peer.at(port), "node");
            } else {
                expect.silent_over(proto, &fixture.web, peer.at(port));
            }
        }
        expect.answers_over(Proto::Udp, &fixture.web, peer.at(7947), "node").verify()
    };
    fixture.apply(setting, SOURCES)?;
    probe_all(true).context("without peers, the ports are like any others")?;
    let [v4, v6] = peer.addresses();
    fixture.apply(setting, &format!("{SOURCES}\n[swarm]\npeers = [\"{v4}\", \"{v6}\"]\n"))?;
    probe_all(false)
}
