//! Hosts that are only described, and the policies that are begun for them.

use std::net::SocketAddr;

use dockfw_policy::policy::{AllowRule, Source};
use proptest::prelude::*;

use super::*;
use crate::exposure::exposed_unfiltered;
use crate::fixtures::{docker_host, link, network, port, with_networks};
use crate::host::docker::Published;
use crate::host::listeners::Listener;
use crate::host::processes::Holder;
use crate::safety::interfaces::{false_bridges, routed_crossings, unnamed, wide_exemptions};
use crate::safety::lockout::shuts_everyone_out;
use crate::safety::usage::cut_off_clients;

fn listener(number: u16, transport: Transport, process: &str) -> Listener {
    let holder = Holder { pid: 7, name: process.into(), container: None };
    Listener {
        transport,
        address: "::".parse().unwrap(),
        port: number,
        takes_ipv4: true,
        interface: None,
        holder: Some(holder),
    }
}

fn published(number: u16, container: &str) -> Published {
    Published {
        transport: Transport::Tcp,
        port: number,
        address: [0; 4].into(),
        container_port: 80,
        container: container.into(),
        targets: vec![[172, 17, 0, 2].into()],
        is_meshed: false,
    }
}

fn session(client: &str) -> Session {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    Session { client: at(client), server: at("192.0.2.1:22"), interface: None }
}

/// A host with a bit of everything.
fn host() -> Facts {
    let mut links = docker_host();
    links.extend([
        with_networks(link(10, "virbr0", "bridge"), &["192.168.122.0/24"]),
        link(11, "wg0", "wireguard"),
        link(12, "ve-db", "veth"),
        with_networks(link(13, "lan0", ""), &["192.168.1.0/24", "fd00:1::/64"]),
        with_networks(link(14, "office", "bridge"), &["172.30.0.0/24"]),
        with_networks(link(15, "vmbr0", "bridge"), &["198.51.100.0/24"]),
        port(16, "eth7", "", 15),
    ]);
    let listeners = vec![
        listener(22, Transport::Tcp, "sshd"),
        listener(53, Transport::Udp, "dnsmasq"),
        listener(67, Transport::Udp, "dnsmasq"),
        listener(68, Transport::Udp, "dhclient"),
        listener(9100, Transport::Tcp, "node_exporter"),
    ];
    let ports = [80, 443, 8000, 8001, 8002, 5432];
    let published = ports.map(|number| published(number, if number == 5432 { "db" } else { "web" }));
    let networks = vec![network("office", "office"), network("default", "br-4f5e6d7c8b9a")];
    Facts { links, listeners, published: published.into(), networks, ..Facts::default() }
}

fn usage_of(facts: &Facts) -> Usage {
    let dhcp = if facts.listeners.iter().any(|one| one.port == 67) { [Some(10)].into() } else { [].into() };
    Usage { networks: facts.networks.clone(), dhcp, ..Usage::default() }
}

fn written(facts: &Facts, origin: &Origin, others: &[String]) -> String {
    let (exposed, _) = exposed_unfiltered(facts);
    let host = Host {
        origin,
        ssh: &[22].into(),
        exposed: &exposed,
        facts,
        usage: &usage_of(facts),
        peers: Some(&["198.51.100.9".parse().unwrap()].into()),
        others,
    };
    write(&host).unwrap_or_else(|rejected| panic!("{rejected}"))
}

/// Loads a text as `apply` would: no warnings either.
fn loaded(text: &str) -> Policy {
    let files = FilesInMemory::new([("dockfw.toml", text)]);
    let loaded = load(Path::new("dockfw.toml"), &files, Strictness::Strict);
    let Loaded { policy, warnings } = loaded.unwrap_or_else(|rejected| panic!("{rejected}\n{text}"));
    assert!(warnings.is_empty(), "{}\n{text}", warnings.render(false));
    policy
}

/// Returns nothing that `apply` would refuse on this host.
fn refused(policy: &Policy, facts: &Facts) -> Vec<String> {
    let (links, usage) = (&facts.links, usage_of(facts));
    let mut refused = false_bridges(policy, links, &facts.networks);
    refused.extend(wide_exemptions(policy, links, &facts.networks));
    refused.extend(routed_crossings(policy, links));
    refused.extend(unnamed(policy, links, &usage));
    refused.extend(cut_off_clients(policy, links, &usage));
    refused.extend(shuts_everyone_out(policy));
    refused.iter().map(ToString::to_string).collect()
}

fn open_to_everyone(policy: &Policy) -> Vec<String> {
    let rules = policy.allow.iter().filter(|rule| rule.from == Source::Everyone);
    rules.flat_map(ports_of).collect()
}

fn ports_of(rule: &AllowRule) -> Vec<String> {
    let ports = rule.services.ports();
    ports
        .flat_map(|(transport, ranges)| {
            ranges.iter().map(move |range| format!("{range}/{}", transport.name()))
        })
        .collect()
}

/// Returns the text with each suggestion uncommented by itself: an entry of a list, or a rule.
fn uncommented(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let is_entry = |line: &str| line.starts_with("    # \"");
    let is_rule = |line: &str| line == "# [[allow]]";
    let starts = lines.iter().enumerate().filter(|(_, line)| is_entry(line) || is_rule(line));
    let with = |start: usize| {
        let length = match is_rule(lines[start]) {
            true => lines[start..].iter().take_while(|line| line.starts_with("# ")).count(),
            false => 1,
        };
        let changed = lines.iter().enumerate().map(|(index, line)| {
            let is_meant = (start..start + length).contains(&index);
            if is_meant { line.replacen("# ", "", 1) } else { (*line).to_owned() }
        });
        changed.map(|line| line + "\n").collect()
    };
    starts.map(|(start, _)| with(start)).collect()
}

const CLIENT: &str = "203.0.113.7:50000";

#[test]
fn only_the_operator_is_trusted_and_only_ssh_is_open_to_everyone() {
    let facts = host();
    let text = written(&facts, &Origin::Live(session(CLIENT)), &[]);
    let policy = loaded(&text);
    assert_eq!(refused(&policy, &facts), [""; 0], "{text}");
    assert_eq!(open_to_everyone(&policy), ["22/tcp"]);
    assert!(policy.trusted.contains("203.0.113.7".parse().unwrap()));
    assert!(!policy.trusted.contains("203.0.113.8".parse().unwrap()));
    assert!(policy.interfaces.exempt.is_empty());
}

#[test]
fn each_suggestion_can_be_uncommented_by_itself() {
    let facts = host();
    for client in [CLIENT, "[2001:db8::7]:1", "192.168.1.9:1", "[fe80::7]:1", "172.17.0.2:1"] {
        let text = written(&facts, &Origin::Live(session(client)), &[]);
        let suggested = uncommented(&text);
        // Ports of containers and of processes, networks that are near, the rule for some.
        assert!(suggested.len() >= 9, "{text}");
        for one in suggested {
            let policy = loaded(&one);
            assert!(policy != loaded(&text), "nothing was uncommented\n{one}");
            assert_eq!(refused(&policy, &facts), [""; 0], "{one}");
        }
    }
}

#[test]
fn what_answers_is_named_behind_its_port() {
    let text = written(&host(), &Origin::None, &["ufw is running".into()]);
    let has = |code: &str, remark: &str| {
        text.lines().any(|line| {
            line.rsplit_once("  # ")
                .is_some_and(|(before, after)| before.trim() == code && after.trim() == remark)
        })
    };
    assert!(has("\"22/tcp\",", "SSH: sshd"), "{text}");
    assert!(has("# \"5432/tcp\",", "container db"), "{text}");
    assert!(has("# \"8000-8002/tcp\",", "container web"), "{text}");
    assert!(has("# \"9100/tcp\",", "node_exporter"), "{text}");
    assert!(text.contains("# - ufw is running\n"), "{text}");
    assert!(!text.contains("68/udp"), "{text}");
}

#[test]
fn interfaces_are_in_the_class_that_fits() {
    let text = written(&host(), &Origin::None, &[]);
    let interfaces = loaded(&text).interfaces;
    assert!(interfaces.is_docker("office") && interfaces.is_docker("br-0123456789ab"), "{text}");
    assert!(interfaces.is_inside("virbr0") && interfaces.is_inside("ve-db"), "{text}");
    assert!(interfaces.crossing.iter().any(|pattern| pattern.matches("vmbr0")), "{text}");
    assert!(
        interfaces.lists("wg0") && !interfaces.is_exempt("wg0") && !interfaces.is_inside("wg0"),
        "{text}"
    );
    assert!(text.contains("#   lan0: a network card\n"), "{text}");
}

#[test]
fn a_bridge_that_only_looks_like_dockers_narrows_the_pattern() {
    let mut facts = host();
    facts.links.extend([link(20, "br-lan", "bridge"), port(21, "eth8", "", 20)]);
    let text = written(&facts, &Origin::None, &[]);
    let policy = loaded(&text);
    assert_eq!(refused(&policy, &facts), [""; 0], "{text}");
    assert!(
        policy.interfaces.is_docker("br-4f5e6d7c8b9a") && !policy.interfaces.is_docker("br-lan"),
        "{text}"
    );
}

#[test]
fn machines_that_this_host_serves_keep_dhcp_and_dns() {
    let policy = loaded(&written(&host(), &Origin::None, &[]));
    let rule = policy.allow.iter().find(|rule| rule.name.starts_with("DHCP")).unwrap();
    let ports = ports_of(rule);
    assert!(ports.contains(&"67/udp".to_owned()) && ports.contains(&"53/udp".to_owned()), "{ports:?}");
    assert!(matches!(&rule.from, Source::These { lists, inside: true, .. } if lists.is_empty()));
}

#[test]
fn a_connection_that_is_gone_trusts_nobody() {
    let text = written(&host(), &Origin::Gone(session(CLIENT)), &[]);
    assert!(loaded(&text).trusted.is_empty() && text.contains("# \"203.0.113.7\","), "{text}");
    let own = written(&host(), &Origin::Live(session("192.0.2.1:1")), &[]);
    assert!(loaded(&own).trusted.is_empty(), "the host itself");
}

#[test]
fn a_bare_host_has_a_policy_too() {
    let facts = Facts { links: vec![link(1, "lo", ""), link(2, "eth0", "")], ..Facts::default() };
    let text = written(&facts, &Origin::Unknown("no rights".into()), &[]);
    assert_eq!(refused(&loaded(&text), &facts), [""; 0]);
    assert_eq!(open_to_everyone(&loaded(&text)), ["22/tcp"]);
}

#[test]
fn very_many_ports_do_not_make_a_very_long_file() {
    let many = (1000..3000).step_by(2).map(|number| published(number, "greedy"));
    let facts = Facts { published: many.collect(), ..host() };
    let text = written(&facts, &Origin::None, &[]);
    assert!(text.lines().count() < 300);
    assert!(text.contains("more lines are left out"), "{text}");
    loaded(&text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Names are comments, whatever they are, and change no rule.
    #[test]
    fn names_of_others_change_nothing(names in proptest::collection::vec("\\PC{0,40}|[\\s\\S]{0,40}|(\r|\n|\u{85}|\u{2028}|\"|\\[\\[allow\\]\\]|ports = \\[\"1-65535/tcp\"\\]|#|')*", 4)) {
        let named = |names: &[String]| {
            let mut facts = host();
            facts.listeners.push(listener(9999, Transport::Tcp, &names[0]));
            facts.published.push(published(7777, &names[1]));
            facts.networks.push(network(&names[2], "office2"));
            facts.links.push(link(30, "office2", "bridge"));
            facts.links.push(link(31, &names[3], "wireguard"));
            written(&facts, &Origin::Live(session(CLIENT)), &[names[0].clone()])
        };
        let plain = loaded(&named(&["a", "b", "c", "d"].map(str::to_owned)));
        let text = named(&names);
        let hostile = loaded(&text);
        prop_assert_eq!(open_to_everyone(&hostile), open_to_everyone(&plain));
        prop_assert_eq!((&hostile.trusted, hostile.allow.len()), (&plain.trusted, plain.allow.len()));
        prop_assert_eq!(&hostile.interfaces.docker, &plain.interfaces.docker);
        for one in uncommented(&text) {
            loaded(&one);
        }
    }
}
