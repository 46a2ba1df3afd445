//! What is in use on this host, collected from connections and sockets that others have read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use dockfw_policy::policy::{AllowRule, Policy};
use dockfw_policy::service::{PortRange, Service, Transport};

use super::{DHCP_SERVER, Usage, is_dockers};
use crate::host::conntrack::Flow;
use crate::host::docker::Published;
use crate::host::links::Link;
use crate::host::listeners::Listener;
use crate::safety::opens_host;

/// The port of DHCPv6's servers (RFC 8415).
const DHCP6_SERVER: u16 = 547;
/// The port of NTP (RFC 5905).
const NTP: u16 = 123;

/// How many addresses of networks that the host is not in are looked up in routing: a busy host has any number of
/// connections.
const MOST_ASKED: usize = 10_000;

/// Usage, as collected from connections and sockets.
pub(crate) struct Survey<'a> {
    policy: &'a Policy,
    links: &'a [Link],
    own: BTreeSet<IpAddr>,
    /// Returns the index of the interface by which routing leads to an address.
    way_to: &'a dyn Fn(IpAddr) -> Option<u32>,
    /// The answers so far.
    asked: BTreeMap<IpAddr, Option<u32>>,
    usage: Usage,
}

impl<'a> Survey<'a> {
    /// Starts with nothing. `needed`: machines that this host needs by its configuration. `way_to` returns the index of the
    /// interface by which routing leads to an address.
    pub(crate) fn of(
        policy: &'a Policy,
        links: &'a [Link],
        way_to: &'a dyn Fn(IpAddr) -> Option<u32>,
        needed: BTreeMap<IpAddr, &'static str>,
    ) -> Self {
        let own = links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
        let usage = Usage { needed, ..Usage::default() };
        Self { policy, links, own, way_to, asked: BTreeMap::new(), usage }
    }

    /// Takes a connection into account.
    pub(crate) fn add_flow(&mut self, flow: Flow) {
        let Flow { transport, original, reply } = flow;
        let (from, dialled) = (original.source.ip(), original.destination);
        if self.own.contains(&from) {
            if transport == Transport::Udp && dialled.port() == NTP {
                self.usage.needed.insert(dialled.ip(), "a time server");
            }
            return;
        }
        if is_link_local(from) {
            self.add_neighbour(transport, dialled);
            return;
        }
        let Some(link) = self.link_towards(from) else { return };
        let is_docker = self.is_dockers(link);
        let answers = reply.source.ip();
        if !self.own.contains(&answers) {
            let to_container = self.link_of(answers).is_some_and(|link| self.is_dockers(link));
            if !is_docker && !to_container && !link.has_default_route {
                self.usage.routed.insert(link.index);
            }
        } else if is_docker && reply.source == dialled && !self.lets_in(from, transport, dialled.port()) {
            self.used_by_containers(transport, dialled.port(), None);
        }
    }

    /// Returns whether the address is let in as such, wherever it is.
    fn lets_in(&self, from: IpAddr, transport: Transport, port: u16) -> bool {
        let service = Service::Ports(transport, single(port));
        // By which interface it will come next time is unknown.
        let names = |rule: &AllowRule| {
            let lists = rule.from.lists();
            rule.incoming.is_empty() && lists.iter().any(|list| list.addresses.contains(from))
        };
        let policy = self.policy;
        !policy.blocked.contains(from)
            && (policy.trusted.contains(from) || opens_host(policy, service, names))
    }

    /// The dialled address shows the interface on which it arrived: each interface has one of its own.
    fn add_neighbour(&mut self, transport: Transport, dialled: SocketAddr) {
        let Some(link) = self.links.iter().find(|link| link.addresses.contains(&dialled.ip())) else {
            return;
        };
        let service = Service::Ports(transport, single(dialled.port()));
        let used = match () {
            () if self.is_dockers(link) => &mut self.usage.by_containers,
            () if self.trusts_network_of(link) => &mut self.usage.by_neighbours,
            () => return,
        };
        used.entry(service).or_insert(None);
    }

    fn trusts_network_of(&self, link: &Link) -> bool {
        let trusted = &self.policy.trusted;
        link.networks
            .iter()
            .any(|network| trusted.first_overlap(network).is_some_and(|own| own.covers(network)))
    }

    /// Takes the sockets that wait for connections into account.
    pub(crate) fn add_listeners(&mut self, listeners: &[Listener]) {
        for listener in listeners {
            let by = listener.interface;
            if listener.transport == Transport::Udp && [DHCP_SERVER, DHCP6_SERVER].contains(&listener.port) {
                self.usage.dhcp.insert(by);
            }
            let on_bridge = self.links.iter().filter(|link| self.is_dockers(link));
            if on_bridge.flat_map(|link| &link.addresses).any(|address| *address == listener.address) {
                self.used_by_containers(listener.transport, listener.port, None);
            }
            let service = Service::Ports(listener.transport, single(listener.port));
            let used = [&mut self.usage.by_containers, &mut self.usage.by_neighbours];
            for name in used.into_iter().filter_map(|used| used.get_mut(&service)) {
                *name = listener.holder.as_ref().map(|holder| holder.name.clone()).or(name.take());
            }
        }
    }

    /// Returns what was found, without what Docker publishes: that is reported elsewhere.
    pub(crate) fn finish(self, published: &[Published]) -> Usage {
        let mut usage = self.usage;
        let services: BTreeSet<_> = published.iter().filter_map(Published::service).collect();
        usage.by_containers.retain(|service, _| !services.contains(service));
        usage
    }

    fn used_by_containers(&mut self, transport: Transport, port: u16, process: Option<String>) {
        self.usage.by_containers.entry(Service::Ports(transport, single(port))).or_insert(process);
    }

    /// Returns the interface behind which an address is, in a network of its own or beyond a router.
    fn link_towards(&mut self, address: IpAddr) -> Option<&'a Link> {
        if let Some(link) = self.link_of(address) {
            return Some(link);
        }
        let is_asked = self.asked.contains_key(&address) || self.asked.len() < MOST_ASKED;
        let index = is_asked.then(|| *self.asked.entry(address).or_insert_with(|| (self.way_to)(address)))?;
        self.links.iter().find(|link| Some(link.index) == index)
    }

    /// Returns the interface that has an address in its networks; of several, the one with the closest network.
    fn link_of(&self, address: IpAddr) -> Option<&'a Link> {
        let closest = |link: &&Link| {
            let around = link.networks.iter().filter(|network| network.contains(address));
            around.filter_map(|network| network.prefix()).max()
        };
        self.links.iter().filter(|link| closest(link).is_some()).max_by_key(closest)
    }

    fn is_dockers(&self, link: &Link) -> bool {
        is_dockers(self.policy, link)
    }
}

fn single(port: u16) -> PortRange {
    PortRange::single(port).unwrap_or(PortRange::ALL)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
