//! What this host exposes: each port that answers, with who may reach it and what answers; and what no rule covers.
//!
//! Pure: facts of this host are walked through the ruleset, as packets would be, on the ways that rules of others lead
//! them. Whether others drop what dockfw lets through is not asked: "reach" means that dockfw does not object.

mod changes;
mod doors;
mod held;
mod led;
mod reach;
mod uncovered;
mod words;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{Interface, Payload};
use serde::{Serialize, Serializer};

use crate::filters::live::Others;
use crate::host::docker::{Behaviour, Container, Network, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;

pub(crate) use changes::{Change, Side, Turn, changes, shortened, without};
pub(crate) use held::{Held, held};
pub(crate) use reach::{Admitted, Reach, Who};
pub(crate) use uncovered::{Uncovered, beside_the_host, uncovered, unfiltered};
pub(crate) use words::part;

/// Stands for any port that a client sends from. It is one that Linux itself chooses (net.ipv4.ip_local_port_range),
/// and not one that a policy names, nor one of DHCP's and its kin (below 1024).
const CLIENT_PORT: u16 = 50_000;

/// What this host is and runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The interfaces.
    pub(crate) links: Vec<Link>,
    /// The sockets that wait for connections.
    pub(crate) listeners: Vec<Listener>,
    /// The running containers.
    pub(crate) containers: Vec<Container>,
    /// What Docker publishes, for containers and by Swarm's routing mesh.
    pub(crate) published: Vec<Published>,
    /// Docker's networks.
    pub(crate) networks: Vec<Network>,
    /// The live rules of others.
    pub(crate) others: Others,
    /// What this Docker does, by its version and its backend, if it reports those.
    pub(crate) docker: Option<Behaviour>,
}

/// A ruleset, and how its engine knows interfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The ruleset.
    pub(crate) ruleset: &'a Ruleset,
    /// Whether the engine knows interfaces by their names alone, and not by their kind.
    pub(crate) by_name_alone: bool,
}

impl Rules<'_> {
    /// Returns an interface as the engine knows it.
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
    /// The address of the host that answers. An unspecified one stands for every address of the family.
    pub(crate) address: IpAddr,
    /// Why it is open.
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
    /// Returns what opens a connection to it.
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

/// Why a port is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A process of the host listens, in a container on the host's network or not.
    Process,
    /// Docker publishes it for a container.
    Published,
    /// Swarm's routing mesh publishes it for a service.
    Mesh,
    /// Rules of others lead it elsewhere.
    Translated,
}

/// What answers at a port. What is unknown is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Answers {
    /// The process's name.
    pub(crate) process: Option<String>,
    /// The process's PID.
    pub(crate) pid: Option<u32>,
    /// The container's name, or the service's.
    pub(crate) container: Option<String>,
    /// The address that others' rules lead to.
    pub(crate) address: Option<IpAddr>,
    /// The container's own port, or the one that others' rules lead to.
    pub(crate) container_port: Option<u16>,
}

/// Returns all that is open, in the order of ports, and in words what is unknown of it.
pub(crate) fn exposed(rules: Rules<'_>, facts: &Facts) -> (Vec<Exposed>, Vec<String>) {
    let from = reach::Origins::of(rules, facts);
    let (doors, untold) = doors::all(facts, |door| from.is_led(door));
    let (mut exposed, mut unknown) = (Vec::new(), BTreeSet::from_iter(untold));
    for door in doors {
        let (one, open_questions) = from.judge(door);
        exposed.push(one);
        unknown.extend(open_questions);
    }
    exposed.sort_by(|a, b| order(a).cmp(&order(b)));
    exposed.dedup();
    (exposed, unknown.into_iter().collect())
}

/// Returns the same for a host on which no rule of dockfw objects to anything.
pub(crate) fn exposed_unfiltered(facts: &Facts) -> (Vec<Exposed>, Vec<String>) {
    let ruleset = Ruleset::default();
    exposed(Rules { ruleset: &ruleset, by_name_alone: false }, facts)
}

fn order(exposed: &Exposed) -> (Port, Family, IpAddr, Kind, &Answers) {
    (exposed.port, exposed.family, exposed.address, exposed.kind, &exposed.answers)
}

/// Returns whether others than the host itself may reach an address.
fn is_outward(address: IpAddr) -> bool {
    !address.is_loopback()
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// Returns an address that stands for any address of the host, or of a container. Rules distinguish only those of
/// loopback from the others (RFC 5737, RFC 3849).
fn placeholder(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

#[cfg(test)]
mod tests;
