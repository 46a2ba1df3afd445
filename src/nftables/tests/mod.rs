//! Tests against the kernel, each in a network namespace of its own, and what they share.

mod apply;
mod failures;
mod order;
mod round_trip;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use dockfw_policy::address::{Address, AddressRange, Family, Range};
use dockfw_policy::interface::IfPattern;
use dockfw_policy::nft::{Chain, Counter, Direction, Elements, End, Ports, Rule, Set, Statement, Table};
use dockfw_policy::ruleset::{Hook, Origin, PortField, SetName};
use dockfw_policy::service::{PortRange, Transport};
use nix::sched::{CloneFlags, unshare};

use super::plan::Plan;
use super::*;

/// Runs a test in a network namespace of its own: in a thread that ends with it.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `nft` with this input in the namespace of the thread.
pub(crate) fn nft_with(arguments: &[&str], input: &str) -> String {
    let mut nft = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft");
    nft.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn nft(arguments: &str) -> String {
    nft_with(&arguments.split(' ').collect::<Vec<_>>(), "")
}

/// Returns the listing of our table, with the values of counters.
fn listing() -> String {
    nft("list table inet dockfw")
}

fn apply(table: &Table) -> Vec<String> {
    texts(&Nftables::default().apply_table(table).expect("applied"))
}

/// Returns how a table differs from `table`, in words.
fn differences(table: &Table) -> Vec<String> {
    texts(&Nftables::default().read_wanted(&encode(table).unwrap()).unwrap().differences)
}

/// Returns how many transactions there were.
fn generation() -> Generation {
    Nftables::default().read_live(&mut Socket::open().unwrap(), None, 0).ok().unwrap().generation
}

fn texts(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn set_name(name: &str) -> SetName {
    SetName::new(name).unwrap()
}

fn name(name: &str) -> IfPattern {
    IfPattern::Name(name.into())
}

fn prefix(prefix: &str) -> IfPattern {
    IfPattern::Prefix(prefix.into())
}

fn v4(ranges: &[&str]) -> Vec<Range<Ipv4Addr>> {
    let range = |text: &&str| match text.parse().unwrap() {
        AddressRange::V4(range) => range,
        AddressRange::V6(_) => panic!("{text} is not IPv4"),
    };
    ranges.iter().map(range).collect()
}

fn v6(ranges: &[&str]) -> Vec<Range<Ipv6Addr>> {
    let range = |text: &&str| match text.parse().unwrap() {
        AddressRange::V6(range) => range,
        AddressRange::V4(_) => panic!("{text} is not IPv6"),
    };
    ranges.iter().map(range).collect()
}

fn ports(first: u16, last: u16) -> PortRange {
    PortRange::new(first, last).unwrap()
}

/// Returns an element of a map.
fn jump(first: u16, last: u16) -> (PortRange, String) {
    (ports(first, last), "called".into())
}

fn set(name: &str, elements: Elements, interval: bool) -> Set {
    Set { name: name.into(), list: None, elements, interval, comment: format!("what {name} is") }
}

/// Returns a hash set and an interval set of each type.
fn sets() -> Vec<Set> {
    let networks = v4(&[
        "0.0.0.0/8",
        "10.0.0.0/30",
        "10.0.0.4/30",
        "192.0.2.1",
        "198.51.100.7-198.51.100.9",
        "255.255.255.0/24",
    ]);
    let names = vec![name("docker0"), name("docker_gwbridge"), prefix("br-")];
    vec![
        set("hosts4", Elements::Ipv4(v4(&["192.0.2.1", "255.255.255.255"])), false),
        set("nets4", Elements::Ipv4(networks), true),
        set("hosts6", Elements::Ipv6(v6(&["::1", "2001:db8::1"])), false),
        set("nets6", Elements::Ipv6(v6(&["2001:db8::/32", "fe80::/10", "ff00::/8"])), true),
        set("some_ports", Elements::Ports(vec![ports(22, 22), ports(80, 80)]), false),
        set("port_ranges", Elements::Ports(vec![ports(80, 80), ports(443, 500), ports(65000, 65535)]), true),
        set("exact", Elements::Interfaces(vec![name("eth0"), name("docker0")]), false),
        set("inside", Elements::Interfaces(names), true),
        set("single_jumps", Elements::Jumps(vec![jump(22, 22), jump(80, 80)]), false),
        set(
            "range_jumps",
            Elements::Jumps(vec![jump(80, 89), jump(90, 90), jump(443, 500), jump(65000, 65535)]),
            true,
        ),
    ]
}

fn rule(comment: &str, statements: Vec<Statement>) -> Rule {
    let origin = Origin { what: format!("allow \"{comment}\""), place: None };
    Rule { statements, comment: comment.into(), origin }
}

fn chain(name: &'static str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain { name: name.into(), hook, priority: Some(priority), rules }
}

fn port(transport: Transport, field: PortField, ports: Ports) -> Statement {
    Statement::Port { transport, field, ports }
}

fn address(end: End, network: &str) -> Statement {
    Statement::Address { end, network: network.parse().unwrap() }
}

fn source_in(family: Family, set: &str) -> Statement {
    Statement::AddressIn { end: End::Source, family, set: set.into() }
}

fn destination_in(family: Family, set: &str) -> Statement {
    Statement::AddressIn { end: End::Destination, family, set: set.into() }
}

fn interface_in(direction: Direction, set: &str, negated: bool) -> Statement {
    Statement::InterfaceIn { direction, set: set.into(), negated }
}

/// Returns a small table: two sets, a counter, an input chain with three rules.
fn small() -> Table {
    let count = || Statement::Counter(set_name("trusted"));
    let rules = vec![
        rule("established", vec![Statement::Established, Statement::Accept]),
        rule("trusted hosts", vec![source_in(Family::Ipv4, "hosts4"), count(), Statement::Accept]),
        rule("trusted networks", vec![source_in(Family::Ipv4, "nets4"), count(), Statement::Accept]),
    ];
    Table {
        counters: vec![Counter { name: set_name("trusted") }],
        sets: sets().into_iter().take(2).collect(),
        chains: vec![chain("input", Hook::Input, -10, rules)],
    }
}

/// Returns a table with a map from ranges of ports to chains of these names, which every second range shares.
fn mapped(names: &[&str]) -> Table {
    let targets = names.iter().map(|name| Chain {
        priority: None,
        ..chain(
            "",
            Hook::Input,
            0,
            vec![rule(name, vec![source_in(Family::Ipv4, "nets4"), Statement::Accept])],
        )
    });
    let targets = targets.zip(names).map(|(chain, name)| Chain { name: (*name).into(), ..chain });
    let jumps = (0..4u16).zip(names.iter().cycle());
    let jumps = jumps.map(|(n, name)| (ports(80 + 10 * n, 89 + 10 * n), (*name).to_owned())).collect();
    let map = Set::new("by_port", None, Elements::Jumps(jumps), true, "rules by port".into());
    let lead =
        Statement::Dispatch { transport: Transport::Tcp, field: PortField::Dialled, map: map.name.clone() };
    let leading = chain("input", Hook::Input, -10, vec![rule("by port", vec![lead])]);
    Table {
        counters: Vec::new(),
        sets: sets().into_iter().skip(1).take(1).chain([map]).collect(),
        chains: targets.chain([leading]).collect(),
    }
}

/// Returns `small` with one more host, in a set of another name, as a policy has that compiles to other sets.
fn small_with_a_host() -> Table {
    let mut table =
        small().with_sets_renamed(|name| (name == "hosts4").then(|| format!("{name}_0123456789")));
    table.sets[0].elements = Elements::Ipv4(v4(&["192.0.2.1", "203.0.113.9", "255.255.255.255"]));
    table
}

/// Returns a set of this many single addresses or networks.
fn many<A: Address>(count: u32, interval: bool) -> Vec<Range<A>> {
    let step = if interval { 4 } else { 1 };
    let network = |n: u32| {
        Range::network_of(A::from_number(u128::from(n) * step), if interval { A::BITS - 1 } else { A::BITS })
    };
    (1..=count).map(network).collect()
}
