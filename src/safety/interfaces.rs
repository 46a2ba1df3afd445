//! What an apply refuses because of how the policy sorts this host's interfaces.

use dockfw_policy::address::AddressRange;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::{Interfaces, Policy};

use super::usage::Usage;
use super::{Objection, fits};
use crate::host::docker::{Driver, Network};
use crate::host::links::Link;

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
/// How the host's ends of links to guests are called by systemd-nspawn, CNI's plugins and LXC, and Calico. The end in a guest, which
/// may be a Docker host itself, is called as a network card is.
const GUEST_NAMES: [&str; 3] = ["ve-", "veth", "cali"];

/// Interfaces that the policy takes for Docker's bridges, and that are none: who is behind them would be inside.
pub(crate) fn false_bridges(policy: &Policy, links: &[Link]) -> Vec<Objection> {
    let taken = links.iter().filter(|link| fits(&policy.interfaces.docker, &link.name));
    taken.filter_map(|link| Some(format!("{}: {}", link.name, why_not_dockers(link, links)?))).collect()
}

/// Why an interface can't be a bridge of Docker's, if it can't.
fn why_not_dockers(link: &Link, links: &[Link]) -> Option<String> {
    let advice = "name Docker's bridges more narrowly in [interfaces] docker, or rename the interface";
    if !link.is_bridge() {
        let kind = link.kind.as_deref().unwrap_or("hardware");
        return Some(format!("fits [interfaces] docker, but is no bridge ({kind}); {advice}"));
    }
    let mut ports = links.iter().filter(|port| port.controller == Some(link.index));
    let foreign = ports.find(|port| port.kind.as_deref() != Some("veth"))?;
    Some(format!("fits [interfaces] docker, but {} in it is no container's port; {advice}", foreign.name))
}

/// Interfaces that the policy lets everything through by, and that lead to the rest of the world.
pub(crate) fn wide_exemptions(policy: &Policy, links: &[Link]) -> Vec<Objection> {
    let exempt = links.iter().filter(|link| link.name != "lo" && link.controller.is_none());
    let exempt = exempt.filter(|link| {
        fits(&policy.interfaces.exempt, &link.name) && !fits(&policy.interfaces.docker, &link.name)
    });
    let wide = exempt.filter_map(|link| {
        let way_out = way_out(link, links)?;
        Some(format!(
            "{}: is exempt, and {way_out}: whoever comes by it reaches this host and all containers; write rules for what is \
             to be open, or name it under `inside` or `crossing` if machines of yours are behind it",
            link.name
        ))
    });
    wide.collect()
}

/// Why an interface leads further than to machines of this host's own, if it does.
fn way_out(link: &Link, links: &[Link]) -> Option<String> {
    let is_hardware = |link: &&Link| link.kind.is_none();
    let mut ports = links.iter().filter(|port| port.controller == Some(link.index));
    if link.has_default_route {
        Some("the default route leads out by it".into())
    } else if link.kind.is_none() {
        Some("is a network card".into())
    } else {
        ports.find(is_hardware).map(|port| format!("{}, a network card, is a port of it", port.name))
    }
}

/// Bridges that a pattern of `crossing` takes in, and between which this host would route: what goes from one to another does
/// not only cross them.
pub(crate) fn routed_crossings(policy: &Policy, links: &[Link]) -> Vec<Objection> {
    let patterns = policy.interfaces.crossing.iter();
    let patterns = patterns.filter(|pattern| matches!(pattern, IfPattern::Prefix(_)));
    let routed = patterns.flat_map(|pattern| {
        let taken = links.iter().filter(|link| pattern.matches(&link.name) && has_routed_network(link));
        taken.map(move |link| {
            format!(
                "{}: fits `{pattern}` in [interfaces] crossing, and has addresses of this host, which would route to it \
                 unfiltered from what else fits; name it in full",
                link.name
            )
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

/// Interfaces that filtering is likely to hurt and that the policy names nowhere, with the lines to choose from.
pub(crate) fn unnamed(policy: &Policy, links: &[Link], usage: &Usage) -> Option<Objection> {
    let candidates = links.iter().filter(|link| link.is_up && link.controller.is_none());
    let at_risk = candidates.filter(|link| !is_named(policy, &link.name));
    let at_risk: Vec<_> = at_risk.filter_map(|link| Some((link, what_is_hurt(link, usage)?))).collect();
    let reasons: Vec<_> = at_risk.iter().map(|(link, reason)| format!("{}: {reason}", link.name)).collect();
    (!at_risk.is_empty()).then(|| {
        let at_risk: Vec<_> = at_risk.into_iter().map(|(link, _)| link).collect();
        let choices = lines_to_choose_from(policy, &at_risk, links);
        format!("{}\n  name them in [interfaces], one way or the other:\n{choices}", reasons.join("\n  "))
    })
}

/// The lines of a policy that name these interfaces, in every way that makes sense for them, the narrowest first.
fn lines_to_choose_from(policy: &Policy, links: &[&Link], all: &[Link]) -> String {
    let named = |wanted: &dyn Fn(&Link) -> bool| {
        quoted(links.iter().filter(|link| wanted(link)).map(|link| link.name.clone()))
    };
    let leads_out = |link: &Link| way_out(link, all).is_some();
    let every = named(&|_| true);
    let closed = named(&|link| !leads_out(link));
    let inner = named(&|link| !leads_out(link) || !link.is_bridge() && !link.has_default_route);
    let uplinks = named(&|link| link.is_bridge() && leads_out(link));
    let bridges = named(&Link::is_bridge);
    let docker = quoted(policy.interfaces.docker.iter().map(ToString::to_string));
    let lines = [
        (&every, format!("filtered = [\"*\", {every}]   # filter it like the rest")),
        (&inner, format!("inside   = [{inner}]   # machines of yours are behind it: {BEHIND}")),
        (&uplinks, format!("crossing = [{uplinks}]   # frames cross it between the uplink and machines")),
        (&bridges, format!("docker   = [{docker}, {bridges}]   # it belongs to a Docker network")),
        (&closed, format!("exempt   = [{closed}]   # let through all that comes by it, to this host too")),
    ];
    let lines = lines.iter().filter(|(names, _)| !names.is_empty()).map(|(_, line)| format!("    {line}"));
    let has_guests = links.iter().any(|link| link.is_bridge() && !leads_out(link));
    lines.chain(has_guests.then(|| SERVICES.into())).collect::<Vec<_>>().join("\n")
}

/// What may be behind an inside interface.
const BEHIND: &str = "virtual machines, other containers, a LAN";
/// What they need of the host, where it serves them.
const SERVICES: &str = "  with `inside`, their DHCP and DNS, if this host serves them, need a rule:
    [[allow]]
    name  = \"DHCP and DNS of inside networks\"
    from  = [\"inside\"]
    ports = [\"53/tcp\", \"53/udp\", \"67/udp\", \"547/udp\"]
    to    = \"host\"";

fn quoted(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn what_is_hurt(link: &Link, usage: &Usage) -> Option<String> {
    let is_its = |network: &&Network| network.driver == Driver::Bridge(link.name.clone());
    let of_network = usage.networks.iter().find(is_its).map(|network| {
        format!(
            "the bridge of Docker's network {}, by a name that nothing in [interfaces] docker fits; its containers would be cut \
             off",
            network.name
        )
    });
    of_network.or_else(|| what_is_hurt_of_others(link, usage).map(str::to_owned))
}

fn what_is_hurt_of_others(link: &Link, usage: &Usage) -> Option<&'static str> {
    match link.kind.as_deref() {
        Some("bridge") => {
            Some("a bridge that does not look like Docker's; what is behind it would be cut off")
        }
        Some(kind) if TUNNELS.contains(&kind) => Some("a tunnel or VPN; what comes by it would be filtered"),
        _ if usage.routed.contains(&link.index) => {
            Some("this host passes on what machines of its network send; they would be cut off")
        }
        _ if is_of_guest(link) => {
            Some("a link to guests of this host; what they send to it or through it would be filtered")
        }
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

/// Whether a pattern other than `*` names the interface.
pub(super) fn is_named(policy: &Policy, name: &str) -> bool {
    let interfaces = &policy.interfaces;
    let Interfaces { filtered, exempt, docker, inside, crossing } = interfaces;
    let all = [filtered, exempt, docker, inside, crossing].into_iter().flatten();
    all.filter(|pattern| !pattern.is_any()).any(|pattern| pattern.matches(name))
}
