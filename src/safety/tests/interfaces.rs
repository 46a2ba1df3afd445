//! Interfaces that the policy sorts, or forgets.

use super::*;

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
