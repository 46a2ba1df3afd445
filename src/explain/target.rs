//! What is there at the address and port that are dialled, and the way that leads to it.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::service::Service;
use dockfw_policy::walk::{Connection, Interface, Path, Payload, Translation, USUAL_HOP_LIMIT};
use serde::Serialize;

use super::situation::{Situation, is_link_local};
use super::{Others, Question};
use crate::exposure::{Facts, Port};
use crate::host::docker::{Container, Driver, MESH_BRIDGE, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;

/// Echo request (RFC 792, RFC 4443), and the protocols that it is of.
const ECHO_REQUEST: [(Family, u8, u8); 2] = [(Family::Ipv4, 1, 8), (Family::Ipv6, 58, 128)];

/// What is there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    /// What it is.
    pub(crate) kind: Kind,
    /// The name of the process that listens.
    pub(crate) process: Option<String>,
    /// The number of that process.
    pub(crate) pid: Option<u32>,
    /// The container's name, or the name of the service in the mesh.
    pub(crate) container: Option<String>,
    /// The container's address, where the packet gets to it.
    pub(crate) address: Option<IpAddr>,
    /// The container's own port.
    pub(crate) container_port: Option<u16>,
    /// Where the destination is translated to.
    #[serde(skip)]
    translated: Option<Translation>,
    /// The interface that leads there; nothing where the host itself is meant.
    #[serde(skip)]
    pub(crate) outgoing: Option<Link>,
}

/// Kinds of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A process of the host, in a container on the host's network or not.
    Process,
    /// A port that Docker publishes for a container.
    Published,
    /// A port that Swarm's mesh publishes for a service.
    Mesh,
    /// A container by its own address.
    Container,
    /// Neither this host nor a container of it.
    Elsewhere,
    /// Nothing on this host that is known to answer.
    Nothing,
}

impl Kind {
    fn alone(self) -> Target {
        Target {
            kind: self,
            process: None,
            pid: None,
            container: None,
            address: None,
            container_port: None,
            translated: None,
            outgoing: None,
        }
    }
}

impl Target {
    /// The packet's way to it, without who sends it.
    pub(super) fn path(
        &self,
        situation: &Situation,
        question: &Question,
        interface: impl Fn(&Link) -> Interface,
    ) -> Path {
        Path {
            destination: situation.to,
            payload: payload(question.service, situation.to),
            hop_limit: USUAL_HOP_LIMIT,
            translated: self.translated,
            incoming: interface(&situation.incoming),
            outgoing: self.outgoing.as_ref().map(interface),
            connection: Connection::New,
        }
    }
}

/// Whatever opens a connection.
fn payload(service: Service, to: IpAddr) -> Payload {
    match service {
        Service::Ports(transport, range) => Port { number: range.first(), transport }.opening(),
        Service::Protocol(number) => {
            let echo = ECHO_REQUEST.iter().find(|(family, protocol, _)| {
                *protocol == number && (*family == Family::Ipv4) == to.is_ipv4()
            });
            echo.map_or(Payload::Other(number), |(.., kind)| Payload::Icmp(*kind))
        }
    }
}

/// Finds out what is there.
pub(super) fn target(
    situation: &Situation,
    question: &Question,
    facts: &Facts,
    others: &dyn Others,
) -> Target {
    if !situation.to_is_own {
        return by_its_own_address(situation, facts);
    }
    let listener = listening(situation, question, &facts.listeners);
    let published = published(situation, question, &facts.published);
    match (published, listener) {
        (Some(published), listener) => at_published(situation, question, facts, others, published, listener),
        (None, Some(listener)) => process(listener, facts),
        (None, None) => Kind::Nothing.alone(),
    }
}

/// A container, or a machine that the host leads to.
fn by_its_own_address(situation: &Situation, facts: &Facts) -> Target {
    let outgoing = situation.onward.clone();
    match container_at(facts, situation.to) {
        Some(container) => Target {
            container: Some(container.name.clone()),
            address: Some(situation.to),
            outgoing,
            ..Kind::Container.alone()
        },
        None => Target { outgoing, ..Kind::Elsewhere.alone() },
    }
}

/// The container that has an address.
fn container_at(facts: &Facts, address: IpAddr) -> Option<&Container> {
    facts.containers.iter().find(|container| container.addresses.iter().any(|(_, own)| *own == address))
}

fn at_published(
    situation: &Situation,
    question: &Question,
    facts: &Facts,
    others: &dyn Others,
    published: &Published,
    listener: Option<&Listener>,
) -> Target {
    let translated = translation(situation, question, facts, others, published, listener);
    let holder = listener.filter(|_| translated.is_none()).and_then(|listener| listener.holder.as_ref());
    let kind = if published.is_meshed { Kind::Mesh } else { Kind::Published };
    Target {
        process: holder.map(|holder| holder.name.clone()),
        pid: holder.map(|holder| holder.pid),
        container: Some(published.container.clone()).filter(|name| !name.is_empty()),
        address: translated.map(|to| to.address).filter(|_| !published.is_meshed),
        container_port: Some(published.container_port),
        outgoing: translated.and_then(|to| way_to(published, to.address, facts, others)),
        translated,
        ..kind.alone()
    }
}

fn way_to(published: &Published, address: IpAddr, facts: &Facts, others: &dyn Others) -> Option<Link> {
    let link = |is_it: &dyn Fn(&Link) -> bool| facts.links.iter().find(|link| is_it(link)).cloned();
    if published.is_meshed {
        return link(&|link| link.name == MESH_BRIDGE);
    }
    let index = others.route(address, None)?.interface;
    link(&|link| link.index == index)
}

/// Where Docker translates to: not for link-local sources, nor where docker-proxy answers containers, nor where the
/// container has no address of the family.
fn translation(
    situation: &Situation,
    question: &Question,
    facts: &Facts,
    others: &dyn Others,
    published: &Published,
    listener: Option<&Listener>,
) -> Option<Translation> {
    if published.is_meshed {
        // The first stop keeps the number. Which address it has is Docker's own affair, and no rule asks.
        return Some(Translation { address: situation.to, port: published.port });
    }
    let address = *published.targets.first()?;
    let is_near = matches!(question.from, IpAddr::V6(v6) if is_link_local(v6));
    let is_local = situation.incoming.name == "lo";
    let is_inside = is_dockers(facts, &situation.incoming);
    // Docker's iptables rules leave all of its bridges to docker-proxy, those of its nftables backend the container's own.
    let is_near_container = || {
        let bridge = way_to(published, address, facts, others);
        bridge.is_some_and(|bridge| bridge.index == situation.incoming.index)
    };
    let is_for_proxy =
        is_inside && listener.is_some() && (!others.docker_uses_nftables() || is_near_container());
    let is_translated = !(is_local || is_near || is_for_proxy);
    is_translated.then_some(Translation { address, port: published.container_port })
}

/// Whether an interface is the bridge of one of Docker's networks.
pub(super) fn is_dockers(facts: &Facts, link: &Link) -> bool {
    facts.networks.iter().any(|network| network.driver == Driver::Bridge(link.name.clone()))
}

fn process(listener: &Listener, facts: &Facts) -> Target {
    let holder = listener.holder.as_ref();
    let id = holder.and_then(|holder| holder.container.as_deref());
    let container = facts.containers.iter().find(|container| Some(container.id.as_str()) == id);
    Target {
        process: holder.map(|holder| holder.name.clone()),
        pid: holder.map(|holder| holder.pid),
        container: container.map(|container| container.name.clone()),
        ..Kind::Process.alone()
    }
}

/// The port that Docker publishes there, the one at just this address first.
fn published<'a>(
    situation: &Situation,
    question: &Question,
    published: &'a [Published],
) -> Option<&'a Published> {
    let to = situation.to;
    let is_there = |one: &&Published| {
        let any = one.address.is_unspecified() && one.address.is_ipv4() == to.is_ipv4();
        one.service() == Some(question.service) && (any || one.address == to)
    };
    published.iter().filter(is_there).max_by_key(|one| one.address == to)
}

/// The socket that answers there, the one at just this address first.
fn listening<'a>(
    situation: &Situation,
    question: &Question,
    listeners: &'a [Listener],
) -> Option<&'a Listener> {
    let Service::Ports(transport, range) = question.service else { return None };
    let to = situation.to;
    let is_there = |one: &&Listener| {
        let by = one.interface.is_none_or(|index| index == situation.incoming.index);
        (one.transport, one.port) == (transport, range.first()) && one.answers(to) && by
    };
    listeners.iter().filter(is_there).max_by_key(|one| one.address == to)
}
