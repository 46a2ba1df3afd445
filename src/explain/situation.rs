//! Which interface and which address are meant, if they were not named.

use std::net::{IpAddr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::printable;
use dockfw_policy::service::Service;

use super::{Asks, Question};
use crate::exposure::Facts;
use crate::host::docker::Driver;
use crate::host::links::Link;
use crate::host::routes::AddressType;
use crate::message::Message;

/// Who sends to whom, and how the packet arrives at the host.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// Whether the sender's address is one of this host's.
    pub(crate) from_is_own: bool,
    /// Whether this host has no route back to the sender by the interface that the packet arrives on.
    pub(crate) reverse_path_fails: bool,
    /// The address that is dialled.
    pub(crate) to: IpAddr,
    /// Whether that is an address of this host.
    pub(crate) to_is_own: bool,
    /// The interface that the packet arrives on.
    pub(crate) incoming: Link,
    /// The interface that leads to the address that is dialled.
    pub(crate) onward: Option<Link>,
}

/// Why the question is unclear.
#[derive(Debug)]
pub(crate) enum Unclear {
    /// There is no such interface.
    NoInterface {
        /// The name.
        name: String,
        /// All names.
        known: Vec<String>,
    },
    /// An interface on which no packet is seen to arrive.
    Port {
        /// The interface.
        name: String,
        /// The bridge or bond.
        controller: String,
    },
    /// A link-local address without its link.
    LinkLocal(IpAddr),
    /// No route to the sender.
    NoWayTo(IpAddr),
    /// No address of the host's towards the sender.
    NoAddress(IpAddr),
    /// No onward route.
    NoWayOn(IpAddr),
    /// A container whose packets the host never sees.
    Beside {
        /// The container.
        container: String,
        /// Its address.
        address: IpAddr,
        /// `macvlan` or `ipvlan`.
        driver: String,
        /// The network.
        network: String,
    },
    /// A name that nothing has.
    UnknownName {
        /// The name.
        name: String,
        /// The names of all lists.
        lists: Vec<String>,
        /// The names of all containers.
        containers: Vec<String>,
    },
    /// A list or container without an address of the family that is asked about.
    NoAddressOf {
        /// Its name.
        name: String,
        /// Whether it is a container.
        is_container: bool,
        /// The family; nothing: any.
        family: Option<Family>,
    },
    /// A container whose packets are the host's own.
    OnHostNetwork {
        /// The container.
        container: String,
    },
    /// Addresses of both families.
    Families {
        /// The sender.
        from: IpAddr,
        /// The address that is dialled.
        to: IpAddr,
    },
}

impl Unclear {
    /// Returns what the operator reads, who asked about this port or protocol.
    pub(crate) fn message(&self, asked: Service) -> Message {
        match self {
            Self::NoInterface { name, known } => {
                Message::new(format!("this host has no interface `{name}`; it has: {}", known.join(", ")))
            }
            Self::Port { name, controller } => Message::new(format!(
                "`{name}` is a port of `{controller}`, and rules see `{controller}` alone"
            ))
            .help(format!("to name that one, add the option: --in {controller}")),
            Self::LinkLocal(from) => {
                Message::new(format!("{from} is link-local, so the incoming interface is unknown"))
                    .help(name_interface(*from, asked))
            }
            Self::NoWayTo(from) => {
                Message::new(format!("no route to {from}, so the incoming interface is unknown"))
                    .help(name_interface(*from, asked))
                    .help(see_route(*from))
            }
            Self::NoAddress(from) => Message::new(format!(
                "this host has no address towards {from}, so the destination is unknown"
            ))
            .help("to name the destination, add the option: --to ADDRESS"),
            Self::NoWayOn(to) => Message::new(format!("this host has no route to {to}"))
                .meaning("it answers \"network unreachable\", whatever the policy is")
                .help(see_route(*to)),
            Self::Beside { container, address, driver, network } => Message::new(format!(
                "{container} has the address {address} on the {driver} network {network}"
            ))
            .meaning("packets to it bypass the host, and so all of its rules"),
            Self::UnknownName { name, lists, containers } => unknown_name(name, lists, containers),
            Self::NoAddressOf { name, is_container, family } => {
                let what = if *is_container { "container" } else { "list" };
                let of = family.map(|family| format!("{family} ")).unwrap_or_default();
                Message::new(format!("{what} {} has no {of}address", printable(name)))
            }
            Self::OnHostNetwork { container } => {
                Message::new(format!("container {container} is on the host's network"))
                    .meaning("its packets come from the host itself")
                    .help("to name an address of the host, use the option: --from ADDRESS")
            }
            Self::Families { from, to } => Message::new(format!(
                "no packet goes from {from} to {to}: one is an IPv4 address, the other an IPv6 address"
            )),
        }
    }
}

fn name_interface(from: IpAddr, asked: Service) -> String {
    format!("to name it: dockfw explain --from {from} --port {asked} --in INTERFACE")
}

fn see_route(to: IpAddr) -> String {
    format!("to see what the kernel answers: ip route get {to}")
}

/// Returns the answer to a name that nothing has, with the names that there are.
fn unknown_name(name: &str, lists: &[String], containers: &[String]) -> Message {
    let named = |names: &[String]| {
        let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    };
    Message::new(format!(
        "`{}` is not an address, and no list of the policy and no container has this name",
        printable(name)
    ))
    .meaning(format!("lists: {}\ncontainers: {}", named(lists), named(containers)))
    .help("name one of these, or an address, as in: 203.0.113.7")
}

/// Fills in what was not named: the interface by which the host would answer, and its own address there.
pub(crate) fn situation(question: &Question, facts: &Facts, asks: &dyn Asks) -> Result<Situation, Unclear> {
    let (from, links) = (question.from, &facts.links);
    let named = question.incoming.as_deref().map(|name| named(name, links)).transpose()?;
    if named.is_none() && matches!(from, IpAddr::V6(v6) if is_link_local(v6)) {
        return Err(Unclear::LinkLocal(from));
    }
    // A sender without an address is on the link that is named.
    let back = asks.route(from, None).filter(|_| !from.is_unspecified());
    let from_is_own = back.is_some_and(|route| route.leads_to == AddressType::Local);
    let by_route = || by_index(back?.interface, links);
    let incoming = named.or_else(by_route).ok_or(Unclear::NoWayTo(from))?;
    let to = match question.to {
        Some(to) => to,
        None => own_address(from, &incoming, asks).ok_or(Unclear::NoAddress(from))?,
    };
    if to.is_ipv4() != from.is_ipv4() {
        return Err(Unclear::Families { from, to });
    }
    let by = matches!(to, IpAddr::V6(v6) if is_link_local(v6)).then_some(incoming.index);
    let (onward, to_is_own) = if is_on_bridge(facts, &incoming, to) {
        (Some(incoming.clone()), false)
    } else {
        let on = asks.route(to, by).ok_or(Unclear::NoWayOn(to))?;
        (by_index(on.interface, links).filter(|_| !on.is_local()), on.is_local())
    };
    // Each link has all link-local addresses.
    let reverse_path_fails = !from.is_unspecified()
        && !matches!(from, IpAddr::V6(v6) if is_link_local(v6))
        && back.is_none_or(|route| route.interface != incoming.index);
    Ok(Situation { from_is_own, reverse_path_fails, to, to_is_own, incoming, onward })
}

/// Returns the address by which the host would answer: out by the interface if there is such a route, else by any.
fn own_address(from: IpAddr, incoming: &Link, asks: &dyn Asks) -> Option<IpAddr> {
    let by = |by| asks.route(from, by).and_then(|route| route.source);
    by(Some(incoming.index)).or_else(|| by(None))
}

/// Returns whether a bridge leads to a container at this address itself, without routing. The host has no route to an isolated network.
fn is_on_bridge(facts: &Facts, bridge: &Link, address: IpAddr) -> bool {
    let addresses = facts.containers.iter().flat_map(|container| &container.addresses);
    let mut names = addresses.filter(|(_, own)| *own == address).map(|(name, _)| name);
    names.any(|name| {
        let of_network = facts.networks.iter().find(|network| network.name == *name);
        of_network.is_some_and(|network| network.driver == Driver::Bridge(bridge.name.clone()))
    })
}

fn named(name: &str, links: &[Link]) -> Result<Link, Unclear> {
    let Some(link) = links.iter().find(|link| link.name == name) else {
        let known = links.iter().map(|link| link.name.clone()).collect();
        return Err(Unclear::NoInterface { name: name.into(), known });
    };
    match link.controller.and_then(|index| by_index(index, links)) {
        Some(controller) => Err(Unclear::Port { name: name.into(), controller: controller.name }),
        None => Ok(link.clone()),
    }
}

fn by_index(index: u32, links: &[Link]) -> Option<Link> {
    links.iter().find(|link| link.index == index).cloned()
}

pub(super) fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}
