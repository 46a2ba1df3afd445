use std::net::Ipv4Addr;

use dockfw_policy::address::{AddressRange, Range};
use dockfw_policy::policy::RateUnit;
use dockfw_policy::ruleset::{AddressList, HookRules, InterfaceList, PortField};
use dockfw_policy::service::{PortRange, Transport};
use dockfw_xtables::names::{INPUT, PREROUTING};

use super::*;

fn name(text: &str) -> SetName {
    SetName::new(text).unwrap()
}

fn rule(matches: Vec<Match>, action: Action) -> ruleset::Rule {
    let origin = Origin { what: "x".into(), place: None };
    ruleset::Rule { matches, action, counter: None, origin }
}

/// Returns a ruleset of these rules in one hook, with lists `one`, `two` and `all` of interfaces and `some` of
/// addresses.
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
        addresses: [some].into_iter().collect(),
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
    let (_, own) = wanted::HOOKS.into_iter().find(|(of, _)| *of == hook).unwrap();
    chains.mangle.into_iter().filter(|chain| chain.name.starts_with(own)).collect()
}

/// Returns the words of one passing rule's rows, without its comment and target.
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
    let own = [
        "-m pkttype --pkt-type unicast -m addrtype --src-type LOCAL",
        "-m pkttype ! --pkt-type unicast -m addrtype --dst-type LOCAL --src-type LOCAL",
    ];
    assert_eq!(input(Match::SourceIsOwn), own);
    assert_eq!(input(Match::HopLimit { family: Family::Ipv4, limit: 1 }), ["-m ttl --ttl-eq 1"]);
    assert_eq!(input(Match::HopLimit { family: Family::Ipv6, limit: 255 }), [""; 0]);
    assert_eq!(input(Match::Opening), ["-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"]);
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
fn a_destination_is_the_one_in_the_header_and_what_was_dialled_is_asked_of_connection_tracking() {
    let network = "127.0.0.0/8".parse().unwrap();
    assert_eq!(input(Match::DestinationNetwork(network)), ["-d 127.0.0.0/8"]);
    assert_eq!(input(Match::DialledNetwork(network)), ["-m conntrack --ctorigdst 127.0.0.0/8"]);
    assert_eq!(rows(Hook::Input, vec![Match::DialledNetwork(network)], Family::Ipv6), [""; 0]);
}

#[test]
fn each_hook_has_the_same_words() {
    let port = ports(PortField::Destination, &[(80, 80)]);
    for (hook, _) in wanted::HOOKS {
        assert_eq!(rows(hook, vec![port.clone()], Family::Ipv4), ["-p tcp -m multiport --dports 80"]);
    }
}

/// Returns the words of all rules, chain by chain.
fn words(chains: &[Chain]) -> Vec<(&str, Vec<String>)> {
    let words = |chain: &Chain| chain.rules.iter().map(|rule| rule.words.join(" ")).collect();
    chains.iter().map(|chain| (chain.name.as_str(), words(chain))).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn all_but_several_interfaces_goes_around_the_rules() {
    let not_two = |number| vec![Match::NotIn(name("two")), Match::Protocol(number)];
    let rules =
        vec![rule(not_two(50), Action::Pass), rule(not_two(47), Action::Drop), rule(vec![], Action::Pass)];
    let expected = [
        (
            "DOCKFW-USER",
            strings(&[
                "-i eth0 -g DOCKFW-USER-2",
                "-i br-+ -g DOCKFW-USER-2",
                "-p 50 -m comment --comment x -j RETURN",
                "-p 47 -m comment --comment x -j DROP",
                "-g DOCKFW-USER-2",
            ]),
        ),
        ("DOCKFW-USER-2", strings(&["-m comment --comment x -j RETURN"])),
    ];
    assert_eq!(words(&lowered(Hook::Forward, rules, Family::Ipv4)), expected);
}

#[test]
fn all_but_one_interface_goes_around_a_rule_that_names_another() {
    let not_one = |more: Match| vec![Match::NotIn(name("one")), more];
    let rules = vec![
        rule(not_one(Match::In(name("two"))), Action::Drop),
        rule(not_one(Match::Out(name("two"))), Action::Drop),
    ];
    let chains = lowered(Hook::Forward, rules, Family::Ipv4);
    let expected = [
        "-i eth0 -g DOCKFW-USER-2",
        "-i eth0 -m comment --comment x -j DROP",
        "-i br-+ -m comment --comment x -j DROP",
        "-o eth0 -m comment --comment x -j DROP",
        "-o br-+ -m comment --comment x -j DROP",
        "-g DOCKFW-USER-2",
    ];
    assert_eq!(words(&chains), [("DOCKFW-USER", strings(&expected)), ("DOCKFW-USER-2", vec![])]);
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
    let networks =
        ["10.0.0.0/8", "10.1.0.0/16"].map(|network| Match::SourceNetwork(network.parse().unwrap()));
    assert!(fault(networks.into()).contains("`-s`"));
    assert_eq!(rows(Hook::Input, vec![Match::In(name("one")), Match::Loopback], Family::Ipv4), [""; 0]);
}

#[test]
fn conditions_that_exclude_each_other_make_no_rule() {
    let udp =
        Match::Ports { transport: Transport::Udp, port: PortField::Source, ranges: vec![PortRange::ALL] };
    assert_eq!(rows(Hook::Input, vec![udp, ports(PortField::Source, &[(1, 2)])], Family::Ipv4), [""; 0]);
}

#[test]
fn table_filter_is_the_same_under_every_policy() {
    let drop = rule(vec![Match::Source(name("some"))], Action::Drop);
    for hook in wanted::HOOKS.map(|(hook, _)| hook) {
        let wanted = lower(&ruleset(hook, vec![drop.clone()])).unwrap();
        for chain in &wanted.families[0].filter {
            assert_eq!(chain.rules.len(), 1);
            assert_eq!(chain.rules[0].words.last().unwrap(), "RETURN");
        }
        assert_eq!(wanted.families[0].filter, wanted.families[1].filter);
    }
}

/// Returns the words of a chain's rules, as far as the comment.
fn begun(chains: &[Chain], name: &str) -> Vec<String> {
    let rules = chains.iter().filter(|chain| chain.name == name).flat_map(|chain| &chain.rules);
    let words = |rule: &Rule| rule.words.join(" ").replace("-m comment --comment x ", "");
    rules.map(words).collect()
}

#[test]
fn sources_are_checked_before_routing_behind_what_passes_in_their_hook() {
    let hooks = vec![
        HookRules { hook: Hook::Prerouting, rules: vec![rule(vec![Match::In(name("one"))], Action::Pass)] },
        HookRules {
            hook: Hook::Input,
            rules: vec![
                rule(vec![Match::Established], Action::Pass),
                rule(vec![Match::Protocol(2)], Action::Pass),
                rule(vec![Match::Protocol(50)], Action::Drop),
                rule(vec![Match::In(name("one")), Match::ReversePathFails], Action::Drop),
                rule(vec![Match::Protocol(47)], Action::Pass),
            ],
        },
    ];
    let wanted = lower(&Ruleset { hooks, ..ruleset(Hook::Input, vec![]) }).unwrap();
    let [v4, v6] = wanted.families.map(|family| family.mangle);
    let live = "-m conntrack --ctstate RELATED,ESTABLISHED -g DOCKFW-LIVE";
    assert_eq!(begun(&v4, PREROUTING), [live, "-i eth0 -g DOCKFW-SOURCES"]);
    let group = "-m addrtype --dst-type LOCAL,BROADCAST,MULTICAST";
    let expected = [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".into(),
        format!("-p 2 {group} -j RETURN"),
        format!("-i eth0 ! -s 0.0.0.0 -m rpfilter --invert {group} -j DROP"),
    ];
    assert_eq!(begun(&v4, SOURCES), expected);
    let drops: Vec<_> = begun(&v6, SOURCES).into_iter().filter(|words| words.ends_with("DROP")).collect();
    let expected = ["LOCAL,ANYCAST", "MULTICAST"]
        .map(|kinds| format!("-i eth0 -m rpfilter --invert -m addrtype --dst-type {kinds} -j DROP"));
    assert_eq!(drops, expected);
    assert_eq!(begun(&v4, INPUT).len(), 4, "nothing of it is asked at the input hook");
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
