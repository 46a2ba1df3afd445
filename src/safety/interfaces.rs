//! What an apply refuses because of how the policy sorts this host's interfaces.

use std::fmt;

use dockfw_policy::address::AddressRange;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::Policy;

use super::usage::Usage;
use super::{in_table, quoted};
use crate::host::docker::{Driver, Network};
use crate::host::links::Link;
use crate::message::Message;

/// Kinds of interfaces that carry other networks' traffic: virtual private networks and overlays.
const TUNNELS: [&str; 18] = [
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ppp",
    "sit",
    "tun",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
    "wwan",
    "xfrm",
];

/// Kinds of interfaces by which this host reaches guests that are beside it on a network card: shims.
const SHIMS: [&str; 3] = ["macvlan", "macvtap", "ipvlan"];
/// How systemd-nspawn, CNI's plugins and LXC, and Calico name the host's ends of links to guests. The end in a guest,
/// which may be a Docker host itself, is named like a network card.
const GUEST_NAMES: [&str; 3] = ["ve-", "veth", "cali"];

/// Returns objections to interfaces that the policy takes for Docker's bridges, and that are none: whoever is behind
/// them would be inside.
pub(crate) fn false_bridges(policy: &Policy, links: &[Link], networks: &[Network]) -> Vec<Message> {
    let taken = links.iter().filter(|link| policy.interfaces.is_docker(&link.name));
    let false_ones = taken.filter_map(|link| {
        let why = why_not_dockers(link, links)?;
        let help = match (network_of(link, networks), foreign_port(link, links)) {
            (Some(network), Some(port)) => {
                format!("it is the bridge of Docker's network {network}; {}", without_port(port))
            }
            _ => "list Docker's bridges in `docker` with narrower patterns, or rename the interface".into(),
        };
        let message = Message::new(format!("{} matches `docker` in [interfaces], but {why}", link.name))
            .meaning("whoever is behind it would count as a container")
            .help(help);
        Some(message)
    });
    false_ones.collect()
}

/// Returns why an interface can't be a bridge of Docker's, if it can't.
fn why_not_dockers(link: &Link, links: &[Link]) -> Option<String> {
    if !link.is_bridge() {
        let kind = link.kind.as_deref().unwrap_or("hardware");
        return Some(format!("is not a bridge ({kind})"));
    }
    let foreign = foreign_port(link, links)?;
    Some(format!("its port {} does not lead to a container", foreign.name))
}

/// Returns a port of a bridge that does not lead to a container, if there is one.
fn foreign_port<'a>(bridge: &Link, links: &'a [Link]) -> Option<&'a Link> {
    let mut ports = links.iter().filter(|port| port.controller == Some(bridge.index));
    ports.find(|port| port.kind.as_deref() != Some("veth"))
}

/// Returns how to make a bridge Docker's alone.
fn without_port(port: &Link) -> String {
    format!("take {0} out of it: ip link set {0} nomaster", port.name)
}

/// Returns the network of Docker's whose bridge this is, if it is one.
fn network_of<'a>(link: &Link, networks: &'a [Network]) -> Option<&'a str> {
    let is_its = |network: &&Network| network.driver == Driver::Bridge(link.name.clone());
    networks.iter().find(is_its).map(|network| network.name.as_str())
}

/// Returns objections to interfaces on which the policy lets everything through, and that lead to the rest of the
/// world.
pub(crate) fn wide_exemptions(policy: &Policy, links: &[Link], networks: &[Network]) -> Vec<Message> {
    let exempt = links.iter().filter(|link| link.is_way_in());
    let exempt = exempt
        .filter(|link| policy.interfaces.is_exempt(&link.name) && !policy.interfaces.is_docker(&link.name));
    let wide = exempt.filter_map(|link| {
        let way_out = way_out(link, links)?;
        let help = network_of(link, networks).map_or(NOT_EXEMPT.to_owned(), |network| {
            format!("it is the bridge of Docker's network {network}; move it from `exempt` to `docker`")
        });
        let message = Message::new(format!("{} matches `exempt` in [interfaces], but {way_out}", link.name))
            .meaning("everyone who sends to it would reach this host and all containers")
            .help(help);
        Some(message)
    });
    wide.collect()
}

/// What to do about an interface that is not to be exempt.
const NOT_EXEMPT: &str = "add [[allow]] rules for what is to be open; or, if your own machines are behind it, list it in `inside` or `crossing`";

/// Returns why an interface leads further than to machines of this host's own, if it does.
fn way_out(link: &Link, links: &[Link]) -> Option<String> {
    let is_hardware = |link: &&Link| link.kind.is_none();
    let mut ports = links.iter().filter(|port| port.controller == Some(link.index));
    if link.has_default_route {
        Some("the default route uses it".into())
    } else if link.kind.is_none() {
        Some("it is a network card".into())
    } else {
        ports.find(is_hardware).map(|port| format!("the network card {} is a port of it", port.name))
    }
}

/// Returns whether an interface leads further than to machines of this host's own.
pub(crate) fn leads_out(link: &Link, links: &[Link]) -> bool {
    way_out(link, links).is_some()
}

/// Returns whether the machines behind an interface may be the operator's own.
pub(crate) fn can_be_inside(link: &Link, links: &[Link]) -> bool {
    !leads_out(link, links) || !link.is_bridge() && !link.has_default_route
}

/// Returns objections to bridges that a pattern of `crossing` matches, and between which this host would route. Packets
/// from one to another do not only cross them.
pub(crate) fn routed_crossings(policy: &Policy, links: &[Link]) -> Vec<Message> {
    let patterns = policy.interfaces.crossing.iter();
    let patterns = patterns.filter(|pattern| matches!(pattern, IfPattern::Prefix(_)));
    let routed = patterns.flat_map(|pattern| {
        let taken = links.iter().filter(|link| pattern.matches(&link.name) && has_routed_network(link));
        taken.map(move |link| {
            Message::new(format!(
                "{} matches `{pattern}` in `crossing` in [interfaces], but has addresses of this host",
                link.name
            ))
            .meaning("this host would route packets to it from the other interfaces that match, without filtering them")
            .help(format!("replace the pattern by full names under [interfaces]: crossing = [\"{}\"]", link.name))
        })
    });
    routed.collect()
}

fn has_routed_network(link: &Link) -> bool {
    link.networks.iter().any(|network| match network {
        AddressRange::V4(network) => !network.first().is_link_local(),
        AddressRange::V6(network) => !network.first().is_unicast_link_local(),
    })
}

/// Returns messages about interfaces that filtering is likely to hurt and that the policy does not name, with the lines
/// to write: one about the bridges of Docker's networks, and one about the rest.
pub(crate) fn unnamed(policy: &Policy, links: &[Link], usage: &Usage) -> Vec<Message> {
    let (dockers, others): (Vec<_>, Vec<_>) = at_risk(policy, links, usage)
        .into_iter()
        .partition(|(_, look)| matches!(look, Look::DockerNetwork(_)));
    let dockers = not_listed(&dockers).map(|message| {
        let names = quoted(dockers.iter().map(|(link, _)| link.name.clone()));
        let line = format!("docker = [{}, {names}]", dockers_bridges(policy));
        let ports = dockers.iter().filter_map(|(link, _)| foreign_port(link, links));
        ports.fold(message.help(in_table("interfaces", "docker", &line)), |message, port| {
            message.help(format!("before that, {}", without_port(port)))
        })
    });
    let others_named = not_listed(&others).map(|message| {
        let others: Vec<_> = others.iter().map(|(link, _)| *link).collect();
        let choices = choices(policy, &others, links);
        let message =
            message.help(format!("list each of them in one of these ways; if the policy has [interfaces] already, put the lines there:\n[interfaces]\n{choices}"));
        if has_guests(&others, links) { message.help(SERVICES) } else { message }
    });
    dockers.into_iter().chain(others_named).collect()
}

fn not_listed(at_risk: &[(&Link, Look)]) -> Option<Message> {
    let names: Vec<_> = at_risk.iter().map(|(link, _)| link.name.as_str()).collect();
    let looks: Vec<_> = at_risk.iter().map(|(link, look)| format!("{} is {look}", link.name)).collect();
    (!names.is_empty()).then(|| {
        Message::new(format!("[interfaces] does not list {}", names.join(", "))).meaning(looks.join("\n"))
    })
}

/// Returns what `docker` lists now, as a policy has it.
fn dockers_bridges(policy: &Policy) -> String {
    quoted(policy.interfaces.docker.iter().map(ToString::to_string))
}

/// What an interface looks like that filtering is likely to hurt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The bridge of this network of Docker's, although the policy does not count it as one.
    DockerNetwork(String),
    /// A bridge that is not Docker's.
    Bridge,
    /// A tunnel or VPN.
    Tunnel,
    /// It leads to a network that this host routes for.
    Routed,
    /// A link to guests of this host.
    Guest,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DockerNetwork(name) => {
                return write!(f, "the bridge of Docker's network {name}, but does not match `docker`: its containers would be cut off");
            }
            Self::Bridge => "a bridge that does not look like Docker's: what is behind it would be cut off",
            Self::Tunnel => "a tunnel or VPN: packets from it would be filtered",
            Self::Routed => "a network that this host routes for: its machines would be cut off",
            Self::Guest => "a link to guests of this host: what they send to it or through it would be filtered",
        })
    }
}

/// Returns the interfaces that filtering is likely to hurt and that the policy does not name, with what they look like.
pub(crate) fn at_risk<'a>(policy: &Policy, links: &'a [Link], usage: &Usage) -> Vec<(&'a Link, Look)> {
    let candidates = links.iter().filter(|link| link.is_up && link.controller.is_none());
    let unlisted = candidates.filter(|link| !policy.interfaces.lists(&link.name));
    unlisted.filter_map(|link| Some((link, look(link, usage)?))).collect()
}

/// Returns the lines of a policy that name these interfaces, in every way that makes sense for them, the narrowest
/// first.
fn choices(policy: &Policy, links: &[&Link], all: &[Link]) -> String {
    let named = |wanted: &dyn Fn(&Link) -> bool| {
        quoted(links.iter().filter(|link| wanted(link)).map(|link| link.name.clone()))
    };
    let leads_out = |link: &Link| leads_out(link, all);
    let every = named(&|_| true);
    let closed = named(&|link| !leads_out(link));
    let inner = named(&|link| can_be_inside(link, all));
    let uplinks = named(&|link| link.is_bridge() && leads_out(link));
    let bridges = named(&Link::is_bridge);
    let docker = dockers_bridges(policy);
    let lines = [
        (&every, format!("filtered = [\"*\", {every}]   # filter it like the rest")),
        (&inner, format!("inside   = [{inner}]   # your machines are behind it: {BEHIND}")),
        (&uplinks, format!("crossing = [{uplinks}]   # it bridges the uplink to machines")),
        (&bridges, format!("docker   = [{docker}, {bridges}]   # it belongs to a Docker network")),
        (&closed, format!("exempt   = [{closed}]   # let all of its packets through, to this host too")),
    ];
    let lines = lines.iter().filter(|(names, _)| !names.is_empty()).map(|(_, line)| line.as_str());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns whether there are likely to be virtual machines, or other containers, behind one of the interfaces.
fn has_guests(links: &[&Link], all: &[Link]) -> bool {
    links.iter().any(|link| link.is_bridge() && !leads_out(link, all))
}

/// What may be behind an inside interface.
const BEHIND: &str = "virtual machines, other containers, a LAN";
/// What they need of the host, if it serves them.
const SERVICES: &str = "with `inside`, and if this host gives those machines DHCP or DNS, add a rule:
[[allow]]
name  = \"DHCP and DNS of inside networks\"
from  = [\"inside\"]
ports = [\"53/tcp\", \"53/udp\", \"67/udp\", \"547/udp\"]
to    = \"host\"";

fn look(link: &Link, usage: &Usage) -> Option<Look> {
    if let Some(network) = network_of(link, &usage.networks) {
        return Some(Look::DockerNetwork(network.to_owned()));
    }
    match link.kind.as_deref() {
        Some("bridge") => Some(Look::Bridge),
        Some(kind) if TUNNELS.contains(&kind) => Some(Look::Tunnel),
        _ if usage.routed.contains(&link.index) => Some(Look::Routed),
        _ if is_of_guest(link) => Some(Look::Guest),
        _ => None,
    }
}

fn is_of_guest(link: &Link) -> bool {
    let is_named_so = GUEST_NAMES.iter().any(|start| link.name.starts_with(start));
    match link.kind.as_deref() {
        Some("veth") => is_named_so,
        Some(kind) => SHIMS.contains(&kind) && !link.has_default_route,
        None => false,
    }
}
