//! What this host exposes: each port that answers, with who may reach it and what answers; and what no rule covers.
//!
//! Pure: facts of this host are walked through the ruleset, as packets would be. Whether others drop what dockfw lets
//! through is not asked: "reach" means that dockfw does not object.

mod reach;
mod uncovered;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{Interface, Payload, Translation};
use serde::{Serialize, Serializer};

use crate::host::docker::{Container, Network, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;

pub(crate) use reach::{Admitted, Reach, Who};
pub(crate) use uncovered::{Uncovered, beside_the_host, uncovered};

/// Processes that hold a published port for Docker.
const HOLDERS: [&str; 2] = ["docker-proxy", "dockerd"];

/// Stands for any port that a client sends from: one of those that Linux itself chooses (net.ipv4.ip_local_port_range),
/// none that a policy speaks of, and none of DHCP's and its kin (below 1024).
const CLIENT_PORT: u16 = 50_000;

/// What this host is and runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The interfaces.
    pub(crate) links: Vec<Link>,
    /// The sockets that wait for others.
    pub(crate) listeners: Vec<Listener>,
    /// The running containers.
    pub(crate) containers: Vec<Container>,
    /// What Docker publishes, for containers and by Swarm's mesh.
    pub(crate) published: Vec<Published>,
    /// Docker's networks.
    pub(crate) networks: Vec<Network>,
}

/// A ruleset, and how its engine knows interfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The ruleset.
    pub(crate) ruleset: &'a Ruleset,
    /// Whether the engine goes by the names of interfaces alone, and not by their kind.
    pub(crate) by_name_alone: bool,
}

impl Rules<'_> {
    /// An interface as the engine knows it.
    pub(crate) fn interface(&self, link: &Link) -> Interface {
        Interface { name: link.name.clone(), is_bridge: link.is_bridge() || self.by_name_alone }
    }
}

/// A port of this host at which something answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Exposed {
    /// The number that clients dial, and its protocol.
    #[serde(serialize_with = "as_text")]
    pub(crate) port: Port,
    /// The family that clients speak.
    pub(crate) family: Family,
    /// The address of the host that answers; an unspecified one: every address of the family.
    pub(crate) address: IpAddr,
    /// How it comes to be open.
    pub(crate) kind: Kind,
    /// What answers.
    pub(crate) answers: Answers,
    /// Who may reach it from outside, by where they come from.
    pub(crate) reach: Vec<Reach>,
    /// Whether all containers may reach it by an address of the host.
    pub(crate) containers: bool,
}

/// A port of a transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    /// The number.
    pub(crate) number: u16,
    /// The protocol.
    pub(crate) transport: Transport,
}

impl Port {
    /// What opens a connection to it.
    pub(crate) fn opening(self) -> Payload {
        Payload::Ports {
            transport: self.transport,
            source: CLIENT_PORT,
            destination: self.number,
            opens: self.transport == Transport::Tcp,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.transport.name())
    }
}

fn as_text<S: Serializer>(port: &Port, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(port)
}

/// How a port comes to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A process of the host listens, in a container on the host's network or not.
    Process,
    /// Docker publishes it for a container.
    Published,
    /// Swarm's mesh publishes it for a service.
    Mesh,
}

/// What answers at a port. What can't be told is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Answers {
    /// The process's name.
    pub(crate) process: Option<String>,
    /// The process's number.
    pub(crate) pid: Option<u32>,
    /// The container's name, or the service's.
    pub(crate) container: Option<String>,
    /// The container's own port.
    pub(crate) container_port: Option<u16>,
}

/// A door: what is asked about before it is known who may go through.
struct Door<'a> {
    port: Port,
    family: Family,
    address: IpAddr,
    kind: Kind,
    answers: Answers,
    /// Where a connection is translated to; nothing: a socket of the host answers.
    translated: Option<Translation>,
    /// The only interface that is listened on, if it is one.
    interface: Option<&'a Link>,
}

/// All that is open, in the order of ports.
pub(crate) fn exposed(rules: Rules<'_>, facts: &Facts) -> Vec<Exposed> {
    let from = reach::Origins::of(rules, &facts.links);
    let mut exposed: Vec<_> = doors(facts).into_iter().map(|door| from.judge(door)).collect();
    exposed.sort_by(|a, b| order(a).cmp(&order(b)));
    exposed.dedup();
    exposed
}

fn order(exposed: &Exposed) -> (Port, Family, IpAddr, Kind, &Answers) {
    (exposed.port, exposed.family, exposed.address, exposed.kind, &exposed.answers)
}

/// All doors that others than the host itself could come to.
fn doors(facts: &Facts) -> Vec<Door<'_>> {
    let names: BTreeMap<_, _> =
        facts.containers.iter().map(|container| (container.id.as_str(), container.name.as_str())).collect();
    let published = facts.published.iter().filter(|published| is_outward(published.address));
    let own = facts.listeners.iter().filter(|listener| is_outward(listener.address));
    let own = own.flat_map(|listener| listener_doors(listener, &facts.links, &names));
    published.map(published_door).chain(own.filter(|door| !stands_in(door, facts))).collect()
}

fn is_outward(address: IpAddr) -> bool {
    !address.is_loopback()
}

fn published_door(published: &Published) -> Door<'_> {
    let family = family_of(published.address);
    // The mesh's first stop keeps the number; where that is, rules can't tell.
    let translated = if published.is_meshed {
        Some(Translation { address: placeholder(family), port: published.port })
    } else {
        let target = published.targets.first();
        target.map(|address| Translation { address: *address, port: published.container_port })
    };
    Door {
        port: Port { number: published.port, transport: published.transport },
        family,
        address: published.address,
        kind: if published.is_meshed { Kind::Mesh } else { Kind::Published },
        answers: Answers {
            container: Some(published.container.clone()).filter(|name| !name.is_empty()),
            container_port: Some(published.container_port),
            ..Answers::default()
        },
        translated,
        interface: None,
    }
}

/// Whether a socket is held for a port that Docker publishes, and is listed as that. Where the mesh leaves IPv6 out, what
/// answers there is dockerd's own.
fn stands_in(door: &Door<'_>, facts: &Facts) -> bool {
    let by_docker = door.answers.process.as_deref().is_some_and(|name| HOLDERS.contains(&name));
    by_docker
        && facts.published.iter().any(|published| {
            let port = Port { number: published.port, transport: published.transport };
            let covers = published.address == door.address || published.address.is_unspecified();
            port == door.port && covers && published.address.is_ipv4() == door.address.is_ipv4()
        })
}

/// A socket for IPv6 that takes IPv4 as well is two doors.
fn listener_doors<'a>(
    listener: &'a Listener,
    links: &'a [Link],
    names: &BTreeMap<&str, &str>,
) -> Vec<Door<'a>> {
    let holder = listener.holder.as_ref();
    let container = holder.and_then(|holder| holder.container.as_deref());
    let answers = Answers {
        process: holder.map(|holder| holder.name.clone()),
        pid: holder.map(|holder| holder.pid),
        container: container.and_then(|id| names.get(id)).map(|name| (*name).to_owned()),
        container_port: None,
    };
    let door = |address: IpAddr| Door {
        port: Port { number: listener.port, transport: listener.transport },
        family: family_of(address),
        address,
        kind: Kind::Process,
        answers: answers.clone(),
        translated: None,
        interface: listener.interface.and_then(|index| links.iter().find(|link| link.index == index)),
    };
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let as_ipv4 =
        (listener.address == IpAddr::from(Ipv6Addr::UNSPECIFIED) && listener.takes_ipv4).then_some(any);
    [Some(listener.address), as_ipv4].into_iter().flatten().map(door).collect()
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// Stands for any address of the host, or of a container: rules tell no others apart than those of loopback (RFC 5737,
/// RFC 3849).
fn placeholder(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

#[cfg(test)]
mod tests;
