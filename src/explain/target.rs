//! What is there at the address and port that a packet reaches in the end.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::service::{PortRange, Service};
use dockfw_policy::walk::{Payload, Translation};
use serde::Serialize;

use super::situation::{Situation, Unclear};
use super::{Asks, Question};
use crate::exposure::{Facts, Port};
use crate::host::docker::{Container, Driver, Network, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;

/// Echo request (RFC 792, RFC 4443), and the protocols that it belongs to.
const ECHO_REQUEST: [(Family, u8, u8); 2] = [(Family::Ipv4, 1, 8), (Family::Ipv6, 58, 128)];

/// What is at the address and port.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    /// What it is.
    pub(crate) kind: Kind,
    /// The name of the process that listens.
    pub(crate) process: Option<String>,
    /// The PID of that process.
    pub(crate) pid: Option<u32>,
    /// The container's name, or the name of the service in the routing mesh.
    pub(crate) container: Option<String>,
    /// The address that the packet is led to, or the container's own.
    pub(crate) address: Option<IpAddr>,
    /// The port there.
    pub(crate) container_port: Option<u16>,
    /// The interface that leads there; nothing if the host itself is meant.
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
    /// A port that Swarm's routing mesh publishes for a service.
    Mesh,
    /// Something that a translation rule leads to, and that is none of those.
    Translated,
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
            outgoing: None,
        }
    }
}

/// Returns the payload that opens a connection.
pub(super) fn payload(service: Service, to: IpAddr) -> Payload {
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

/// Finds out what is there, for a packet that is led so.
pub(super) fn target(
    translated: Option<Translation>,
    situation: &Situation,
    question: &Question,
    facts: &Facts,
    asks: &dyn Asks,
) -> Result<Target, Unclear> {
    let published = published(situation, question, &facts.published);
    match translated {
        None if situation.to_is_own => {
            Ok(at_host(situation.to, question.service, situation, facts, published))
        }
        None => by_its_own_address(situation, facts),
        Some(to) => led(to, question, situation, facts, asks, published),
    }
}

/// Returns a socket of the host.
fn at_host(
    to: IpAddr,
    service: Service,
    situation: &Situation,
    facts: &Facts,
    published: Option<&Published>,
) -> Target {
    match (published, listening(to, service, situation, &facts.listeners)) {
        // Docker publishes it, and no rule leads on: docker-proxy should answer, or dockerd for the routing mesh.
        (Some(published), listener) => held(published, listener),
        (None, Some(listener)) => process(listener, facts),
        (None, None) => Kind::Nothing.alone(),
    }
}

/// Returns a container, or a machine that the host leads to.
fn by_its_own_address(situation: &Situation, facts: &Facts) -> Result<Target, Unclear> {
    let outgoing = situation.onward.clone();
    let Some((container, network)) = container_at(facts, situation.to) else {
        return Ok(Target { outgoing, ..Kind::Elsewhere.alone() });
    };
    let at = |outgoing| Target {
        container: Some(container.name.clone()),
        address: Some(situation.to),
        outgoing,
        ..Kind::Container.alone()
    };
    match network.map(|network| (&network.name, &network.driver)) {
        Some((_, Driver::Beside { is_at_input: true, .. })) => Ok(at(None)),
        Some((network, Driver::Beside { driver, .. })) => Err(Unclear::Beside {
            container: container.name.clone(),
            address: situation.to,
            driver: driver.clone(),
            network: network.clone(),
        }),
        // The host has no address on the bridge of an isolated network, and no route to it.
        Some((_, Driver::Bridge(bridge))) if outgoing.as_ref().is_none_or(|link| link.name != *bridge) => {
            Ok(Target { outgoing, ..Kind::Elsewhere.alone() })
        }
        _ => Ok(at(outgoing)),
    }
}

/// Returns the container that has an address, and the network in which it has it, if that is known.
pub(super) fn container_at(facts: &Facts, address: IpAddr) -> Option<(&Container, Option<&Network>)> {
    facts.containers.iter().find_map(|container| {
        let (name, _) = container.addresses.iter().find(|(_, own)| *own == address)?;
        Some((container, facts.networks.iter().find(|network| network.name == *name)))
    })
}

/// Returns a port that Docker publishes and holds itself.
fn held(published: &Published, listener: Option<&Listener>) -> Target {
    let holder = listener.and_then(|listener| listener.holder.as_ref());
    Target {
        process: holder.map(|holder| holder.name.clone()),
        pid: holder.map(|holder| holder.pid),
        ..named(published)
    }
}

fn named(published: &Published) -> Target {
    let kind = if published.is_meshed { Kind::Mesh } else { Kind::Published };
    Target {
        container: Some(published.container.clone()).filter(|name| !name.is_empty()),
        container_port: Some(published.container_port),
        ..kind.alone()
    }
}

/// Returns what a translation rule leads to: the host itself, or somewhere beyond it.
fn led(
    to: Translation,
    question: &Question,
    situation: &Situation,
    facts: &Facts,
    asks: &dyn Asks,
    published: Option<&Published>,
) -> Result<Target, Unclear> {
    let route = asks.route(to.address, None).ok_or(Unclear::NoWayOn(to.address))?;
    if route.is_local() {
        return Ok(at_host(to.address, at_port(question.service, to.port), situation, facts, None));
    }
    let outgoing = facts.links.iter().find(|link| link.index == route.interface).cloned();
    let is_dockers =
        |one: &&Published| one.is_meshed || one.targets.contains(&to.address) || one.targets.is_empty();
    let target = match published.filter(is_dockers) {
        // The address of the routing mesh's first stop is internal to Docker.
        Some(published) if published.is_meshed => named(published),
        Some(published) => Target { address: Some(to.address), ..named(published) },
        None => Target {
            container: container_at(facts, to.address).map(|(container, _)| container.name.clone()),
            address: Some(to.address),
            container_port: Some(to.port),
            ..Kind::Translated.alone()
        },
    };
    Ok(Target { outgoing, ..target })
}

/// Returns the same service by another port.
fn at_port(service: Service, port: u16) -> Service {
    match (service, PortRange::single(port)) {
        (Service::Ports(transport, _), Some(port)) => Service::Ports(transport, port),
        _ => service,
    }
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

/// Returns the port that Docker publishes there. One at exactly this address comes first.
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

/// Returns the socket that answers there. One at exactly this address comes first.
fn listening<'a>(
    to: IpAddr,
    service: Service,
    situation: &Situation,
    listeners: &'a [Listener],
) -> Option<&'a Listener> {
    let Service::Ports(transport, range) = service else { return None };
    let is_there = |one: &&Listener| {
        let by = one.interface.is_none_or(|index| index == situation.incoming.index);
        (one.transport, one.port) == (transport, range.first()) && one.answers(to) && by
    };
    listeners.iter().filter(is_there).max_by_key(|one| one.address == to)
}
