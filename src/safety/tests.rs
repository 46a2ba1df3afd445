//! Policies against hosts that are only described.

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
fn a_plain_docker_host_gives_no_reason_to_refuse() {
    let links = docker_host();
    assert_eq!(false_bridges(&by_default(), &links), [""; 0]);
    assert_eq!(unnamed(&by_default(), &links, &Usage::default()), None);
    assert_eq!(notes(&by_default(), &links, &[]), [""; 0]);
}

#[test]
fn an_interface_that_only_bears_a_bridges_name_is_refused() {
    for (kind, shown) in
        [("", "hardware"), ("openvswitch", "openvswitch"), ("vlan", "vlan"), ("veth", "veth")]
    {
        let found = false_bridges(&by_default(), &host_with([link(8, "br-ex", kind)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_parts(
            &found[0],
            &["br-ex matches `docker` in [interfaces]", "is not a bridge", &format!("({shown})"), "rename"],
        );
    }
}

#[test]
fn a_false_bridge_is_refused_even_while_it_is_down() {
    let down = Link { is_up: false, ..link(8, "docker0x", "vlan") };
    let links = host_with([down]);
    assert_eq!(false_bridges(&by_default(), &links), [""; 0], "no pattern takes it for Docker's");
    assert_eq!(false_bridges(&interfaces("docker = [\"docker0*\"]"), &links).len(), 1);
}

#[test]
fn a_bridge_with_a_port_to_the_outside_is_refused() {
    for kind in ["", "vlan", "tun", "bond"] {
        let links =
            host_with([link(8, "br-lan", "bridge"), port(9, "veth9", "veth", 8), port(10, "eth1", kind, 8)]);
        let found = false_bridges(&by_default(), &links);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_parts(
            &found[0],
            &["br-lan matches", "its port eth1 does not lead to a container", "narrower patterns"],
        );
    }
}

#[test]
fn ports_of_another_bridge_do_not_count() {
    let links = host_with([link(8, "lan0", "bridge"), port(9, "eth1", "", 8)]);
    assert_eq!(false_bridges(&by_default(), &links), [""; 0]);
}

#[test]
fn each_false_bridge_is_named() {
    let found = false_bridges(&by_default(), &host_with([link(8, "br-a", ""), link(9, "br-b", "vlan")]));
    let names: Vec<_> = found.iter().filter_map(|objection| objection.split(' ').next()).collect();
    assert_eq!(names, ["br-a", "br-b"]);
}

#[test]
fn a_narrower_pattern_settles_a_false_bridge() {
    let links = host_with([link(8, "br-lan", "bridge"), port(9, "eth1", "", 8)]);
    assert_eq!(false_bridges(&interfaces("docker = [\"docker0\", \"br-4*\"]"), &links), [""; 0]);
}

#[test]
fn a_foreign_bridge_is_to_be_named() {
    let objection =
        unnamed(&by_default(), &host_with([link(8, "virbr0", "bridge")]), &Usage::default()).unwrap();
    assert_parts(&objection, &["virbr0 is a bridge that does not look like Docker's", "cut off"]);
    assert_parts(&objection, &["inside   = [\"virbr0\"]", "filtered = [\"*\", \"virbr0\"]", "\"67/udp\""]);
}

#[test]
fn links_to_guests_and_of_routed_networks_are_to_be_named() {
    for guest in [link(8, "ve-web", "veth"), link(8, "cali12ab", "veth"), link(8, "shim0", "macvlan")] {
        let objection = unnamed(&by_default(), &host_with([guest.clone()]), &Usage::default()).unwrap();
        assert_parts(&objection, &[&guest.name, "a link to guests", "inside   = ["]);
    }
    let links = host_with([link(8, "eth1", "")]);
    let usage = Usage { routed: [8].into(), ..Usage::default() };
    let objection = unnamed(&by_default(), &links, &usage).unwrap();
    assert_parts(&objection, &["eth1 is a network that this host routes for", "inside   = [\"eth1\"]"]);
    assert!(!objection.contains("exempt"), "{objection}");
    assert_eq!(unnamed(&interfaces("inside = [\"eth1\"]"), &links, &usage), None);
    assert_eq!(unnamed(&by_default(), &links, &Usage::default()), None);
    assert_eq!(unnamed(&by_default(), &host_with([link(8, "eth1", "veth")]), &Usage::default()), None);
}

#[test]
fn tunnels_are_to_be_named() {
    for kind in ["wireguard", "tun", "vxlan", "ipip", "gre", "sit", "ppp"] {
        let objection =
            unnamed(&by_default(), &host_with([link(8, "vpn", kind)]), &Usage::default()).unwrap();
        assert_parts(&objection, &["vpn is a tunnel or VPN", "exempt   = [\"vpn\"]"]);
    }
}

#[test]
fn all_unnamed_interfaces_are_listed_together() {
    let links = host_with([link(8, "virbr0", "bridge"), link(9, "wg0", "wireguard")]);
    let objection = unnamed(&by_default(), &links, &Usage::default()).unwrap();
    assert_parts(
        &objection,
        &["does not list virbr0, wg0", "virbr0 is ", "wg0 is ", "exempt   = [\"virbr0\", \"wg0\"]"],
    );
}

#[test]
fn either_answer_settles_an_unnamed_interface() {
    let links = host_with([link(8, "wg0", "wireguard")]);
    for answer in ["exempt = [\"wg0\"]", "exempt = [\"wg*\"]", "filtered = [\"*\", \"wg0\"]"] {
        assert_eq!(unnamed(&interfaces(answer), &links, &Usage::default()), None, "{answer}");
    }
    assert!(
        unnamed(&interfaces("exempt = [\"wg1\"]\nfiltered = [\"*\"]"), &links, &Usage::default()).is_some()
    );
}

#[test]
fn what_the_objection_advises_is_a_policy_that_settles_it() {
    let links = host_with([link(8, "virbr0", "bridge")]);
    let objection = unnamed(&by_default(), &links, &Usage::default()).unwrap();
    let advice: Vec<_> = objection.lines().filter(|line| line.contains(" = [")).collect();
    assert_eq!(advice.len(), 6, "{objection}");
    for line in advice.into_iter().filter(|line| !line.contains("from") && !line.contains("ports")) {
        assert_eq!(unnamed(&interfaces(line), &links, &Usage::default()), None, "{line}");
    }
}

/// The rule for DHCP and DNS, with the line above it, is a policy too.
#[test]
fn the_rule_that_is_advised_for_guests_is_one() {
    let objection =
        unnamed(&by_default(), &host_with([link(8, "virbr0", "bridge")]), &Usage::default()).unwrap();
    let rule = objection.split_once("[[allow]]").unwrap().1;
    let whole = policy(&format!("[interfaces]\ninside = [\"virbr0\"]\n[[allow]]{rule}\n"));
    assert!(matches!(whole.allow[0].from, Source::These { inside: true, containers: false, .. }));
}

#[test]
fn a_bridge_of_dockers_by_another_name_is_called_that() {
    let links = host_with([link(8, "hassio", "bridge")]);
    let usage = Usage { networks: vec![network("hassio", "hassio")], ..Usage::default() };
    let objection = unnamed(&by_default(), &links, &usage).unwrap();
    assert_parts(&objection, &["hassio is the bridge of Docker's network hassio", "\"br-*\", \"hassio\"]"]);
    assert!(!objection.contains("does not look like") && !objection.contains("exempt"), "{objection}");
    let (_, lines) = objection.split_once("in place of its `docker`:\n").unwrap();
    assert_eq!(unnamed(&policy(lines), &links, &usage), None);
    let links = host_with([link(8, "hassio", "bridge"), link(9, "virbr0", "bridge")]);
    let both = texts(by_interfaces::unnamed(&by_default(), &links, &usage));
    assert!(both.len() == 2 && !both[1].contains("hassio"), "{both:?}");
}

/// Whatever class it is in, the advice is the same.
#[test]
fn a_bridge_of_dockers_with_a_network_card_in_it_is_to_be_dockers_alone() {
    let links = host_with([link(8, "shop0", "bridge"), port(9, "eth1", "", 8)]);
    let networks = [network("shop", "shop0")];
    let usage = Usage { networks: networks.to_vec(), ..Usage::default() };
    let take_out = "take eth1 out of it: ip link set eth1 nomaster";
    let objection = unnamed(&by_default(), &links, &usage).unwrap();
    assert_parts(&objection, &["docker = [\"docker0\", \"docker_gwbridge\", \"br-*\", \"shop0\"]", take_out]);
    let dockers = interfaces("docker = [\"docker0\", \"shop0\"]");
    let refused = texts(by_interfaces::false_bridges(&dockers, &links, &networks));
    assert_parts(&refused[0], &["Docker's network shop", take_out]);
    assert!(!refused[0].contains("narrower"), "{refused:?}");
    let exempt =
        texts(by_interfaces::wide_exemptions(&interfaces("exempt = [\"shop0\"]"), &links, &networks));
    assert_parts(&exempt[0], &["Docker's network shop; move it from `exempt` to `docker`"]);
    assert!(![objection, refused.concat()].concat().contains("exempt"));
}

/// Returns a bridge with the uplink in it, as Proxmox has it.
fn with_uplink() -> Vec<Link> {
    host_with([link(8, "vmbr0", "bridge"), port(9, "eno1", "", 8), port(10, "tap100i0", "tun", 8)])
}

#[test]
fn a_bridge_with_a_network_card_is_not_to_be_exempt_or_inside() {
    let objection = unnamed(&by_default(), &with_uplink(), &Usage::default()).unwrap();
    assert_parts(&objection, &["crossing = [\"vmbr0\"]"]);
    assert!(!objection.contains("exempt") && !objection.contains("inside"), "{objection}");
    assert_eq!(unnamed(&interfaces("crossing = [\"vmbr0\"]"), &with_uplink(), &Usage::default()), None);
}

#[test]
fn what_leads_to_the_rest_of_the_world_is_not_exempt_without_more() {
    let by_default_route = Link { has_default_route: true, ..link(8, "wg0", "wireguard") };
    for (links, exempt, words) in [
        (
            with_uplink(),
            "vmbr0",
            "vmbr0 matches `exempt` in [interfaces], but the network card eno1 is a port of it",
        ),
        (with_uplink(), "vm*", "vmbr0 matches `exempt`"),
        (docker_host(), "eth0", "eth0 matches `exempt` in [interfaces], but it is a network card"),
        (docker_host(), "e*", "eth0 matches `exempt`"),
        (
            host_with([by_default_route]),
            "wg0",
            "wg0 matches `exempt` in [interfaces], but the default route uses it",
        ),
    ] {
        let found = wide_exemptions(&interfaces(&format!("exempt = [\"{exempt}\"]")), &links);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_parts(&found[0], &[words]);
    }
    let harmless =
        host_with([link(8, "wg0", "wireguard"), link(9, "virbr0", "bridge"), port(10, "vnet0", "tun", 9)]);
    assert_eq!(wide_exemptions(&interfaces("exempt = [\"wg0\", \"virbr*\"]"), &harmless), [""; 0]);
}

#[test]
fn bridges_between_which_the_host_routes_are_named_in_full() {
    let addressed = |link| with_networks(link, &["fe80::/64", "198.51.100.0/24"]);
    let links = host_with([
        addressed(link(8, "vmbr0", "bridge")),
        with_networks(link(9, "fwbr100i0", "bridge"), &["fe80::/64"]),
    ]);
    let found = routed_crossings(&interfaces("crossing = [\"vmbr*\", \"fwbr*\"]"), &links);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_parts(&found[0], &["vmbr0 matches `vmbr*`", "has addresses of this host"]);
    assert_eq!(routed_crossings(&interfaces("crossing = [\"vmbr0\", \"fwbr*\"]"), &links), [""; 0]);
}

#[test]
fn interfaces_that_filtering_does_not_hurt_need_no_name() {
    let down = Link { is_up: false, ..link(8, "virbr0", "bridge") };
    let in_bond = port(9, "tun0", "tun", 20);
    for harmless in
        [down, in_bond, link(10, "eth1", ""), link(11, "eth0.5", "vlan"), link(12, "dummy0", "dummy")]
    {
        assert_eq!(
            unnamed(&by_default(), &host_with([harmless.clone()]), &Usage::default()),
            None,
            "{harmless:?}"
        );
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
    ] {
        assert_eq!(lost_to_containers(&policy(&format!("{DB}{rest}")), &port, Proxied::All), None, "{rest}");
    }
}

#[test]
fn rules_for_others_do_not_keep_a_port() {
    let port = [published("5432/tcp", "db")];
    for rest in
        ["from = [\"192.0.2.1\"]", "to = \"container\"", "from = [\"containers\"]\nto = \"container\""]
    {
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
