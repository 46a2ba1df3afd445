//! What an apply would take from those who use this host now: containers, other machines, and the host itself.
//!
//! Pure: what is in use was read by others.

mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use dockfw_policy::address::{AddressRange, AddressSet, LINK_LOCAL};
use dockfw_policy::compile::compile;
use dockfw_policy::policy::{AllowRule, Policy, Source};
use dockfw_policy::ruleset::Hook;
use dockfw_policy::service::{Service, Transport};
use dockfw_policy::walk::{
    Connection, Interface, Packet, Path, Payload, Sender, USUAL_HOP_LIMIT, Verdict, explain,
};

use super::{listed, open_one, open_to_containers, opens_host, rule};
use crate::host::docker::Network;
use crate::host::links::Link;
use crate::message::Message;

pub(crate) use survey::Survey;

/// The ports of DHCP's servers and clients (RFC 2131).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// What a DHCP server is asked at, of both families, as a policy lists it.
pub(crate) const DHCP: &str = "\"67/udp\", \"547/udp\"";

/// What is in use on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// What containers use of the host's processes, each with the process if it is known.
    pub(crate) by_containers: BTreeMap<Service, Option<String>>,
    /// The same of neighbours on networks that the policy trusts, who use link-local addresses of IPv6.
    pub(crate) by_neighbours: BTreeMap<Service, Option<String>>,
    /// The indexes of interfaces from whose networks the host forwarded something.
    pub(crate) routed: BTreeSet<u32>,
    /// The interfaces on which DHCP servers of this host answer; nothing: on any.
    pub(crate) dhcp: BTreeSet<Option<u32>>,
    /// Machines that this host needs, and for what.
    pub(crate) needed: BTreeMap<IpAddr, &'static str>,
    /// Docker's networks.
    pub(crate) networks: Vec<Network>,
}

fn is_dockers(policy: &Policy, link: &Link) -> bool {
    link.is_bridge() && policy.interfaces.is_docker(&link.name)
}

/// Returns what containers, neighbours and the host itself would lose, with the lines to write.
pub(crate) fn notes(policy: &Policy, usage: &Usage) -> Vec<Message> {
    let lost = lost_to_containers(policy, usage).into_iter().chain(lost_to_neighbours(policy, usage));
    lost.chain(needed_and_blocked(policy, usage)).collect()
}

fn lost_to_containers(policy: &Policy, usage: &Usage) -> Option<Message> {
    let lost = usage.by_containers.iter().filter(|(service, _)| !open_to_containers(policy, **service));
    let (names, _) = listed(lost.map(with_process))?;
    let what = format!("containers use ports of this host that the policy closes to them: {names}");
    Some(Message::new(what).help(open_one("host")))
}

/// Returns a message about what neighbours would lose. Their networks are trusted, but these addresses are in none of
/// those.
fn lost_to_neighbours(policy: &Policy, usage: &Usage) -> Option<Message> {
    let all = AddressRange::network_of(LINK_LOCAL.into(), 10);
    let holds = |addresses: &AddressSet| addresses.first_overlap(&all).is_some();
    let lets = |rule: &AllowRule| match &rule.from {
        _ if !rule.incoming.is_empty() => false,
        Source::Everyone => true,
        Source::These { lists, .. } => lists.iter().any(|list| holds(&list.addresses)),
    };
    let is_lost = |service: Service| !holds(&policy.trusted) && !opens_host(policy, service, lets);
    let (names, services) =
        listed(usage.by_neighbours.iter().filter(|(service, _)| is_lost(**service)).map(with_process))?;
    let message = Message::new(format!(
        "neighbours on a trusted network use ports of this host that the policy closes to them: {names}"
    ))
    .meaning("they use IPv6 link-local addresses (fe80::/10), which are not in `trusted`")
    .help(rule(
        "to open them to every neighbour, and to containers",
        "this host for neighbours",
        "\"fe80::/10\"",
        &services,
        "host",
    ));
    Some(message)
}

/// Returns a service with the process that offers it, if that is known.
fn with_process<'u>((service, process): (&Service, &'u Option<String>)) -> (Service, Option<&'u str>) {
    (*service, process.as_deref())
}

/// Returns messages about needed machines that are blocked: nothing from a blocked address is let in, answers included.
fn needed_and_blocked(policy: &Policy, usage: &Usage) -> Vec<Message> {
    let blocked = usage.needed.iter().filter(|(address, _)| policy.blocked.contains(**address));
    let told = blocked.map(|(address, what)| {
        Message::new(format!("{address} is in `blocked`, but is {what} of this host"))
            .meaning("its answers are dropped")
            .help(format!("remove {address} from `blocked`"))
    });
    told.collect()
}

/// Returns what machines that get their addresses from this host would lose.
pub(crate) fn cut_off_clients(policy: &Policy, links: &[Link], usage: &Usage) -> Vec<Message> {
    let told = without_dhcp(policy, links, usage).into_iter().map(|(link, from)| {
        Message::new(format!(
            "a DHCP server of this host serves {}, but the policy drops what its clients send",
            link.name
        ))
        .meaning("machines there would get no address")
        .help(rule("to let them ask", "DHCP", &from, DHCP, "host"))
    });
    told.collect()
}

/// Returns the interfaces that a DHCP server of this host serves although the policy drops what its clients send, each
/// with the `from` of a rule that lets them ask, in quotes.
pub(crate) fn without_dhcp<'a>(policy: &Policy, links: &'a [Link], usage: &Usage) -> Vec<(&'a Link, String)> {
    let ruleset = compile(policy);
    let serves = |link: &&Link| match usage.dhcp.contains(&Some(link.index)) {
        true => true,
        // With a socket for all interfaces, a server serves those networks that are its own.
        false => usage.dhcp.contains(&None) && !link.has_default_route && has_ipv4(link),
    };
    let others = links.iter().filter(|link| link.is_up && !link.is_loopback() && !is_dockers(policy, link));
    let served = others.filter(serves);
    let cut_off = served.filter(|link| {
        let packet = discover(link);
        [Hook::Prerouting, Hook::Input]
            .into_iter()
            .any(|hook| explain(&ruleset, hook, &packet).verdict == Verdict::Drop)
    });
    let with_sources = cut_off.map(|link| match policy.interfaces.is_inside(&link.name) {
        true => (link, "\"inside\"".to_owned()),
        false => (link, addresses_of_clients(link)),
    });
    with_sources.collect()
}

/// Returns where clients of DHCP ask from: from no address; from their own address, once they have one; and over IPv6
/// from link-local ones.
fn addresses_of_clients(link: &Link) -> String {
    let networks = link.networks.iter().filter(|network| matches!(network, AddressRange::V4(_)));
    let addresses = ["0.0.0.0".to_owned()].into_iter().chain(networks.map(ToString::to_string));
    let quoted: Vec<_> =
        addresses.chain(["fe80::/10".to_owned()]).map(|address| format!("\"{address}\"")).collect();
    quoted.join(", ")
}

fn has_ipv4(link: &Link) -> bool {
    link.addresses.iter().any(IpAddr::is_ipv4)
}

/// Returns the first packet of a client of DHCP.
fn discover(link: &Link) -> Packet {
    let payload = Payload::Ports {
        transport: Transport::Udp,
        source: DHCP_CLIENT,
        destination: DHCP_SERVER,
        opens: false,
    };
    Packet {
        sender: Sender { address: Ipv4Addr::UNSPECIFIED.into(), is_own: false, reverse_path_fails: false },
        path: Path {
            destination: Ipv4Addr::BROADCAST.into(),
            payload,
            hop_limit: USUAL_HOP_LIMIT,
            translated: None,
            incoming: Interface { name: link.name.clone(), is_bridge: link.is_bridge() },
            outgoing: None,
            connection: Connection::New,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::*;
    use crate::fixtures::{docker_host, link, policy, with_networks};
    use crate::host::conntrack::{Ends, Flow};
    use crate::host::listeners::Listener;
    use crate::host::processes::Holder;

    fn notes(policy: &Policy, usage: &Usage) -> Vec<String> {
        texts(super::notes(policy, usage))
    }

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    /// Returns a connection that nothing translated.
    fn flow(transport: Transport, from: &str, to: &str) -> Flow {
        Flow { transport, original: ends(from, to), reply: ends(to, from) }
    }

    fn listener(transport: Transport, address: &str, port: u16, interface: Option<u32>) -> Listener {
        let holder = Some(Holder { pid: 1, name: "own".into(), container: None });
        Listener { transport, address: address.parse().unwrap(), port, takes_ipv4: false, interface, holder }
    }

    /// Returns a Docker host that also routes for a LAN at eth1.
    fn router() -> Vec<Link> {
        let mut links = docker_host();
        links[1].has_default_route = true;
        links.push(with_networks(link(20, "eth1", ""), &["192.168.50.0/24"]));
        links
    }

    /// A network beyond another router of the LAN; everything else is beyond the uplink.
    #[allow(clippy::unnecessary_wraps, reason = "routing may know no way")]
    fn way_to(address: IpAddr) -> Option<u32> {
        let is_behind = matches!(address, IpAddr::V4(address) if address.octets()[..2] == [10, 20]);
        Some(if is_behind { 20 } else { 2 })
    }

    fn found(text: &str, flows: &[Flow], listeners: &[Listener]) -> Usage {
        let (policy, links) = (policy(text), router());
        let mut survey = Survey::of(&policy, &links, &way_to, BTreeMap::new());
        flows.iter().for_each(|flow| survey.add_flow(*flow));
        survey.add_listeners(listeners);
        survey.finish(&[])
    }

    const TRUSTED: &str = "trusted = [\"192.0.2.10\"]\n";

    #[test]
    fn what_containers_use_of_the_host_is_named() {
        let flows = [
            flow(Transport::Tcp, "172.17.0.2:40000", "172.17.0.1:8123"),
            flow(Transport::Udp, "172.17.0.2:40000", "192.0.2.1:53"),
            // To the outside, and from there.
            flow(Transport::Tcp, "172.17.0.2:40000", "198.51.100.7:443"),
            flow(Transport::Tcp, "198.51.100.7:40000", "192.0.2.1:22"),
            // Translated to another container.
            Flow {
                reply: ends("172.17.0.3:80", "172.17.0.2:40000"),
                ..flow(Transport::Tcp, "172.17.0.2:40000", "192.0.2.1:8080")
            },
        ];
        let listeners = [
            listener(Transport::Tcp, "0.0.0.0", 8123, None),
            listener(Transport::Tcp, "172.17.0.1", 5432, None),
            listener(Transport::Tcp, "0.0.0.0", 9100, None),
        ];
        let usage = found(TRUSTED, &flows, &listeners);
        let said = notes(&policy(TRUSTED), &usage);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("5432/tcp (own), 8123/tcp (own), 53/udp\n"), "{}", said[0]);
        assert!(said[0].ends_with("from = [\"containers\"], its port, and to = \"host\""), "{}", said[0]);
        let ports = "ports = [\"5432/tcp\", \"8123/tcp\", \"53/udp\"]";
        for (to, lost) in [("host", 0), ("container", 1), ("forward", 1)] {
            let rule = format!("[[allow]]\nname = \"a\"\nfrom = [\"containers\"]\n{ports}\nto = \"{to}\"\n");
            assert_eq!(notes(&policy(&format!("{TRUSTED}{rule}")), &usage).len(), lost, "{to}");
        }
    }

    #[test]
    fn networks_that_the_host_routes_for_are_those_that_it_passed_something_on_for() {
        let masqueraded = Flow {
            reply: ends("198.51.100.7:443", "192.0.2.1:40000"),
            ..flow(Transport::Tcp, "192.168.50.7:40000", "198.51.100.7:443")
        };
        assert_eq!(found(TRUSTED, &[masqueraded], &[]).routed, [20].into());
        let behind = flow(Transport::Tcp, "10.20.0.7:40000", "198.51.100.7:443");
        assert_eq!(found(TRUSTED, &[behind], &[]).routed, [20].into(), "beyond a router of the LAN");
        let beyond = flow(Transport::Tcp, "203.0.113.7:40000", "172.17.0.2:80");
        assert_eq!(found(TRUSTED, &[beyond], &[]).routed, [].into(), "beyond the uplink");
        let own = flow(Transport::Tcp, "192.168.50.7:40000", "192.168.50.1:22");
        let published = Flow {
            reply: ends("172.17.0.2:80", "192.168.50.7:40000"),
            ..flow(Transport::Tcp, "192.168.50.7:40000", "192.168.50.1:8080")
        };
        assert_eq!(found(TRUSTED, &[published], &[]).routed, [].into());
        let from_uplink = flow(Transport::Tcp, "192.0.2.7:40000", "172.17.0.2:80");
        let outwards = flow(Transport::Tcp, "192.0.2.1:40000", "198.51.100.7:443");
        assert_eq!(found(TRUSTED, &[own, from_uplink, outwards], &[]).routed, [].into());
    }

    #[test]
    fn what_containers_use_by_an_address_that_is_let_in_is_not_lost() {
        let flows = [flow(Transport::Tcp, "172.17.0.2:40000", "172.17.0.1:8123")];
        let said = |text: &str| notes(&policy(text), &found(text, &flows, &[]));
        assert_eq!(said("trusted = [\"172.16.0.0/12\"]\n"), [""; 0]);
        let rule = "[[allow]]\nname = \"x\"\nfrom = [\"172.17.0.0/16\"]\nports = [\"8123/tcp\"]\n";
        assert_eq!(said(&format!("{TRUSTED}{rule}")), [""; 0]);
        assert_eq!(said(&format!("{TRUSTED}{rule}to = \"container\"\n")).len(), 1);
        assert_eq!(said("trusted = [\"172.16.0.0/12\"]\nblocked = [\"172.17.0.2\"]\n").len(), 1);
    }

    #[test]
    fn what_neighbours_use_by_link_local_addresses_is_named_where_their_network_is_trusted() {
        let links = |mut links: Vec<Link>| {
            for (link, address) in [(20, "fe80::20"), (3, "fe80::3")] {
                let link = links.iter_mut().find(|own| own.index == link).unwrap();
                link.addresses.push(address.parse().unwrap());
                link.networks.push("fe80::/64".parse().unwrap());
            }
            links
        };
        let said = |text: &str, to: &str| {
            let (policy, links) = (policy(text), links(router()));
            let mut survey = Survey::of(&policy, &links, &way_to, BTreeMap::new());
            survey.add_flow(flow(Transport::Tcp, "[fe80::7]:40000", to));
            survey.add_listeners(&[listener(Transport::Tcp, "::", 22, None)]);
            notes(&policy, &survey.finish(&[]))
        };
        let trusted = "trusted = [\"192.168.50.0/24\"]\n";
        let named = said(trusted, "[fe80::20]:22");
        assert_eq!(named.len(), 1, "{named:?}");
        assert!(named[0].contains("neighbours on a trusted network") && named[0].contains("22/tcp (own)\n"));
        let rule = named[0].split_once("[[allow]]").unwrap().1;
        assert_eq!(said(&format!("{trusted}[[allow]]{rule}"), "[fe80::20]:22"), [""; 0]);
        for text in [TRUSTED, "trusted = [\"192.168.50.7\"]\n"] {
            assert_eq!(said(text, "[fe80::20]:22"), [""; 0], "their network is not trusted");
        }
        assert!(said(trusted, "[fe80::3]:22")[0].starts_with("containers use"), "by docker0");
        assert_eq!(said("trusted = [\"192.168.50.0/24\", \"fe80::/10\"]\n", "[fe80::20]:22"), [""; 0]);
    }

    #[test]
    fn what_the_host_needs_and_blocks_is_named() {
        let time = flow(Transport::Udp, "192.0.2.1:40000", "198.51.100.7:123");
        let text = "blocked = [\"198.51.100.0/24\"]\n";
        let said = notes(&policy(text), &found(text, &[time], &[]));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("198.51.100.7 is in `blocked`, but is a time server of this host"));
        assert_eq!(notes(&policy(TRUSTED), &found(TRUSTED, &[time], &[])), [""; 0]);
    }

    #[test]
    fn clients_of_a_dhcp_server_are_cut_off_where_no_rule_lets_them_in() {
        let of = |text: &str, interface| {
            let usage = found(text, &[], &[listener(Transport::Udp, "0.0.0.0", 67, interface)]);
            texts(cut_off_clients(&policy(text), &router(), &usage))
        };
        for interface in [None, Some(20)] {
            let said = of(TRUSTED, interface);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].starts_with("a DHCP server of this host serves eth1") && !said[0].contains("inside")
            );
        }
        let inside = format!("{TRUSTED}[interfaces]\ninside = [\"eth1\"]\n");
        // The rule is complete by itself, and lets in nobody else.
        let rule = of(TRUSTED, Some(20))[0].split_once("[[allow]]").unwrap().1.to_owned();
        assert!(rule.contains("from  = [\"0.0.0.0\", \"192.168.50.0/24\", \"fe80::/10\"]"), "{rule}");
        assert_eq!(of(&format!("{TRUSTED}[[allow]]{rule}"), Some(20)), [""; 0]);
        let said = of(&inside, Some(20));
        let rule = said[0].split_once("[[allow]]").unwrap().1;
        assert!(rule.contains("from  = [\"inside\"]"));
        assert_eq!(of(&format!("{inside}[[allow]]{rule}"), Some(20)), [""; 0]);
        assert_eq!(of(&format!("{TRUSTED}[interfaces]\nexempt = [\"eth1\"]\n"), Some(20)), [""; 0]);
    }
}
