//! What an apply refuses for the operator's safety, and what it reports besides.
//!
//! Pure: the policy is compared with facts of this host that others have read.

mod arrivals;
pub(crate) mod host;
pub(crate) mod interfaces;
pub(crate) mod lockout;
mod targets;
pub(crate) mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dockfw_policy::address::AddressRange;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::{AllowRule, Policy, Source};
use dockfw_policy::service::{PortRange, Service, Services};

use crate::exposure::{Held, unfiltered};
use crate::host::docker::{Node, Proxied, Published, Swarm};
use crate::host::links::Link;
use crate::message::{Message, shortened};

/// How many ports, networks or nodes a message names.
const NAMED: usize = 12;

/// Returns what an operator may not expect of the policy on this host.
pub(crate) fn notes(policy: &Policy, links: &[Link], held: &[Held]) -> Vec<Message> {
    let overlaps = trusted_docker_networks(policy, links);
    let uncovered = unfiltered(policy, links).map(|link| {
        Message::new(format!("{} is not filtered: no pattern in [interfaces] matches it", link.name))
    });
    let held = if trusts_containers(policy, links) { &[] } else { held };
    let lost = held.iter().filter_map(|held| lost_to_containers(policy, &held.published, held.by));
    overlaps.into_iter().chain(uncovered).chain(lost).collect()
}

/// Returns the networks of Docker's bridges, each with its bridge.
fn docker_networks<'a>(
    policy: &Policy,
    links: &'a [Link],
) -> impl Iterator<Item = (&'a Link, &'a AddressRange)> {
    let bridges = links.iter().filter(|link| policy.interfaces.is_docker(&link.name) && link.is_bridge());
    bridges.flat_map(|link| link.networks.iter().map(move |network| (link, network)))
}

/// Returns whether all of Docker's networks are trusted by address.
fn trusts_containers(policy: &Policy, links: &[Link]) -> bool {
    let trusts = |network| {
        policy.trusted.first_overlap(network).is_some_and(|trusted| trusted.covers(network))
            && policy.blocked.first_overlap(network).is_none()
    };
    let mut networks = docker_networks(policy, links).peekable();
    networks.peek().is_some() && networks.all(|(_, network)| trusts(network))
}

/// Returns messages about what is trusted of Docker's networks, one for each entry of `trusted`: containers in them are
/// trusted by address.
fn trusted_docker_networks(policy: &Policy, links: &[Link]) -> Vec<Message> {
    let mut overlaps: BTreeMap<AddressRange, Vec<String>> = BTreeMap::new();
    for (link, network) in docker_networks(policy, links) {
        if let Some(trusted) = policy.trusted.first_overlap(network) {
            overlaps.entry(trusted).or_default().push(format!("{network} ({})", link.name));
        }
    }
    let told = overlaps.into_iter().map(|(trusted, networks)| {
        let what = if networks.len() == 1 { "a network" } else { "networks" };
        let networks = shortened(networks.into_iter(), NAMED);
        Message::new(format!("{trusted} in `trusted` overlaps {what} of Docker's: {networks}"))
            .meaning("its containers reach the host as trusted sources")
    });
    told.collect()
}

/// What it means that nodes are in no list.
const UNREACHABLE: &str =
    "nodes that are not in `trusted` either can't reach this node, or its containers by overlay networks";

/// Returns a message about missing peers. A Swarm fails if its nodes can't reach each other. `nodes`: those that are
/// known, which are all of them on a manager.
pub(crate) fn missing_peers(policy: &Policy, swarm: &Swarm, nodes: &[Node]) -> Option<Message> {
    let managers = swarm.managers.iter().map(|address| ("a manager", *address));
    let named = nodes.iter().filter_map(|node| Some((node.name.as_str(), node.address?)));
    let mut known: BTreeMap<IpAddr, &str> = managers.map(|(name, address)| (address, name)).collect();
    known.extend(named.map(|(name, address)| (address, name)));
    let peers = &policy.swarm.peers;
    let is_let_in = |address: IpAddr| peers.contains(address) || policy.trusted.contains(address);
    known.retain(|address, _| swarm.address != Some(*address) && !is_let_in(*address));
    if known.is_empty() {
        let is_unknown = peers.is_empty() && nodes.is_empty();
        return is_unknown.then(no_peers);
    }
    let names = known.iter().map(|(address, name)| format!("{name} ({address})"));
    let what = format!("`peers` in [swarm] does not list these nodes: {}", shortened(names, NAMED));
    let addresses = peers.ranges().map(|range| range.to_string());
    let all = quoted(addresses.chain(known.keys().map(ToString::to_string)));
    let help = in_table("swarm", "peers", &format!("peers = [{all}]"));
    Some(Message::new(what).meaning(UNREACHABLE).help(help))
}

fn no_peers() -> Message {
    Message::new("this host is a node of a Swarm, but `peers` in [swarm] is empty")
        .meaning(UNREACHABLE)
        .help("list the addresses of the other nodes in `peers`")
}

/// Returns how to set a key of a table, which may be there already.
fn in_table(table: &str, key: &str, line: &str) -> String {
    format!(
        "add this; if the policy has [{table}] already, put the line there, in place of its `{key}`:\n[{table}]\n{line}"
    )
}

/// Returns strings as a list of a policy has them.
fn quoted(texts: impl Iterator<Item = String>) -> String {
    texts.map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// Returns a message about published ports, held by docker-proxy, that containers can't reach by an address of their
/// host, and the rule that opens them again.
fn lost_to_containers(policy: &Policy, published: &[Published], by: Proxied) -> Option<Message> {
    let containers = match by {
        Proxied::All => "containers",
        Proxied::OwnNetwork => "containers of the same network",
    };
    let ports = published.iter().filter_map(|port| Some((port.service()?, port.container.as_str())));
    let lost: BTreeSet<_> = ports.filter(|(service, _)| !open_to_containers(policy, *service)).collect();
    let (names, _) = listed(lost.into_iter().map(|(service, name)| (service, Some(name))))?;
    let what = format!("{containers} can't reach these published ports at an address of this host: {names}");
    Some(Message::new(what).help(open_one("docker")))
}

/// Returns how to open one of several ports to containers. No rule for all of them is ready to paste: databases and
/// consoles may be among them.
fn open_one(to: &str) -> String {
    format!(
        "to open one of them to all containers: an [[allow]] with from = [\"containers\"], its port, and to = \"{to}\""
    )
}

/// Returns the first of these services as people name them, with who offers each if that is known, and all of them as a
/// policy has them. Nothing if there are none.
fn listed<'a>(services: impl Iterator<Item = (Service, Option<&'a str>)>) -> Option<(String, String)> {
    let (names, mut texts): (Vec<_>, Vec<_>) = services
        .map(|(service, by)| {
            let by = by.map(|by| format!(" ({by})")).unwrap_or_default();
            (format!("{service}{by}"), format!("\"{service}\""))
        })
        .unzip();
    texts.dedup();
    (!names.is_empty()).then(|| (shortened(names.into_iter(), NAMED), texts.join(", ")))
}

/// Returns a rule to add, after words that name its purpose.
fn rule(purpose: &str, name: &str, from: &str, ports: &str, to: &str) -> String {
    format!(
        "{purpose}, add a rule:\n[[allow]]\nname  = \"{name}\"\nfrom  = [{from}]\nports = [{ports}]\nto    = \"{to}\""
    )
}

fn open_to_containers(policy: &Policy, service: Service) -> bool {
    let bridges = &policy.interfaces.docker;
    let takes = |rule: &AllowRule, bridge: &IfPattern| rule.incoming.iter().any(|own| own.covers(bridge));
    opens_host(policy, service, |rule| {
        matches!(rule.from, Source::Everyone | Source::These { containers: true, .. })
            && (rule.incoming.is_empty() || bridges.iter().all(|bridge| takes(rule, bridge)))
    })
}

/// Returns whether a rule for which `lets` holds opens a service at an address of this host. If rules keep the service for
/// their own sources, only they count.
fn opens_host(policy: &Policy, service: Service, lets: impl Fn(&AllowRule) -> bool) -> bool {
    let is_about = |rule: &&AllowRule| rule.to.is_answered_here() && offers(&rule.services, service);
    let about = || policy.allow.iter().filter(is_about);
    let is_kept = about().any(|rule| rule.only);
    about().any(|rule| rule.only == is_kept && lets(rule))
}

fn offers(services: &Services, wanted: Service) -> bool {
    match wanted {
        Service::Protocol(number) => services.protocols().contains(&number),
        Service::Ports(transport, range) => {
            services.ports().any(|(own, ranges)| own == transport && any_covers(ranges, range))
        }
    }
}

fn any_covers(ranges: &[PortRange], wanted: PortRange) -> bool {
    ranges.iter().any(|range| range.contains(wanted.first()) && range.contains(wanted.last()))
}

#[cfg(test)]
pub(crate) mod tests;
