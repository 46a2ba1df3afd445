//! Policies against hosts that are only described.

mod interfaces;

use dockfw_policy::service::Transport;

use super::usage::Usage;
use super::{interfaces as by_interfaces, *};
use crate::fixtures::{docker_host, link, network, policy, port, with_networks};

/// Returns messages as the operator reads them.
pub(crate) fn texts(messages: impl IntoIterator<Item = Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.to_string()).collect()
}

fn false_bridges(policy: &Policy, links: &[Link]) -> Vec<String> {
    texts(by_interfaces::false_bridges(policy, links, &[]))
}

fn wide_exemptions(policy: &Policy, links: &[Link]) -> Vec<String> {
    texts(by_interfaces::wide_exemptions(policy, links, &[]))
}

fn routed_crossings(policy: &Policy, links: &[Link]) -> Vec<String> {
    texts(by_interfaces::routed_crossings(policy, links))
}

fn unnamed(policy: &Policy, links: &[Link], usage: &Usage) -> Option<String> {
    texts(by_interfaces::unnamed(policy, links, usage)).pop()
}

fn notes(policy: &Policy, links: &[Link], held: &[Held]) -> Vec<String> {
    texts(super::notes(policy, links, held))
}

fn lost_to_containers(policy: &Policy, published: &[Published], by: Proxied) -> Option<String> {
    texts(super::lost_to_containers(policy, published, by)).pop()
}

fn missing_peers(policy: &Policy, swarm: &Swarm, nodes: &[Node]) -> Option<String> {
    texts(super::missing_peers(policy, swarm, nodes)).pop()
}

/// Returns a policy that only sets this of interfaces.
fn interfaces(text: &str) -> Policy {
    policy(&format!("trusted = [\"192.0.2.10\"]\n[interfaces]\n{text}\n"))
}

fn by_default() -> Policy {
    interfaces("")
}

/// Returns the usual host and one more interface.
fn host_with(more: impl IntoIterator<Item = Link>) -> Vec<Link> {
    docker_host().into_iter().chain(more).collect()
}

pub(super) fn published(service: &str, container: &str) -> Published {
    let (port, transport) = service.split_once('/').unwrap();
    let transport = Transport::ALL.into_iter().find(|known| known.name() == transport).unwrap();
    Published {
        transport,
        port: port.parse().unwrap(),
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        container_port: 80,
        container: container.to_owned(),
        targets: Vec::new(),
        is_meshed: false,
    }
}

fn assert_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_trusted_network_over_dockers_is_named_for_each_family() {
    let links = docker_host();
    let wide = policy("trusted = [\"172.16.0.0/12\", \"fd00::/8\"]");
    let notes = notes(&wide, &links, &[]);
    assert_eq!(notes.len(), 2, "{notes:?}");
    let both = "networks of Docker's: 172.17.0.0/16 (docker0), 172.18.0.0/16 (br-4f5e6d7c8b9a)\n";
    assert_parts(&notes[0], &["172.16.0.0/12 in `trusted` overlaps ", both, "as trusted sources"]);
    let one = "fd00::/8 in `trusted` overlaps a network of Docker's: fd00:d0c::/64 (docker0)\n";
    assert_parts(&notes[1], &[one]);
}

#[test]
fn even_one_trusted_address_in_a_docker_network_is_named() {
    let notes = notes(&policy("trusted = [\"172.18.0.9\"]"), &docker_host(), &[]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_parts(&notes[0], &["172.18.0.9 in `trusted` overlaps a network of Docker's: 172.18.0.0/16"]);
}

#[test]
fn trusted_networks_elsewhere_are_not_named() {
    // 192.0.2.0/24 is the network card's.
    let elsewhere = policy("trusted = [\"192.0.2.0/24\", \"172.19.0.0/16\", \"fd00:d0d::/64\"]");
    assert_eq!(notes(&elsewhere, &docker_host(), &[]), [""; 0]);
    let foreign = host_with([with_networks(link(8, "br-wan", "vlan"), &["172.19.0.0/16"])]);
    assert_eq!(notes(&elsewhere, &foreign, &[]), [""; 0], "no bridge, and so not inside");
}

#[test]
fn interfaces_that_no_class_covers_are_named() {
    let links = host_with([link(8, "eth1", ""), link(9, "wg0", "wireguard"), port(10, "tap0", "tun", 3)]);
    let some = interfaces("filtered = [\"eth0\"]\nexempt = [\"wg*\"]");
    let notes = notes(&some, &links, &[]);
    assert_eq!(notes, ["eth1 is not filtered: no pattern in [interfaces] matches it"]);
}

#[test]
fn with_everything_filtered_nothing_is_uncovered() {
    assert_eq!(unfiltered(&by_default(), &host_with([link(8, "eth1", "")])).count(), 0);
    let ethernet = interfaces("filtered = [\"eth*\"]");
    assert_eq!(unfiltered(&ethernet, &host_with([link(8, "eth1", "")])).count(), 0);
}

const OPENS_ONE: &str = "an [[allow]] with from = [\"containers\"], its port, and to = \"docker\"";
const DB: &str = "[[allow]]\nname = \"db\"\nports = [\"5432/tcp\"]\n";

#[test]
fn published_ports_that_containers_lose_are_named() {
    let ports = [published("5432/tcp", "db"), published("53/udp", "dns")];
    let held = Held { by: Proxied::All, published: ports.to_vec() };
    let notes = notes(&by_default(), &docker_host(), &[held]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_parts(&notes[0], &["5432/tcp (db), 53/udp (dns)\n", OPENS_ONE]);
    assert_eq!(notes[0].lines().count(), 2, "no rule is ready to paste: {}", notes[0]);
    let by_nftables = lost_to_containers(&by_default(), &ports, Proxied::OwnNetwork).unwrap();
    assert!(by_nftables.starts_with("containers of the same network can't reach"), "{by_nftables}");
}

#[test]
fn the_rule_that_is_advised_gives_the_ports_back() {
    let ports = [published("5432/tcp", "db"), published("5432/tcp", "other"), published("53/udp", "dns")];
    let note = lost_to_containers(&by_default(), &ports, Proxied::All).unwrap();
    assert_parts(&note, &["5432/tcp (db), 5432/tcp (other), 53/udp (dns)\n", OPENS_ONE]);
    let rule = "name = \"a\"\nfrom = [\"containers\"]\nports = [\"5432/tcp\"]\nto = \"docker\"";
    let rest = lost_to_containers(&policy(&format!("[[allow]]\n{rule}")), &ports, Proxied::All).unwrap();
    assert!(!rest.contains("5432") && rest.contains("53/udp (dns)"), "{rest}");
}

#[test]
fn of_many_ports_the_first_are_named() {
    let ports: Vec<_> = (8001..=8020).map(|port| published(&format!("{port}/tcp"), "web")).collect();
    let note = lost_to_containers(&by_default(), &ports, Proxied::All).unwrap();
    assert_parts(&note, &["8001/tcp (web), 8002/tcp", "8012/tcp (web) and 8 more\n"]);
    assert!(!note.contains("8013"), "{note}");
}

#[test]
fn rules_that_let_containers_in_keep_a_port() {
    let port = [published("5432/tcp", "db")];
    for rest in [
        "",
        "to = \"docker\"",
        "to = \"host\"",
        "from = [\"containers\"]",
        "from = [\"192.0.2.1\", \"containers\"]",
        "from = [\"containers\"]\nonly = true",
        "in = [\"docker*\", \"br-*\"]",
    ] {
        assert_eq!(lost_to_containers(&policy(&format!("{DB}{rest}")), &port, Proxied::All), None, "{rest}");
    }
}

#[test]
fn rules_for_others_do_not_keep_a_port() {
    let port = [published("5432/tcp", "db")];
    for rest in [
        "from = [\"192.0.2.1\"]",
        "to = \"container\"",
        "from = [\"containers\"]\nto = \"container\"",
        "in = [\"eth0\"]",
        "in = [\"docker0\"]\nfrom = [\"containers\"]",
        "[[allow]]\nname = \"kept\"\nports = [\"5432/tcp\"]\nfrom = [\"192.0.2.1\"]\nonly = true",
    ] {
        assert!(lost_to_containers(&policy(&format!("{DB}{rest}")), &port, Proxied::All).is_some(), "{rest}");
    }
    for other in ["5432/udp", "5433/tcp", "5432/sctp"] {
        assert!(
            lost_to_containers(&policy(DB), &[published(other, "db")], Proxied::All).is_some(),
            "{other}"
        );
    }
}

#[test]
fn a_range_keeps_what_lies_in_it() {
    let range = policy("[[allow]]\nname = \"range\"\nports = [\"8000-8010/tcp\"]\n");
    for inside in ["8000/tcp", "8005/tcp", "8010/tcp"] {
        assert_eq!(lost_to_containers(&range, &[published(inside, "web")], Proxied::All), None, "{inside}");
    }
    for outside in ["7999/tcp", "8011/tcp", "8005/udp"] {
        assert!(
            lost_to_containers(&range, &[published(outside, "web")], Proxied::All).is_some(),
            "{outside}"
        );
    }
}

#[test]
fn only_lost_ports_are_named() {
    let note = lost_to_containers(
        &policy(DB),
        &[published("5432/tcp", "db"), published("53/udp", "dns")],
        Proxied::All,
    )
    .unwrap();
    assert!(!note.contains("5432"), "{note}");
}

fn swarm(managers: &[&str]) -> Swarm {
    let address = |text: &&str| text.parse().unwrap();
    Swarm {
        address: Some([192, 0, 2, 1].into()),
        is_manager: true,
        managers: managers.iter().map(address).collect(),
    }
}

fn node(name: &str, address: &str) -> Node {
    Node { name: name.into(), address: address.parse().ok() }
}

#[test]
fn a_swarm_node_without_peers_is_told() {
    let note = missing_peers(&by_default(), &swarm(&[]), &[]).unwrap();
    assert_parts(&note, &["`peers` in [swarm] is empty"]);
    let trusting = missing_peers(&by_default(), &swarm(&["192.0.2.10"]), &[]).unwrap();
    assert_parts(&trusting, &["`peers` in [swarm] is empty"]);
    assert_eq!(missing_peers(&by_default(), &swarm(&[]), &[node("self", "192.0.2.1")]), None, "it is alone");
}

#[test]
fn the_peers_that_are_advised_are_all_nodes() {
    let peers = "trusted = [\"192.0.2.10\"]\n[swarm]\npeers = [\"192.0.2.11\", \"2001:db8::/64\"]";
    let managers = swarm(&["192.0.2.11", "192.0.2.12", "2001:db8:1::1"]);
    for text in ["trusted = [\"192.0.2.10\"]", peers] {
        let note = missing_peers(&policy(text), &managers, &[]).unwrap();
        let (_, lines) = note.split_once("in place of its `peers`:\n").unwrap();
        let advised = policy(lines);
        assert_eq!(missing_peers(&advised, &managers, &[]), None, "{note}");
        assert!(
            policy(text).swarm.peers.ranges().all(|range| advised
                .swarm
                .peers
                .first_overlap(&range)
                .is_some())
        );
    }
}

#[test]
fn nodes_that_the_policy_does_not_let_in_are_named() {
    let peers = policy("trusted = [\"192.0.2.10\"]\n[swarm]\npeers = [\"192.0.2.11\"]");
    let nodes = [
        node("self", "192.0.2.1"),
        node("trusted", "192.0.2.10"),
        node("peer", "192.0.2.11"),
        node("new", "192.0.2.12"),
        node("unknown", ""),
    ];
    let note = missing_peers(&peers, &swarm(&["192.0.2.1", "192.0.2.11", "192.0.2.12"]), &nodes).unwrap();
    assert_parts(&note, &["does not list these nodes: new (192.0.2.12)\n"]);
    assert_eq!(missing_peers(&peers, &swarm(&["192.0.2.11"]), &nodes[..3]), None);
    // A worker knows the managers only.
    let worker = missing_peers(&peers, &swarm(&["192.0.2.13"]), &[]).unwrap();
    assert_parts(&worker, &["a manager (192.0.2.13)"]);
}
