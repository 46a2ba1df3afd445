//! What could be open, before it is known who may reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;

use super::{Answers, Facts, Kind, Port, family_of, is_outward};
use crate::host::docker::Published;
use crate::host::links::Link;
use crate::host::listeners::Listener;

/// Processes that hold a published port for Docker.
const HOLDERS: [&str; 2] = ["docker-proxy", "dockerd"];

/// How many doors that rules of others name are tried of each family. Each is followed through all of their rules, by
/// each interface.
const MOST_TRIED: usize = 4_000;

/// A door: a port at an address of the host.
#[derive(Clone, Debug)]
pub(super) struct Door<'a> {
    pub(super) port: Port,
    pub(super) family: Family,
    /// The address of the host. An unspecified one stands for every address of the family that no rule names.
    pub(super) address: IpAddr,
    pub(super) kind: Kind,
    pub(super) answers: Answers,
    /// The interface that is listened on, if it is only one.
    pub(super) interface: Option<&'a Link>,
    /// Where it leads according to Docker.
    pub(super) target: Option<(IpAddr, u16)>,
}

/// Returns all doors that others than the host itself could reach, and in words what rules of others also lead
/// elsewhere. `is_led` returns whether rules of others lead the packets for a door that they name.
pub(super) fn all<'a>(facts: &'a Facts, is_led: impl Fn(&Door<'_>) -> bool) -> (Vec<Door<'a>>, Vec<String>) {
    let names: BTreeMap<_, _> =
        facts.containers.iter().map(|container| (container.id.as_str(), container.name.as_str())).collect();
    let published = facts.published.iter().filter(|published| is_outward(published.address));
    let own = facts.listeners.iter().filter(|listener| is_outward(listener.address));
    let own = own.flat_map(|listener| of_listener(listener, &facts.links, &names));
    let mut doors: Vec<Door<'a>> =
        published.map(of_published).chain(own.filter(|door| !stands_in(door, facts))).collect();
    let known: BTreeSet<_> = doors.iter().map(|door| (door.port, door.address)).collect();
    let mut untold = too_many(facts);
    for family in Family::BOTH {
        let mut named = of_rules(facts, family).filter(|door| !known.contains(&(door.port, door.address)));
        doors.extend(named.by_ref().take(MOST_TRIED).filter(|door| is_led(door)));
        untold.extend(named.next().map(|door| untried(&door)));
    }
    (doors, untold)
}

/// Returns the words for: the rest of what rules name was not tried.
fn untried(first: &Door<'_>) -> String {
    format!(
        "which ports rules of others lead elsewhere, over {}, from {} on: they name very many, of which only the first {MOST_TRIED} are \
         tried",
        first.family, first.port
    )
}

/// Returns the door of a port that Docker publishes.
pub(super) fn of_published(published: &Published) -> Door<'_> {
    Door {
        port: Port { number: published.port, transport: published.transport },
        family: family_of(published.address),
        address: published.address,
        kind: if published.is_meshed { Kind::Mesh } else { Kind::Published },
        answers: Answers {
            container: Some(published.container.clone()).filter(|name| !name.is_empty()),
            container_port: Some(published.container_port),
            ..Answers::default()
        },
        interface: None,
        target: published.targets.first().map(|address| (*address, published.container_port)),
    }
}

/// Returns whether a socket is held for a port that Docker publishes, and is listed as that. If the routing mesh leaves
/// out IPv6, what answers there is dockerd's own.
fn stands_in(door: &Door<'_>, facts: &Facts) -> bool {
    let by_docker = door.answers.process.as_deref().is_some_and(|name| HOLDERS.contains(&name));
    by_docker
        && facts.published.iter().any(|published| {
            let port = Port { number: published.port, transport: published.transport };
            let covers = published.address == door.address || published.address.is_unspecified();
            port == door.port && covers && published.address.is_ipv4() == door.address.is_ipv4()
        })
}

/// A socket for IPv6 that accepts IPv4 as well is two doors.
fn of_listener<'a>(listener: &'a Listener, links: &'a [Link], names: &BTreeMap<&str, &str>) -> Vec<Door<'a>> {
    let holder = listener.holder.as_ref();
    let container = holder.and_then(|holder| holder.container.as_deref());
    let answers = Answers {
        process: holder.map(|holder| holder.name.clone()),
        pid: holder.map(|holder| holder.pid),
        container: container.and_then(|id| names.get(id)).map(|name| (*name).to_owned()),
        ..Answers::default()
    };
    let door = |address: IpAddr| Door {
        port: Port { number: listener.port, transport: listener.transport },
        family: family_of(address),
        address,
        kind: Kind::Process,
        answers: answers.clone(),
        interface: listener.interface.and_then(|index| links.iter().find(|link| link.index == index)),
        target: None,
    };
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let as_ipv4 =
        (listener.address == IpAddr::from(Ipv6Addr::UNSPECIFIED) && listener.takes_ipv4).then_some(any);
    [Some(listener.address), as_ipv4].into_iter().flatten().map(door).collect()
}

/// Returns the doors that rules of others name: whether they lead them anywhere is still to be found out.
fn of_rules<'a>(facts: &'a Facts, family: Family) -> impl Iterator<Item = Door<'a>> {
    let named = facts.others.tables.doors(family);
    let own: Vec<_> = facts.links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
    let any =
        if family == Family::Ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let addresses: Vec<IpAddr> = named
        .addresses
        .into_iter()
        .filter(|address| own.contains(address) && is_outward(*address))
        .chain([any])
        .collect();
    named.ports.into_iter().flat_map(move |number| {
        let ports = Transport::ALL.map(|transport| Port { number, transport });
        let pairs = addresses.clone().into_iter().flat_map(move |address| ports.map(|port| (address, port)));
        pairs.map(move |(address, port)| Door {
            port,
            family,
            address,
            kind: Kind::Translated,
            answers: Answers::default(),
            interface: None,
            target: None,
        })
    })
}

/// Returns what rules of others lead elsewhere and is too much to be listed, in words.
fn too_many(facts: &Facts) -> Vec<String> {
    let wide = Family::BOTH.into_iter().flat_map(|family| facts.others.tables.wide(family));
    wide.map(|led| {
        format!(
            "which ports this leads elsewhere, for it names none, or very many: {} [{}]",
            led.rule, led.table
        )
    })
    .collect()
}
