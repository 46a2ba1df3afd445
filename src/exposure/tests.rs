//! Hosts that are only described, under policies read from strings.

use dockfw_policy::engine::EngineName;
use dockfw_policy::policy::Policy;

use super::*;
use crate::engines::compile_for;
use crate::filters::live::Others;
use crate::fixtures::{docker_host, link, network, policy, with_networks};
use crate::foreign::{Tables, listing};
use crate::host::docker::{Backend, Behaviour, Container, Driver, Network, Proxied, Published};
use crate::host::listeners::Listener;
use crate::host::processes::Holder;

const SOURCES: &str = "trusted = [\"192.0.2.10\"]\n";

fn rules_of(text: &str) -> Policy {
    policy(&format!("{SOURCES}{text}"))
}

fn listener(port: u16, address: &str, process: &str) -> Listener {
    let holder = Holder { pid: 7, name: process.into(), container: None };
    Listener {
        transport: Transport::Tcp,
        address: address.parse().unwrap(),
        port,
        takes_ipv4: address == "::",
        interface: None,
        holder: (!process.is_empty()).then_some(holder),
    }
}

fn published(port: u16, address: &str, target: Option<&str>) -> Published {
    Published {
        transport: Transport::Tcp,
        port,
        address: address.parse().unwrap(),
        container_port: 80,
        container: "web".into(),
        targets: target.map(|target| target.parse().unwrap()).into_iter().collect(),
        is_meshed: false,
    }
}

fn facts(listeners: Vec<Listener>, published: Vec<Published>) -> Facts {
    let rules: String = published.iter().filter_map(rule).collect();
    let facts = Facts { links: docker_host(), listeners, published, ..Facts::default() };
    with_rules(
        facts,
        &format!("-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n:DOCKER - [0:0]\n{rules}"),
    )
}

/// Docker's rule for a port.
fn rule(published: &Published) -> Option<String> {
    let Published { port, address, container_port, targets, is_meshed, .. } = published;
    let to = targets.first().copied().or(is_meshed.then_some([172, 18, 0, 2].into()))?;
    let chain = if *is_meshed { "PREROUTING" } else { "DOCKER ! -i docker0" };
    let at = if address.is_unspecified() { String::new() } else { format!("-d {address} ") };
    Some(format!(
        "-A {chain} {at}-p tcp -m tcp --dport {port} -j DNAT --to-destination {to}:{container_port}\n"
    ))
}

/// Returns the facts with these rules of address translation.
fn with_rules(facts: Facts, rules: &str) -> Facts {
    let saved = format!("*nat\n:PREROUTING ACCEPT [0:0]\n{rules}COMMIT\n");
    let tables = Tables::new(listing::tables(&saved, Family::Ipv4, "iptables-nft"));
    Facts { others: Others { tables, ..Others::default() }, ..facts }
}

fn exposed_by(policy: &Policy, facts: &Facts) -> Vec<Exposed> {
    exposed(Rules { ruleset: &compile_for(EngineName::Nftables, policy), by_name_alone: false }, facts).0
}

/// Returns lines like `22/tcp ipv4: everyone by allow 'ssh'`.
fn lines(text: &str, facts: &Facts) -> Vec<String> {
    exposed_by(&rules_of(text), facts).iter().map(line).collect()
}

fn line(exposed: &Exposed) -> String {
    let reach = exposed.reach.iter().map(|reach| {
        let admitted = reach.admitted.iter().map(|one| {
            format!("{:?} by {}", one.who, one.rule.as_deref().unwrap_or("nothing")).to_lowercase()
        });
        format!("{}: {}", reach.interfaces.join("+"), admitted.collect::<Vec<_>>().join(", "))
    });
    let family = if exposed.family == Family::Ipv4 { 4 } else { 6 };
    let inside = if exposed.containers { "; containers" } else { "" };
    format!("{} v{family} {}{inside}", exposed.port, reach.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_process_is_reached_by_those_whom_a_rule_lets_in() {
    let ssh = facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]);
    assert_eq!(lines("", &ssh), ["22/tcp v4 eth0: trusted by trusted"]);
    let open = "[[allow]]\nname = \"ssh\"\nports = [\"22/tcp\"]\n";
    for to in ["", "to = \"host\"", "to = \"docker\""] {
        assert_eq!(
            lines(&format!("{open}{to}"), &ssh),
            ["22/tcp v4 eth0: everyone by allow 'ssh'; containers"],
            "{to}"
        );
    }
    assert_eq!(lines(&format!("{open}to = \"container\""), &ssh), ["22/tcp v4 eth0: trusted by trusted"]);
    assert_eq!(
        lines(&format!("{open}from = [\"198.51.100.0/24\"]"), &ssh),
        ["22/tcp v4 eth0: listed by allow 'ssh', trusted by trusted"]
    );
    let containers = format!("{open}from = [\"containers\"]");
    assert_eq!(lines(&containers, &ssh), ["22/tcp v4 eth0: trusted by trusted; containers"]);
}

#[test]
fn an_ipv6_listener_that_the_policy_forgot_is_listed_with_who_may_reach_it() {
    let forgotten = facts(vec![listener(9000, "::", "forgotten")], vec![]);
    // Nobody is trusted over IPv6.
    assert_eq!(lines("", &forgotten), ["9000/tcp v4 eth0: trusted by trusted", "9000/tcp v6 eth0: "]);
    let open = "[[allow]]\nname = \"open\"\nports = [\"9000/tcp\"]\n";
    let found = exposed_by(&rules_of(open), &forgotten);
    assert_eq!(found.iter().map(Exposed::widest).collect::<Vec<_>>(), [Some(Who::Everyone); 2]);
}

#[test]
fn loopback_is_not_exposed() {
    let own = facts(
        vec![listener(5432, "127.0.0.1", "postgres"), listener(5432, "::1", "postgres")],
        vec![published(8080, "127.0.0.1", Some("172.17.0.2"))],
    );
    assert_eq!(lines("", &own), [""; 0]);
}

#[test]
fn docker_proxy_is_the_published_port() {
    let web = facts(
        vec![listener(8080, "0.0.0.0", "docker-proxy"), listener(8080, "::", "docker-proxy")],
        vec![published(8080, "0.0.0.0", Some("172.17.0.2")), published(8080, "::", None)],
    );
    let open = "[[allow]]\nname = \"web\"\nports = [\"8080/tcp\"]\nto = ";
    assert_eq!(
        lines(&format!("{open}\"docker\""), &web),
        [
            "8080/tcp v4 eth0: everyone by allow 'web'; containers",
            "8080/tcp v6 eth0: everyone by allow 'web'; containers"
        ]
    );
    // A container's port is the number behind the translation, which a socket of the host does not have.
    let own = "[[allow]]\nname = \"own\"\nports = [\"80/tcp\"]\nto = \"container\"";
    assert_eq!(lines(own, &web), ["8080/tcp v4 eth0: everyone by allow 'own'", "8080/tcp v6 eth0: "]);
    assert!(exposed_by(&rules_of(own), &web).iter().all(|one| one.kind == Kind::Published));
}

#[test]
fn whoever_only_calls_itself_docker_proxy_is_listed() {
    let hidden = facts(vec![listener(666, "0.0.0.0", "docker-proxy")], vec![published(80, "0.0.0.0", None)]);
    assert_eq!(lines("", &hidden).len(), 2);
}

#[test]
fn a_published_port_by_way_of_a_bridge_that_no_pattern_covers_is_closed_to_rules() {
    let web = facts(vec![], vec![published(8080, "0.0.0.0", Some("10.9.9.2"))]);
    let open = "[[allow]]\nname = \"web\"\nports = [\"8080/tcp\"]\nto = \"docker\"";
    assert_eq!(lines(open, &web), ["8080/tcp v4 eth0: trusted by trusted; containers"]);
}

#[test]
fn the_mesh_has_a_door_of_its_own_and_dockerd_another_over_ipv6() {
    let port = Published { is_meshed: true, ..published(8080, "0.0.0.0", None) };
    let mesh = facts(vec![listener(8080, "::", "dockerd")], vec![port]);
    let open = "[[allow]]\nname = \"web\"\nports = [\"8080/tcp\"]\nto = \"docker\"";
    let found = exposed_by(&rules_of(open), &mesh);
    let kinds: Vec<_> = found.iter().map(|one| (one.kind, one.family, one.widest())).collect();
    assert_eq!(
        kinds,
        [(Kind::Mesh, Family::Ipv4, Some(Who::Everyone)), (Kind::Process, Family::Ipv6, Some(Who::Everyone))]
    );
}

#[test]
fn interfaces_are_told_apart_only_where_rules_do() {
    let mut ssh = facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]);
    ssh.links.extend([link(8, "eth1", ""), link(9, "wg0", "wireguard")]);
    let found = lines("[interfaces]\nexempt = [\"wg0\"]", &ssh);
    assert_eq!(found, ["22/tcp v4 eth0+eth1: trusted by trusted wg0: everyone by exempt interfaces"]);
    ssh.listeners[0].interface = Some(8);
    assert_eq!(lines("", &ssh), ["22/tcp v4 eth1: trusted by trusted"]);
}

/// A redirect leads to an address of the interface, which dockfw's rules do not distinguish from another.
#[test]
fn interfaces_are_not_told_apart_by_where_a_redirect_leads() {
    let redirect = "-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\n";
    let mut ssh = with_rules(facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]), redirect);
    ssh.links.push(with_networks(link(8, "eth1", ""), &["198.51.100.0/24"]));
    let open = "[[allow]]\nname = \"ssh\"\nports = [\"2222/tcp\"]\n";
    let found = lines(open, &ssh);
    let expected = "2222/tcp v4 eth0+eth1: everyone by allow 'ssh'; containers";
    assert!(found.iter().any(|line| line == expected), "{found:?}");
    let elsewhere =
        "-A PREROUTING -i eth1 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 172.17.0.2:22\n";
    let found = lines(&format!("{open}to = \"host\"\n"), &with_rules(ssh, elsewhere));
    let expected = "2222/tcp v4 eth0: everyone by allow 'ssh' eth1: trusted by trusted; containers";
    assert!(found.iter().any(|line| line == expected), "{found:?}");
}

#[test]
fn without_any_rules_everyone_gets_in() {
    let ssh = facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]);
    let none = Ruleset::default();
    let (found, _) = exposed(Rules { ruleset: &none, by_name_alone: false }, &ssh);
    assert!(found[0].reach.iter().all(|reach| reach.admitted[0].who == Who::Everyone));
    assert!(found[0].reach.iter().all(|reach| reach.admitted[0].rule.is_none()));
}

#[test]
fn a_container_on_the_hosts_network_is_named() {
    let id = "ab".repeat(32);
    let mut own = facts(vec![listener(8090, "0.0.0.0", "nginx")], vec![]);
    own.listeners[0].holder.as_mut().unwrap().container = Some(id.clone());
    own.containers = vec![Container {
        id,
        name: "hostnet".into(),
        on_host_network: true,
        addresses: vec![],
        published: vec![],
    }];
    let found = exposed_by(&rules_of(""), &own);
    let answers = &found[0].answers;
    assert_eq!((answers.container.as_deref(), answers.process.as_deref()), (Some("hostnet"), Some("nginx")));
}

#[test]
fn what_no_rule_covers_is_named() {
    let network = |name: &str, parent: Option<&str>| Network {
        name: name.into(),
        driver: Driver::Beside {
            driver: "macvlan".into(),
            parent: parent.map(str::to_owned),
            is_at_input: false,
        },
        is_internal: parent.is_none(),
        subnets: vec![],
        gateway_modes: [None, None],
        trusted_interfaces: vec![],
    };
    let address = |network: &str| (network.to_owned(), "192.0.2.77".parse().unwrap());
    let mut beside = facts(vec![], vec![]);
    beside.networks = vec![network("lan", Some("eth0")), network("closed", None)];
    beside.containers = vec![Container {
        id: "ab".into(),
        name: "camera".into(),
        on_host_network: false,
        addresses: vec![address("lan"), address("closed"), address("bridge")],
        published: vec![],
    }];
    let found = uncovered(&rules_of(""), &beside);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].what, "container camera at 192.0.2.77, on macvlan network lan (eth0)");
    let some = uncovered(&rules_of("[interfaces]\nfiltered = [\"wlan*\"]"), &facts(vec![], vec![]));
    assert_eq!(some.len(), 1, "{some:?}");
    assert_eq!(some[0].what, "everything that is reached by eth0");
}

/// Two of Docker's networks, and a port of the first one that is published.
fn two_networks(rules: &str) -> Facts {
    let mut facts = facts(vec![], vec![published(8080, "0.0.0.0", Some("172.17.0.2"))]);
    facts.links.push(link(9, "br-1", "bridge"));
    facts.networks = vec![network("docker0", "docker0"), network("br-1", "br-1")];
    with_rules(facts, &format!("-A PREROUTING -j DOCKER\n:DOCKER - [0:0]\n{rules}"))
}

const UP_TO_28: &str = "-A DOCKER -i docker0 -j RETURN\n-A DOCKER -i br-1 -j RETURN\n\
    -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n";
const FROM_29: &str =
    "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n";
const WITHOUT_PROXY: &str = "-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n";

#[test]
fn the_live_rules_tell_whom_docker_proxy_answers() {
    let whom =
        |facts: &Facts| held(facts).iter().map(|held| (held.by, held.published.len())).collect::<Vec<_>>();
    assert_eq!(whom(&two_networks(UP_TO_28)), [(Proxied::All, 1)]);
    assert_eq!(whom(&two_networks(FROM_29)), [(Proxied::OwnNetwork, 1)]);
    assert_eq!(whom(&two_networks(WITHOUT_PROXY)), []);
    let mut on_loopback = two_networks(UP_TO_28);
    on_loopback.published[0].address = [127, 0, 0, 1].into();
    assert_eq!(whom(&on_loopback), [], "no container can dial it");
}

#[test]
fn where_rules_can_not_be_read_the_version_tells_whom_docker_proxy_answers() {
    let whom = |version: &[u32]| {
        let others = Others { unreadable: vec!["no rights".into()], ..Others::default() };
        let docker = Behaviour::of(version, Backend::Iptables);
        held(&Facts { others, docker, ..two_networks(FROM_29) })[0].by
    };
    assert_eq!([whom(&[28, 5]), whom(&[29, 0])], [Proxied::All, Proxied::OwnNetwork]);
}

/// Only if all do: those that docker-proxy answers are clients of a process of the host.
#[test]
fn containers_reach_a_port_if_those_of_each_network_do() {
    let own = rules_of("[[allow]]\nname = \"own\"\nports = [\"80/tcp\"]\nto = \"container\"");
    let reach = |rules: &str| exposed_by(&own, &two_networks(rules))[0].containers;
    assert_eq!([reach(UP_TO_28), reach(FROM_29), reach(WITHOUT_PROXY)], [false, false, true]);
}

#[test]
fn what_can_not_be_told_is_said_where_it_makes_a_difference() {
    let half = "-A PREROUTING -p tcp -m tcp --dport 22 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 203.0.113.9\n";
    let open = |policy: &Policy| {
        let facts = with_rules(facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]), half);
        exposed(Rules { ruleset: &compile_for(EngineName::Nftables, policy), by_name_alone: false }, &facts).1
    };
    let host = rules_of("[[allow]]\nname = \"ssh\"\nports = [\"22/tcp\"]\nto = \"host\"");
    assert!(open(&host)[0].contains("who reaches 22/tcp by eth0"), "{:?}", open(&host));
    assert_eq!(open(&rules_of("")), [""; 0], "the trusted reach both, and nobody else does");
}

/// dockfw's own rules ask for the port that was dialled, which is unknown for a packet that connection tracking skips.
#[test]
fn what_is_not_tracked_is_let_in_by_no_rule_about_ports() {
    let open = rules_of("[[allow]]\nname = \"ssh\"\nports = [\"22/tcp\"]\nto = \"host\"");
    let exposed = |rule: &str| {
        let saved = format!("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule} -j NOTRACK\nCOMMIT\n");
        let tables = Tables::new(listing::tables(&saved, Family::Ipv4, "iptables-nft"));
        let others = Others { tables, ..Others::default() };
        let facts = Facts { others, ..facts(vec![listener(22, "0.0.0.0", "sshd")], vec![]) };
        let (all, unknown) = super::exposed(
            Rules { ruleset: &compile_for(EngineName::Nftables, &open), by_name_alone: false },
            &facts,
        );
        (all.iter().map(line).collect::<Vec<_>>(), unknown)
    };
    let everyone = "22/tcp v4 eth0: everyone by allow 'ssh'; containers";
    assert_eq!(exposed("-p tcp -m tcp --dport 23"), (vec![everyone.into()], vec![]));
    assert_eq!(exposed("-p tcp -m tcp --dport 22").0, ["22/tcp v4 eth0: trusted by trusted"]);
    let (lines, unknown) = exposed("-s 10.0.0.0/8");
    assert_eq!(lines, ["22/tcp v4 eth0: everyone by allow 'ssh', trusted by trusted"]);
    assert!(unknown[0].contains("whom this takes out of connection tracking: -A PREROUTING"), "{unknown:?}");
}

#[test]
fn where_rules_can_not_be_read_what_docker_says_is_as_good_as_not() {
    let mut web = facts(vec![], vec![published(8080, "0.0.0.0", Some("172.17.0.2"))]);
    web.others = Others { unreadable: vec!["no rights".into()], ..Others::default() };
    let own = rules_of("[[allow]]\nname = \"own\"\nports = [\"80/tcp\"]\nto = \"container\"");
    assert_eq!(exposed_by(&own, &web)[0].widest(), Some(Who::Everyone), "no all-clear that may be false");
}

#[test]
fn of_very_many_ports_that_rules_name_the_rest_is_said_to_be_unknown() {
    let rules: String = (0..9)
        .map(|n| {
            format!(
                "-A PREROUTING -p tcp -m tcp --dport {}:{} -j REDIRECT --to-ports 22\n",
                n * 1000 + 1,
                n * 1000 + 900
            )
        })
        .collect();
    let facts = with_rules(facts(vec![], vec![]), &rules);
    let policy = compile_for(EngineName::Nftables, &rules_of(""));
    let (found, unknown) = exposed(Rules { ruleset: &policy, by_name_alone: false }, &facts);
    assert_eq!(found.len(), 1_334, "of each of 4,000 ports of three protocols, TCP's alone is led");
    let [said] = &unknown[..] else { panic!("{unknown:?}") };
    assert!(said.contains("over IPv4, from 1434/udp on"), "{said}");
}

/// As Podman does it: conmon holds the port, and netavark's rule leads on.
#[test]
fn a_port_that_is_led_elsewhere_is_no_process_of_the_host() {
    let rules = "-A PREROUTING -p tcp -m tcp --dport 8090 -j DNAT --to-destination 10.88.0.2:80\n";
    let mut podman = with_rules(facts(vec![listener(8090, "0.0.0.0", "conmon")], vec![]), rules);
    podman.links.push(with_networks(link(9, "podman0", "bridge"), &["10.88.0.0/16"]));
    let open = "[[allow]]\nname = \"web\"\nports = [\"8090/tcp\"]\n";
    let found = exposed_by(&rules_of(&format!("{open}[interfaces]\nexempt = [\"podman*\"]")), &podman);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.kind, one.answers.address), (Kind::Translated, Some([10, 88, 0, 2].into())));
    let by_eth0 = one.reach.iter().find(|reach| reach.interfaces == ["eth0"]).unwrap();
    assert_eq!(by_eth0.admitted.iter().map(|one| one.who).max(), Some(Who::Trusted), "closed to strangers");
}
