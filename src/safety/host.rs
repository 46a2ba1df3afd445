//! What else on this host an operator should know of, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::policy::Policy;

use super::NAMED;
use super::arrivals::unusual;
use super::targets::misdirected;
use crate::exposure::{Facts, beside_the_host};
use crate::foreign::{Closing, Hook};
use crate::host::docker::Driver;
use crate::host::links::Link;
use crate::message::{Message, shortened};

/// What is known of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// What it is and runs.
    pub(crate) facts: &'a Facts,
    /// Whether Docker filters with nftables itself.
    pub(crate) docker_uses_nftables: bool,
    /// The variants of iptables that have chains of Docker's.
    pub(crate) docker_chains: &'a [&'static str],
    /// Whether `facts` has all ports at which processes listen, and which containers publish.
    pub(crate) knows_ports: bool,
    /// How interfaces check sources (`rp_filter`), by the interfaces' names.
    pub(crate) reverse_path: &'a BTreeMap<String, u8>,
}

/// Returns all notes about the host.
pub(crate) fn notes(policy: &Policy, host: Host<'_>) -> Vec<Message> {
    let beside = beside_the_host(host.facts).map(|one| Message::new(format!("{}: {}", one.what, one.why)));
    beside
        .chain(on_the_hosts_network(host.facts))
        .chain(at_input(host.facts))
        .chain(closing(policy, host).iter().filter_map(|chain| closed_by_others(chain, host)))
        .chain(split_brain(host.docker_chains))
        .chain(untracked(host.facts))
        .chain(unchecked_sources(policy, host))
        .chain(unusual(policy, &host.facts.links))
        .chain(if host.knows_ports { misdirected(policy, host.facts) } else { Vec::new() })
        .collect()
}

/// Returns notes about containers on the host's network, which are processes of the host.
fn on_the_hosts_network(facts: &Facts) -> impl Iterator<Item = Message> {
    let own = facts.containers.iter().filter(|container| container.on_host_network);
    own.filter_map(|container| {
        let held = facts.listeners.iter().filter(|listener| {
            let holder = listener.holder.as_ref().and_then(|holder| holder.container.as_deref());
            holder == Some(container.id.as_str()) && !listener.address.is_loopback()
        });
        let ports: BTreeSet<_> = held.map(|listener| (listener.port, listener.transport.name())).collect();
        let ports: Vec<_> = ports.iter().map(|(port, transport)| format!("{port}/{transport}")).collect();
        (!ports.is_empty()).then(|| {
            Message::new(format!(
                "container {} is on the host's network and listens on {}",
                container.name,
                shortened(ports.into_iter(), NAMED)
            ))
            .meaning("it counts as a process of the host, and its ports as ports of the host")
            .help("to open them, use a rule with `to = \"host\"`")
        })
    })
}

/// Returns notes about containers whose packets pass the host's input hook, although they have addresses of their own.
fn at_input(facts: &Facts) -> impl Iterator<Item = Message> {
    let pairs = facts
        .containers
        .iter()
        .flat_map(|container| container.addresses.iter().map(move |one| (container, one)));
    pairs.filter_map(|(container, (name, address))| {
        let network = facts.networks.iter().find(|network| network.name == *name)?;
        matches!(network.driver, Driver::Beside { is_at_input: true, .. }).then(|| {
            Message::new(format!(
                "container {} at {address} is on {name}, an ipvlan network of mode l3s",
                container.name
            ))
            .meaning(
                "packets to it count as packets to the host: a rule that opens a port of the host opens that port of the \
                 container too",
            )
        })
    })
}

/// Returns the chains of others that close everything that none of their rules mentions, for an interface of the
/// outside.
fn closing(policy: &Policy, host: Host<'_>) -> Vec<Closing> {
    let outside: Vec<_> = outside(policy, host.facts).collect();
    host.facts.others.tables.closing(&outside)
}

/// Returns the interfaces that lead to others, and are neither Docker's nor exempt.
fn outside<'a>(policy: &'a Policy, facts: &'a Facts) -> impl Iterator<Item = &'a Link> {
    let interfaces = &policy.interfaces;
    facts.links.iter().filter(|link| {
        let is_of_others = interfaces.is_docker(&link.name) || interfaces.is_exempt(&link.name);
        link.is_up && link.is_way_in() && !is_of_others
    })
}

/// Returns a message about a chain that drops by default: it closes what the policy opens.
fn closed_by_others(chain: &Closing, host: Host<'_>) -> Option<Message> {
    let Closing { hook, place, chain: name, of_iptables } = chain;
    let how = match &place.rule {
        Some(rule) => format!("drops what its other rules do not accept: {rule}"),
        None => "drops by default".into(),
    };
    let message = Message::new(format!("chain {name} of {} {how}", place.table));
    match (hook, of_iptables.is_some(), host.docker_uses_nftables) {
        // This is Docker's own chain, and Docker's rules accept what it publishes.
        (Hook::Forward, true, false) => None,
        (Hook::Forward, true, true) => Some(
            message
                .meaning("published ports stay closed: Docker uses nftables, and accepts nothing in that chain any more")
                .help(format!("set the chain's policy to ACCEPT: iptables -P {name} ACCEPT")),
        ),
        (Hook::Forward, false, _) | (Hook::Postrouting, ..) => Some(
            message
                .meaning("published ports that it does not accept stay closed, to trusted sources too")
                .help("accept the ports in that chain too"),
        ),
        (Hook::Prerouting | Hook::Input, ..) => Some(
            message
                .meaning("ports of the host that it does not accept stay closed, to trusted sources too")
                .help("accept the ports in that chain too"),
        ),
    }
}

/// Returns a message about rules in both variants. Docker looks after one variant; what it left in the other one still
/// filters packets.
fn split_brain(variants: &[&str]) -> Option<Message> {
    let [_, .., other] = variants else { return None };
    let message = Message::new(format!("Docker's chains are in iptables-{}", variants.join(" and iptables-")))
        .meaning("Docker updates one of them only, but packets pass through both: stale rules drop what Docker accepts")
        .help(format!("restart the host; or, if the chains in iptables-{other} are the stale ones, delete them"));
    Some(message)
}

/// Packets that are not tracked are never part of a known connection, nor of a translated one.
fn untracked(facts: &Facts) -> Option<Message> {
    let tables: Vec<_> = facts.others.tables.untracking().into_iter().collect();
    (!tables.is_empty()).then(|| {
        Message::new(format!("{} excludes packets from connection tracking (notrack)", tables.join(", ")))
            .meaning("such packets are let in from trusted sources alone: rules and answers need connection tracking")
            .help("remove the `notrack` rules, or add the sources to `trusted`")
    })
}

/// Returns a note about interfaces of the outside on which any source address is believed.
fn unchecked_sources(policy: &Policy, host: Host<'_>) -> Option<Message> {
    let unchecked = outside(policy, host.facts).filter(|link| host.reverse_path.get(&link.name) == Some(&0));
    let names: Vec<_> = unchecked.map(|link| link.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let message = Message::new(format!("rp_filter is off for {}", names.join(", ")))
        .meaning("the kernel does not check source addresses there: a packet with the forged address of a trusted source gets in")
        .help(format!("to check them strictly: sysctl -w {}", settings(&names, 1)))
        .help(format!("to accept every source that has a route: sysctl -w {}", settings(&names, 2)));
    Some(message)
}

/// Returns a setting of the kernel for each of these interfaces.
fn settings(names: &[&str], rp_filter: u8) -> String {
    let settings = names.iter().map(|name| format!("net.ipv4.conf.{name}.rp_filter={rp_filter}"));
    settings.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{published, texts};
    use super::*;
    use crate::filters::live::Others;
    use crate::fixtures::{docker_host, link, policy};
    use crate::foreign::{Tables, listing};
    use crate::host::docker::{Container, Network};
    use crate::host::listeners::Listener;
    use crate::host::processes::Holder;
    use dockfw_policy::address::Family;
    use dockfw_policy::service::Transport;

    /// Returns the notes about a host with these facts.
    fn said(facts: &Facts, nftables: bool, off: &[&str]) -> Vec<String> {
        let reverse_path = facts.links.iter().map(|link| {
            let value = if off.contains(&link.name.as_str()) { 0 } else { 2 };
            (link.name.clone(), value)
        });
        let reverse_path = reverse_path.collect();
        let host = Host {
            facts,
            docker_uses_nftables: nftables,
            docker_chains: &[],
            knows_ports: true,
            reverse_path: &reverse_path,
        };
        texts(notes(&policy("trusted = [\"192.0.2.10\"]\n[interfaces]\nexempt = [\"wg*\"]"), host))
    }

    fn usual() -> Facts {
        Facts { links: docker_host(), ..Facts::default() }
    }

    fn network(name: &str, driver: Driver) -> Network {
        Network {
            name: name.into(),
            driver,
            is_internal: false,
            subnets: vec![],
            gateway_modes: [None, None],
            trusted_interfaces: vec![],
        }
    }

    /// Returns a host with these rules, as iptables writes them.
    fn with(saved: &str) -> Facts {
        let tables = Tables::new(listing::tables(saved, Family::Ipv4, "iptables-legacy"));
        Facts { others: Others { tables, ..Others::default() }, ..usual() }
    }

    /// Returns the same with table filter.
    fn filter(lines: &str) -> Facts {
        let policies = if lines.contains(':') { "" } else { ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n" };
        with(&format!("*filter\n{policies}{lines}\nCOMMIT\n"))
    }

    #[test]
    fn there_is_nothing_to_say_of_a_plain_docker_host() {
        for nftables in [false, true] {
            assert_eq!(said(&usual(), nftables, &["lo", "docker0"]), [""; 0]);
        }
    }

    #[test]
    fn rules_that_fit_nothing_are_named_only_if_all_ports_are_known() {
        let policy = policy("[[allow]]\nname = \"a\"\nports = [\"8080/tcp\"]\nto = \"host\"");
        let facts = Facts { published: vec![published("8080/tcp", "web")], ..usual() };
        let none = BTreeMap::new();
        let said = |knows_ports| {
            let host = Host {
                facts: &facts,
                docker_uses_nftables: false,
                docker_chains: &[],
                knows_ports,
                reverse_path: &none,
            };
            notes(&policy, host).len()
        };
        assert_eq!([said(true), said(false)], [1, 0]);
    }

    #[test]
    fn a_container_on_the_hosts_network_is_named_with_its_ports() {
        let container = Container {
            id: "ab".repeat(32),
            name: "exporter".into(),
            on_host_network: true,
            addresses: vec![],
            published: vec![],
        };
        let listener = |address: &str, container: &Container| Listener {
            transport: Transport::Tcp,
            address: address.parse().unwrap(),
            port: 9100,
            takes_ipv4: false,
            interface: None,
            holder: Some(Holder { pid: 1, name: "x".into(), container: Some(container.id.clone()) }),
        };
        let with = |addresses: &[&str]| Facts {
            listeners: addresses.iter().map(|address| listener(address, &container)).collect(),
            containers: vec![container.clone()],
            ..usual()
        };
        let notes = said(&with(&["0.0.0.0", "::"]), false, &[]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("container exporter") && notes[0].contains("listens on 9100/tcp\n"));
        assert_eq!(said(&with(&["127.0.0.1"]), false, &[]), [""; 0]);
    }

    #[test]
    fn a_container_that_is_judged_as_a_process_of_the_host_is_named() {
        let driver = |is_at_input| Driver::Beside {
            driver: "ipvlan".into(),
            parent: Some("eth0".into()),
            is_at_input,
        };
        let facts = |is_at_input| Facts {
            networks: vec![network("lan", driver(is_at_input))],
            containers: vec![Container {
                id: "ab".repeat(32),
                name: "camera".into(),
                on_host_network: false,
                addresses: vec![("lan".into(), [192, 0, 2, 77].into())],
                published: vec![],
            }],
            ..usual()
        };
        let notes = said(&facts(true), false, &[]);
        assert!(
            notes.len() == 1
                && notes[0].contains("camera at 192.0.2.77 is on lan, an ipvlan network of mode l3s"),
            "{notes:?}"
        );
        assert!(said(&facts(false), false, &[])[0].contains("ipvlan bypasses the host's firewall"));
    }

    #[test]
    fn who_drops_by_default_is_named_unless_docker_expects_it() {
        let of = |policy: &str, nftables| said(&filter(policy), nftables, &[]);
        let input = ":INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]";
        assert_eq!([of(input, false).len(), of(input, true).len()], [1, 1]);
        assert!(
            of(input, false)[0].contains("chain INPUT of table filter of iptables-legacy drops by default")
        );
        let forward = ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]";
        assert_eq!(of(forward, false), [""; 0]);
        assert!(of(forward, true)[0].contains("iptables -P FORWARD ACCEPT"), "{:?}", of(forward, true));
    }

    /// As in images of Oracle's cloud and CentOS 7.
    #[test]
    fn a_last_rule_that_rejects_all_closes_as_a_policy_does() {
        let last = "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n\
                    -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT\n\
                    -A INPUT -j REJECT --reject-with icmp-host-prohibited\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited";
        let notes = said(&filter(last), false, &[]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].contains("drops what its other rules do not accept: -A INPUT -j REJECT"),
            "{notes:?}"
        );
        for closes in [
            "-A INPUT -i eth0 -j DROP",
            "-A INPUT -p tcp -j DROP",
            ":X - [0:0]\n:INPUT ACCEPT [0:0]\n-A INPUT -j X\n-A X -j DROP",
        ] {
            assert_eq!(said(&filter(closes), false, &[]).len(), 1, "{closes}");
        }
    }

    #[test]
    fn a_list_of_bans_closes_nothing() {
        for bans in [
            "-A INPUT -s 198.51.100.0/24 -j DROP",
            "-A INPUT -m set --match-set bans src -j DROP",
            ":f2b - [0:0]\n:INPUT ACCEPT [0:0]\n-A INPUT -j f2b\n-A f2b -s 198.51.100.7/32 -j REJECT\n-A f2b -j RETURN",
            "-A INPUT -p tcp -m tcp --dport 23 -j DROP",
            "-A INPUT -m state --state INVALID -j DROP",
            "-A INPUT -i docker0 -j DROP",
            "-A INPUT -m limit --limit 5/min -j DROP",
            "-A INPUT -p tcp -j ACCEPT\n-A INPUT -j DROP",
        ] {
            assert_eq!(said(&filter(bans), false, &[]), [""; 0], "{bans}");
        }
    }

    #[test]
    fn chains_of_dockers_in_both_variants_are_named() {
        assert_eq!([split_brain(&[]), split_brain(&["nft"])], [None, None]);
        assert!(
            split_brain(&["nft", "legacy"]).unwrap().what().ends_with("in iptables-nft and iptables-legacy")
        );
    }

    #[test]
    fn untracked_packets_are_named_by_their_table() {
        let notes = said(
            &with("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n"),
            false,
            &[],
        );
        assert!(notes[0].starts_with("table raw of iptables-legacy excludes packets"), "{notes:?}");
    }

    #[test]
    fn interfaces_of_the_outside_that_believe_any_source_are_named() {
        let mut facts = usual();
        facts.links.push(link(8, "wg0", "wireguard"));
        let notes = said(&facts, false, &["eth0", "docker0", "lo", "wg0", "veth1a2b3c4"]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("off for eth0\n") && notes[0].contains("net.ipv4.conf.eth0.rp_filter"));
    }
}
