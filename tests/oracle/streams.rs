//! The ways of packets into the host: by which interface, of which family and protocol, and to what.

use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use dockfw_lab::Engine;
use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{
    Connection, Interface, Packet, Path, Payload, Sender, Translation, USUAL_HOP_LIMIT,
};

use crate::fixture::{DOCKER, ELSEWHERE, OracleFixture};
use crate::policies::{DIRECT_PORTS, HOST_PORTS, PUBLISHED};

/// Ports outside, of which rules speak and do not.
const OUTSIDE_PORTS: [u16; 3] = [443, 7000, 8080];

/// What a packet is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A process of the host.
    Host,
    /// A container, by its published port.
    Published,
    /// A container, by its own address.
    Direct,
    /// Somebody outside, from a container.
    Outwards,
}

/// Packets that are alike but for their source and their ports. All of one sender's come in the order in which they were sent, and
/// are heard in that order.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The link that it comes in by, by its number.
    pub(crate) link: usize,
    pub(crate) goal: Goal,
    pub(crate) family: Family,
    pub(crate) transport: Transport,
    pub(crate) destination: IpAddr,
    /// The ports that it is sent to.
    pub(crate) ports: Vec<u16>,
    /// Who sends beside all others: the container, by its bridge.
    pub(crate) own_source: Option<IpAddr>,
    translated: Option<Translation>,
    incoming: Interface,
    outgoing: Option<Interface>,
}

impl Stream {
    /// All that a fixture has.
    pub(crate) fn all(fixture: &OracleFixture, engine: Engine) -> Result<Vec<Self>> {
        let [v4, v6] = ELSEWHERE;
        let ends = Ends { fixture, engine, elsewhere: [v4.parse()?, v6.parse()?] };
        let kinds =
            Family::BOTH.into_iter().flat_map(|family| [(family, Transport::Udp), (family, Transport::Tcp)]);
        Ok(kinds.flat_map(|(family, transport)| ends.streams(family, transport)).collect())
    }

    /// UDP over IPv4 to a process of the host, in a fixture of no matter which links.
    pub(crate) fn example() -> Self {
        Self {
            link: 0,
            goal: Goal::Host,
            family: Family::Ipv4,
            transport: Transport::Udp,
            destination: IpAddr::from([192, 0, 2, 1]),
            ports: HOST_PORTS.to_vec(),
            own_source: None,
            translated: None,
            incoming: Interface { name: "wan0".to_owned(), is_bridge: false },
            outgoing: None,
        }
    }

    /// The first packet of a connection, as the policies see it.
    pub(crate) fn packet(&self, source: IpAddr, from: u16, to: u16) -> Packet {
        let payload = Payload::Ports {
            transport: self.transport,
            source: from,
            destination: to,
            opens: self.transport == Transport::Tcp,
        };
        Packet {
            // The fixture leads every source back to the container, and only its bridge is asked for that.
            sender: Sender { address: source, is_own: false, reverse_path_fails: false },
            path: Path {
                destination: self.destination,
                payload,
                hop_limit: USUAL_HOP_LIMIT,
                translated: self.translated,
                incoming: self.incoming.clone(),
                outgoing: self.outgoing.clone(),
                connection: Connection::New,
            },
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.transport == Transport::Udp { "UDP" } else { "TCP SYN" };
        let goal = match self.goal {
            Goal::Host => "to the host",
            Goal::Published => "to the published port",
            Goal::Direct => "to the container's own address",
            Goal::Outwards => "out of the container through the host",
        };
        write!(f, "{protocol} over {}, by {} {goal}", self.family, self.incoming.name)
    }
}

/// The links, by their numbers.
const OUTSIDE: [usize; 2] = [0, 1];

/// Where streams come from and where they go to.
struct Ends<'a> {
    fixture: &'a OracleFixture,
    engine: Engine,
    /// The addresses of somebody outside.
    elsewhere: [IpAddr; 2],
}

impl Ends<'_> {
    /// All of a family and protocol.
    fn streams(&self, family: Family, transport: Transport) -> Vec<Stream> {
        let v = family as usize;
        let (host, container) =
            (|link: usize| self.fixture.links[link].host[v], self.fixture.container().addresses[v]);
        let stream = |goal, link, destination, ports: &[u16]| Stream {
            link,
            goal,
            family,
            transport,
            destination,
            ports: ports.to_vec(),
            own_source: (link == DOCKER).then_some(container),
            translated: (goal == Goal::Published)
                .then_some(Translation { address: container, port: PUBLISHED.1 }),
            incoming: self.interface(link),
            outgoing: outgoing(goal).map(|link| self.interface(link)),
        };
        let outside = OUTSIDE.into_iter().flat_map(|link| {
            [
                stream(Goal::Host, link, host(link), &HOST_PORTS),
                stream(Goal::Published, link, host(link), &[PUBLISHED.0]),
                stream(Goal::Direct, link, container, &DIRECT_PORTS),
            ]
        });
        let inside = [
            stream(Goal::Host, DOCKER, host(DOCKER), &HOST_PORTS),
            stream(Goal::Outwards, DOCKER, self.elsewhere[v], &OUTSIDE_PORTS),
        ];
        outside.chain(inside).collect()
    }

    fn interface(&self, link: usize) -> Interface {
        self.fixture.links[link].as_seen_by(self.engine)
    }
}

/// The link that it goes out by, where it is forwarded.
fn outgoing(goal: Goal) -> Option<usize> {
    match goal {
        Goal::Host => None,
        Goal::Published | Goal::Direct => Some(DOCKER),
        Goal::Outwards => Some(OUTSIDE[0]),
    }
}
