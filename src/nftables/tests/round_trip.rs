//! The kernel's listing of what the engine adds, compared with what `nft` makes of the table's text.

use dockfw_policy::ruleset::PortField::{Destination, Dialled, Source};
use dockfw_policy::service::Transport::{Sctp, Tcp, Udp};

use super::*;

/// Returns one rule for each statement, in each form that is encoded in another way.
fn one(port: u16) -> Ports {
    Ports::Range(ports(port, port))
}

/// Statements about interfaces and addresses.
fn about_ends() -> Vec<Vec<Statement>> {
    vec![
        vec![Statement::InterfaceName { direction: Direction::In, pattern: name("lo") }],
        vec![Statement::InterfaceName { direction: Direction::Out, pattern: prefix("br-") }],
        vec![interface_in(Direction::In, "inside", false), Statement::Bridge(Direction::In)],
        vec![interface_in(Direction::In, "exact", true)],
        vec![interface_in(Direction::Out, "inside", false), Statement::Bridge(Direction::Out)],
        vec![source_in(Family::Ipv4, "hosts4")],
        vec![source_in(Family::Ipv4, "nets4")],
        vec![source_in(Family::Ipv6, "hosts6")],
        vec![source_in(Family::Ipv6, "nets6"), port(Tcp, Destination, one(22))],
        vec![destination_in(Family::Ipv6, "nets6")],
        vec![Statement::Unicast { negated: false }, Statement::IsLocal(End::Source)],
        vec![
            Statement::Unicast { negated: true },
            Statement::IsLocal(End::Source),
            Statement::IsLocal(End::Destination),
        ],
        vec![Statement::IsElsewhere { negated: false }],
        vec![Statement::IsElsewhere { negated: true }, Statement::ReversePathFails],
    ]
}

/// Statements about what is in a packet, and what is known of its connection.
fn about_contents() -> Vec<Vec<Statement>> {
    vec![
        vec![Statement::HopLimit { family: Family::Ipv4, limit: 1 }],
        vec![
            Statement::Icmp { family: Family::Ipv6, types: 133..=137 },
            Statement::HopLimit { family: Family::Ipv6, limit: 255 },
        ],
        vec![Statement::Family(Family::Ipv4)],
        vec![Statement::Family(Family::Ipv6), Statement::Protocol(47)],
        vec![Statement::Protocol(50)],
        vec![Statement::Icmp { family: Family::Ipv4, types: 8..=8 }],
        vec![Statement::Icmp { family: Family::Ipv6, types: 133..=137 }],
        vec![port(Tcp, Destination, Ports::Range(ports(1000, 2000)))],
        vec![port(Udp, Source, one(67)), port(Udp, Destination, one(68))],
        vec![
            address(End::Source, "fe80::/10"),
            port(Udp, Source, one(547)),
            port(Udp, Destination, one(546)),
        ],
        vec![port(Sctp, Destination, Ports::Set("port_ranges".into()))],
        vec![port(Tcp, Dialled, Ports::Set("some_ports".into())), Statement::Translated],
        vec![port(Udp, Dialled, Ports::Range(ports(80, 90)))],
        vec![Statement::Dispatch { transport: Tcp, field: Dialled, map: "range_jumps".into() }],
        vec![Statement::Dispatch { transport: Udp, field: Destination, map: "single_jumps".into() }],
        vec![port(Tcp, Dialled, one(8080)), source_in(Family::Ipv4, "nets4")],
        vec![Statement::Established],
        vec![Statement::NotTcp],
        vec![Statement::Opening { negated: false }],
        vec![Statement::Opening { negated: true }],
        vec![source_in(Family::Ipv4, "nets4"), Statement::Opening { negated: true }],
    ]
}

fn every_statement() -> Vec<Rule> {
    let mut rules = [about_ends(), about_contents()].concat();
    let networks =
        ["127.0.0.0/8", "10.64.0.0/10", "192.0.2.1/32", "0.0.0.0/0", "::/0", "::1/128", "2001:db8::/33"];
    rules.extend(networks.map(|network| vec![address(End::Source, network)]));
    rules.extend(networks.map(|network| vec![address(End::Destination, network)]));
    let numbered = |(index, mut statements): (usize, Vec<Statement>)| {
        statements.push(Statement::Counter(set_name("hits")));
        statements.push(if index % 2 == 0 { Statement::Accept } else { Statement::Drop });
        rule(&format!("rule {index}"), statements)
    };
    rules.extend(networks.map(|network| vec![Statement::DialledAddress(network.parse().unwrap())]));
    rules.into_iter().enumerate().map(numbered).collect()
}

fn everything() -> Table {
    let log = vec![Statement::Limit("10/minute".parse().unwrap()), Statement::Log("dockfw: ".into())];
    Table {
        counters: vec![Counter { name: set_name("hits") }],
        sets: sets(),
        chains: vec![
            Chain {
                priority: None,
                ..chain("called", Hook::Input, 0, vec![rule("back", vec![Statement::Return])])
            },
            chain("prefilter", Hook::Prerouting, -310, vec![rule("log", log)]),
            chain("input", Hook::Input, -10, every_statement()),
            chain("forward", Hook::Forward, -10, vec![rule("there", vec![Statement::Jump("called")])]),
        ],
    }
}

#[test]
#[ignore = "needs root"]
fn nft_lists_what_it_lists_after_loading_the_text() {
    in_namespace(|| {
        let table = everything();
        apply(&table);
        let ours = listing();
        nft_with(&["-f", "-"], &table.to_string());
        assert_eq!(ours, listing());
    });
}

#[test]
#[ignore = "needs root"]
fn the_kernels_rules_are_recognized_whoever_wrote_them() {
    in_namespace(|| {
        let table = everything();
        nft_with(&["-f", "-"], &table.to_string());
        // nft records no digest, and loads neighbouring ports and adjacent fields at once.
        let differences = differences(&table);
        let about_sets = differences.iter().filter(|line| line.starts_with("set ")).count();
        assert_eq!(about_sets, table.sets.len(), "{differences:#?}");
        let merged = ["rule 22", "rule 23"];
        let rest: Vec<_> = differences.iter().filter(|line| !line.starts_with("set ")).collect();
        assert!(rest.iter().all(|line| merged.iter().any(|rule| line.contains(rule))), "{rest:#?}");
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_in_force_is_left_alone() {
    in_namespace(|| {
        let table = everything();
        assert_eq!(apply(&table).len(), 1);
        assert_eq!(differences(&table), [""; 0]);
        let monitor = generation();
        assert_eq!(apply(&table), [""; 0]);
        assert_eq!(generation(), monitor, "there was a transaction");
    });
}

#[test]
#[ignore = "needs root"]
fn elements_hold_exactly_what_they_say() {
    in_namespace(|| {
        apply(&everything());
        let is_in = |set: &str, element: &str| {
            let element = format!("{{ {element} }}");
            let arguments = ["get", "element", "inet", "dockfw", set, &element];
            Command::new("nft").args(arguments).output().unwrap().status.success()
        };
        let inside = [
            ("nets4", "0.0.0.0"),
            ("nets4", "0.255.255.255"),
            ("nets4", "10.0.0.0"),
            ("nets4", "10.0.0.7"),
            ("nets4", "198.51.100.9"),
            ("nets4", "255.255.255.255"),
            ("hosts4", "255.255.255.255"),
            ("nets6", "2001:db8::"),
            ("nets6", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("nets6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("port_ranges", "500"),
            ("port_ranges", "65535"),
            ("some_ports", "22"),
        ];
        let outside = [
            ("nets4", "1.0.0.0"),
            ("nets4", "10.0.0.8"),
            ("nets4", "198.51.100.10"),
            ("nets4", "255.255.254.255"),
            ("nets6", "2001:db9::"),
            ("nets6", "fec0::"),
            ("port_ranges", "501"),
            ("port_ranges", "81"),
            ("some_ports", "23"),
        ];
        for (set, element) in inside {
            assert!(is_in(set, element), "{element} is not in {set}");
        }
        for (set, element) in outside {
            assert!(!is_in(set, element), "{element} is in {set}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn every_construct_is_there_on_this_kernel() {
    in_namespace(|| {
        let engine = Nftables::default();
        let requirements = engine.probe().unwrap();
        assert!(requirements.len() > 20, "{requirements:#?}");
        assert!(requirements.iter().all(|requirement| requirement.missing.is_none()), "{requirements:#?}");
        assert_eq!(requirements.iter().filter(|requirement| requirement.optional).count(), 4);
        assert_eq!(engine.features().unwrap(), Features::ALL);
        assert!(nft("list tables").is_empty(), "the probe left something");
    });
}
