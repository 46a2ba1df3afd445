use std::net::Ipv4Addr;

use dockfw_policy::address::{AddressRange, Range};
use dockfw_policy::policy::RateUnit;
use dockfw_policy::ruleset::{AddressList, HookRules, InterfaceList, PortField};
use dockfw_policy::service::{PortRange, Transport};

use super::*;

fn name(text: &str) -> SetName {
    SetName::new(text).unwrap()
}

fn rule(matches: Vec<Match>, action: Action) -> ruleset::Rule {
    let origin = Origin { what: "x".into(), place: None };
    ruleset::Rule { matches, action, counter: None, origin }
}

/// A ruleset of these rules in one hook, with lists `one`, `two` and `all` of interfaces and `some` of addresses.
fn ruleset(hook: Hook, rules: Vec<ruleset::Rule>) -> Ruleset {
    let list = |text: &str, patterns: &[&str]| InterfaceList {
        name: name(text),
        patterns: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        bridges_only: false,
    };
    let some = AddressRange::V4(Range::single(Ipv4Addr::new(192, 0, 2, 1)));
    let some =
        AddressList { name: name("some"), comment: String::new(), addresses: [some].into_iter().collect() };
    Ruleset {
        addresses: vec![some],
        interfaces: vec![
            list("one", &["eth0"]),
            list("two", &["br-*", "eth0", "br-x"]),
            list("all", &["*", "eth0"]),
        ],
        hooks: vec![HookRules { hook, rules }],
    }
}

fn lowered(hook: Hook, rules: Vec<ruleset::Rule>, family: Family) -> Vec<Chain> {
    let wanted = lower(&ruleset(hook, rules)).unwrap();
    let chains = wanted.families.into_iter().find(|chains| chains.family == family).unwrap();
    let own = match hook {
        Hook::Prerouting => wanted::PREROUTING,
        Hook::Input => wanted::INPUT,
        Hook::Forward => wanted::FORWARD,
    };
    chains.filter.into_iter().filter(|chain| chain.name.starts_with(own)).collect()
}

/// The words of one passing rule's rows, without its comment and target.
fn rows(hook: Hook, matches: Vec<Match>, family: Family) -> Vec<String> {
    let chains = lowered(hook, vec![rule(matches, Action::Pass)], family);
    let rules = chains.iter().flat_map(|chain| &chain.rules).filter(|rule| rule.origin.is_some());
    rules
        .map(|rule| rule.words.join(" ").replace("-m comment --comment x -j RETURN", "").trim().into())
        .collect()
}

fn input(condition: Match) -> Vec<String> {
    rows(Hook::Input, vec![condition], Family::Ipv4)
}

fn fault(matches: Vec<Match>) -> String {
    lower(&ruleset(Hook::Input, vec![rule(matches, Action::Pass)])).unwrap_err().to_string()
}

fn ports(port: PortField, ranges: &[(u16, u16)]) -> Match {
    let ranges = ranges.iter().map(|(first, last)| PortRange::new(*first, *last).unwrap()).collect();
    Match::Ports { transport: Transport::Tcp, port, ranges }
}

#[test]
fn each_condition_has_its_words() {
    assert_eq!(input(Match::Loopback), ["-i lo"]);
    assert_eq!(input(Match::In(name("two"))), ["-i eth0", "-i br-+"]);
    assert_eq!(input(Match::Out(name("one"))), ["-o eth0"]);
    assert_eq!(input(Match::NotIn(name("one"))), ["! -i eth0"]);
    assert_eq!(input(Match::Established), ["-m conntrack --ctstate RELATED,ESTABLISHED"]);
    assert_eq!(input(Match::SourceIsOwn), ["-m addrtype --src-type LOCAL -m pkttype --pkt-type unicast"]);
    assert_eq!(input(Match::NotOpening), ["! -p tcp", "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"]);
    assert_eq!(input(Match::Protocol(50)), ["-p 50"]);
    assert_eq!(input(Match::Family(Family::Ipv6)), [""; 0]);
    let types = Match::Icmp { family: Family::Ipv4, types: 3..=4 };
    assert_eq!(input(types), ["-p icmp -m icmp --icmp-type 3", "-p icmp -m icmp --icmp-type 4"]);
    let dialled = [Match::Translated, ports(PortField::Dialled, &[(80, 80), (90, 99)])];
    let expected =
        ["80", "90:99"].map(|port| format!("-p tcp -m conntrack --ctstate DNAT --ctorigdstport {port}"));
    assert_eq!(rows(Hook::Forward, dialled.to_vec(), Family::Ipv4), expected);
}

#[test]
fn a_list_without_addresses_of_a_family_matches_nothing_there() {
    let source = vec![Match::Source(name("some"))];
    assert_eq!(rows(Hook::Input, source.clone(), Family::Ipv4).len(), 1);
    assert_eq!(rows(Hook::Input, source, Family::Ipv6), [""; 0]);
}

#[test]
fn ports_are_cut_to_what_a_rule_takes() {
    let ranges: Vec<_> = (1..=8).map(|n| (n * 10, n * 10 + 1)).collect();
    let rows = input(ports(PortField::Destination, &ranges));
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1], "-p tcp -m multiport --dports 80:81");
}

#[test]
fn the_prerouting_hook_means_packets_as_they_were() {
    let rows = |condition| rows(Hook::Prerouting, vec![condition], Family::Ipv4);
    let network = "127.0.0.0/8".parse().unwrap();
    let expected = ["-m conntrack --ctorigdst 127.0.0.0/8 --ctdir ORIGINAL"];
    assert_eq!(rows(Match::DestinationNetwork(network)), expected);
    let port = ports(PortField::Destination, &[(80, 80)]);
    assert_eq!(rows(port), ["-p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL"]);
}

#[test]
fn all_but_several_interfaces_goes_around_the_rule() {
    let rules = vec![
        rule(vec![Match::NotIn(name("two")), Match::Protocol(50)], Action::Drop),
        rule(vec![], Action::Pass),
    ];
    let chains = lowered(Hook::Forward, rules, Family::Ipv4);
    let words = |chain: &Chain| chain.rules.iter().map(|rule| rule.words.join(" ")).collect::<Vec<_>>();
    assert_eq!(chains.len(), 2);
    assert_eq!(
        words(&chains[0]),
        [
            "-j DOCKFW-PRE",
            "-i eth0 -g DOCKFW-USER-2",
            "-i br-+ -g DOCKFW-USER-2",
            "-p 50 -m comment --comment x -j DROP",
            "-g DOCKFW-USER-2"
        ]
    );
    assert_eq!(words(&chains[1]), ["-m comment --comment x -j RETURN"]);
    assert_eq!(chains[1].name, "DOCKFW-USER-2");
}

#[test]
fn all_but_every_interface_is_none() {
    assert_eq!(input(Match::NotIn(name("all"))), [""; 0]);
    assert_eq!(input(Match::In(name("all"))), [""]);
}

#[test]
fn the_longest_prefix_is_a_name() {
    assert_eq!(interface(&IfPattern::Prefix("fifteen-letters".into())), "fifteen-letters");
    assert_eq!(interface(&IfPattern::Prefix("fourteen-lette".into())), "fourteen-lette+");
}

#[test]
fn what_iptables_cant_say_is_an_error_that_names_the_rule() {
    // To iptables, protocol 0 is every one of them.
    assert_eq!(fault(vec![Match::Protocol(0)]), "iptables can't express the IP protocol 0; it is part of x");
    assert!(fault(vec![Match::Protocol(51)]).contains("51 over IPv6"));
    assert!(fault(vec![Match::Icmp { family: Family::Ipv4, types: 250..=255 }]).contains("ICMP type 255"));
    assert!(fault(vec![Match::In(name("one")), Match::Loopback]).contains("`-i`"));
}

#[test]
fn conditions_that_exclude_each_other_make_no_rule() {
    let udp =
        Match::Ports { transport: Transport::Udp, port: PortField::Source, ranges: vec![PortRange::ALL] };
    assert_eq!(rows(Hook::Input, vec![udp, ports(PortField::Source, &[(1, 2)])], Family::Ipv4), [""; 0]);
}

#[test]
fn only_what_every_policy_has_is_in_table_raw() {
    let network = "127.0.0.0/8".parse().unwrap();
    let rules = vec![
        rule(vec![Match::Loopback], Action::Pass),
        rule(vec![Match::DestinationNetwork(network)], Action::Drop),
        rule(vec![Match::Source(name("some"))], Action::Drop),
        rule(vec![Match::SourceNetwork(network)], Action::Drop),
    ];
    let wanted = lower(&ruleset(Hook::Prerouting, rules)).unwrap();
    let raw = &wanted.families[0].raw;
    assert_eq!(raw.iter().map(|chain| chain.rules.len()).collect::<Vec<_>>(), [2]);
    assert_eq!(raw[0].rules[1].words[..2], ["-d", "127.0.0.0/8"]);
}

#[test]
fn texts_are_made_fit_and_counters_found_again() {
    assert_eq!(plain("a\"b\\c\nd", 100), "a'b'c d");
    assert_eq!(plain("日本語", 7), "日本");
    let mut counted = rule(vec![], Action::Pass);
    counted.counter = Some(name("allow_web"));
    assert_eq!(comment(&counted), "allow_web: x");
    assert_eq!(counter_of(&comment(&counted)), Some(name("allow_web")));
    assert_eq!(counter_of("allow 'a: b'"), None);
}

#[test]
fn rates_are_written_as_they_are_kept() {
    for (count, unit, expected) in [
        (10, RateUnit::Second, "10/sec"),
        (7, RateUnit::Minute, "7/min"),
        (60, RateUnit::Minute, "1/sec"),
        (9999, RateUnit::Second, "10000/sec"),
        (10_000, RateUnit::Day, "10000/day"),
    ] {
        assert_eq!(limit(Rate::new(count, unit).unwrap()), expected, "{count}/{unit:?}");
    }
}
