//! The interfaces that packets come in by, and what the host's interfaces are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;
use dockfw_lab::{Body, Container, Engine, Machine, Observed, Sender};
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{self, Connection, Interface, Payload, Translation};

use super::packets::Sent;
use crate::fixture::PacketFixture;

/// A way into the host.
pub(super) struct Route {
    /// The host's interface.
    pub(super) interface: String,
    /// Who sends there.
    pub(super) sender: Sender,
    /// The addresses that the host takes for its own on this way.
    own: BTreeSet<IpAddr>,
    /// The host's bridges.
    bridges: BTreeSet<String>,
}

impl Route {
    pub(super) fn of(fixture: &PacketFixture<'_>, interface: &str, machine: &Machine) -> Result<Self> {
        Self::by(fixture, interface, machine.sender_to(&fixture.on_segment_of(machine))?)
    }

    pub(super) fn of_container(fixture: &PacketFixture<'_>, container: &Container) -> Result<Self> {
        let bridge = fixture.docker.inspect_network("bridge")?.bridge;
        let sender = container.sender_to(&fixture.lab.host, &bridge)?;
        Self::by(fixture, &bridge, sender)
    }

    fn by(fixture: &PacketFixture<'_>, interface: &str, sender: Sender) -> Result<Self> {
        let addresses = fixture.lab.host.shell("ip -oneline address show")?;
        let own = addresses.lines().filter_map(address).filter(|(address, at)| {
            // Any router may have a link-local address that one of the host's other interfaces has.
            at == interface || !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
        });
        let bridges = fixture.lab.host.shell("ip -oneline link show type bridge")?;
        let bridges = bridges.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned);
        Ok(Self {
            interface: interface.to_owned(),
            sender,
            own: own.map(|(address, _)| address).collect(),
            bridges: bridges.collect(),
        })
    }

    /// A packet in the policy's terms, if the kernel was seen to let it through.
    pub(super) fn explainable(&self, sent: &Sent, engine: Engine) -> Option<walk::Packet> {
        let observed = sent.observed.as_ref()?;
        let interface = |name: &str| Interface {
            name: name.to_owned(),
            // iptables knows interfaces by their names alone.
            is_bridge: engine == Engine::Compat || self.bridges.contains(name),
        };
        let packet = &sent.packet;
        let (address, destination) = (packet.source, packet.destination);
        Some(walk::Packet {
            sender: walk::Sender {
                address,
                is_own: self.own.contains(&address) || is_loopback(address),
                reverse_path_fails: observed.reverse_path_fails,
            },
            path: walk::Path {
                destination,
                payload: payload(&packet.body),
                hop_limit: packet.hop_limit - u8::from(observed.outgoing.is_some()),
                translated: observed
                    .is_translated
                    .then_some(Translation { address: observed.destination, port: observed.port }),
                incoming: interface(&self.interface),
                outgoing: observed.outgoing.as_deref().map(interface),
                connection: connection(observed),
            },
        })
    }
}

/// The address in a line of `ip -oneline address`, and the interface.
fn address(line: &str) -> Option<(IpAddr, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = words.get(3)?.split('/').next()?;
    Some((address.parse().ok()?, words.get(1)?.to_string()))
}

/// All of 127.0.0.0/8 is local.
fn is_loopback(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_loopback())
}

fn connection(observed: &Observed) -> Connection {
    match observed {
        Observed { is_live: true, .. } => Connection::Live,
        Observed { is_untracked: true, .. } => Connection::None,
        _ => Connection::New,
    }
}

fn payload(body: &Body) -> Payload {
    match *body {
        Body::Tcp { from, to, flags } => Payload::Ports {
            transport: Transport::Tcp,
            source: from,
            destination: to,
            // FIN, SYN, RST and ACK.
            opens: flags.0 & 0x17 == 0x02,
        },
        Body::Udp { from, to, .. } => {
            Payload::Ports { transport: Transport::Udp, source: from, destination: to, opens: false }
        }
        Body::Icmp { kind, .. } => Payload::Icmp(kind),
        Body::Other { protocol, .. } => Payload::Other(protocol),
    }
}
