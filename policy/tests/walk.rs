//! What the walker says of packets, and that its two questions agree.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::IpAddr;

use common::Memory;
use dockfw_policy::compile::{EarlyDrop, compile, compile_with};
use dockfw_policy::reverse_path::before_translation;
use dockfw_policy::ruleset::{Hook, Ruleset};
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{
    Connection, Interface, Packet, Path, Payload, Sender, Translation, USUAL_HOP_LIMIT, Verdict, audience,
    explain_path, verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn ruleset(policy: &str) -> Ruleset {
    compile(&Memory::main(policy).policy())
}

fn interface(name: &str, is_bridge: bool) -> Interface {
    Interface { name: name.into(), is_bridge }
}

/// A SYN to a process of the host at 198.51.100.1, from outside.
fn to_host(port: u16) -> Path {
    Path {
        destination: "198.51.100.1".parse().unwrap(),
        payload: Payload::Ports { transport: Transport::Tcp, source: 40000, destination: port, opens: true },
        hop_limit: USUAL_HOP_LIMIT,
        translated: None,
        incoming: interface("eth0", false),
        outgoing: None,
        connection: Connection::New,
    }
}

/// The same by UDP.
fn by_udp(path: Path) -> Path {
    let Payload::Ports { source, destination, .. } = path.payload else { return path };
    let payload = Payload::Ports { transport: Transport::Udp, source, destination, opens: false };
    Path { payload, ..path }
}

/// A SYN to a container.
fn to_container(port: u16, own: u16, is_published: bool) -> Path {
    let address = "172.17.0.2".parse().unwrap();
    let translated = is_published.then_some(Translation { address, port: own });
    let outgoing = Some(interface("docker0", true));
    Path { outgoing, translated, ..to_host(port) }
}

fn from(address: &str, path: &Path) -> Packet {
    let address: IpAddr = address.parse().unwrap();
    let sender = Sender { address, is_own: address == path.destination, reverse_path_fails: false };
    Packet { sender, path: path.clone() }
}

const POLICY: &str = r#"
trusted = ["192.0.2.10"]
blocked = ["192.0.2.40"]

[[allow]]
name  = "web"
ports = ["80/tcp"]

[[allow]]
name  = "db"
from  = ["192.0.2.30", "containers"]
ports = ["5432/tcp"]

[[allow]]
name  = "own"
ports = ["8000/tcp"]
to    = "container"
"#;

/// What decides, as `hook verdict what place`.
fn story(policy: &str, packet: &Packet) -> Vec<String> {
    let ruleset = ruleset(policy);
    let line = |decision: &dockfw_policy::walk::Decision<'_>| {
        let origin = &decision.by.unwrap().rule.origin;
        let line = origin.place.as_ref().map_or(String::new(), |place| format!(" :{}", place.line));
        format!("{:?} {:?} {}{line}", decision.hook, decision.verdict, origin.what)
    };
    explain_path(&ruleset, packet)
        .iter()
        .map(|decision| match decision.by {
            Some(_) => line(decision),
            None => format!("{:?} {:?}", decision.hook, decision.verdict),
        })
        .collect()
}

#[test]
fn the_rule_that_decides_is_named_with_its_line() {
    let story = |packet: Packet| story(POLICY, &packet);
    let (web, judged) = ("Prerouting Pass allow 'web' :5", "Tracked Pass TCP SYNs, judged already");
    assert_eq!(story(from("192.0.2.20", &to_host(80))), [web, judged, "Input Pass allow 'web' :5"]);
    let trusted = "Prerouting Pass trusted";
    assert_eq!(story(from("192.0.2.10", &to_host(22))), [trusted, judged, "Input Pass trusted"]);
    // It might be translated to the container's own port.
    let own = "Prerouting Pass allow 'own' :14";
    assert_eq!(story(from("192.0.2.20", &to_host(22))), [own, judged, "Input Drop the rest"]);
    assert_eq!(
        story(from("192.0.2.20", &by_udp(to_host(22)))),
        ["Prerouting Pass all but TCP SYNs", "Tracked Drop early drop of the rest"]
    );
    assert_eq!(story(from("192.0.2.40", &to_host(80))), ["Prerouting Drop blocked"]);
    assert_eq!(story(from("198.51.100.1", &to_host(80))), ["Prerouting Drop impossible address"]);
}

#[test]
fn containers_go_by_what_was_dialled_or_by_their_own_port() {
    let last = |path: Path| story(POLICY, &from("192.0.2.20", &path)).pop().unwrap();
    assert_eq!(last(to_container(80, 8080, true)), "Forward Pass allow 'web' :5");
    assert_eq!(last(to_container(8080, 80, true)), "Forward Drop the rest");
    // By direct routing nothing was dialled that a rule for published ports means.
    assert_eq!(last(to_container(80, 80, false)), "Forward Drop the rest");
    assert_eq!(last(to_container(8000, 8000, false)), "Forward Pass allow 'own' :14");
    assert_eq!(last(to_container(1, 8000, true)), "Forward Pass allow 'own' :14");
    let docker = interface("docker0", true);
    let outbound = Path { incoming: docker.clone(), ..to_container(1, 1, false) };
    assert_eq!(last(outbound), "Forward Pass from Docker's bridges");
    assert_eq!(last(Path { incoming: docker, ..to_host(22) }), "Input Drop containers to the host");
    // The name alone makes no bridge of Docker's.
    let alike = Path { incoming: interface("br-lan", false), ..to_container(1, 1, false) };
    assert_eq!(last(alike), "Forward Drop the rest");
}

#[test]
fn a_check_before_routing_does_not_wait_for_the_outgoing_interface() {
    let eth1 = interface("eth1", true);
    let path = Path { incoming: eth1.clone(), outgoing: Some(eth1), ..to_container(80, 80, false) };
    let forged =
        Packet { sender: Sender { reverse_path_fails: true, ..from("192.0.2.20", &path).sender }, path };
    for drops in [false, true] {
        let ruleset = ruleset(&format!("[interfaces]\ninside = [\"eth1\"]\n[log]\ndrops = {drops}\n"));
        assert_eq!(verdict(&ruleset, &forged), Verdict::Pass, "log {drops}");
        assert_eq!(verdict(&before_translation(ruleset), &forged), Verdict::Drop, "log {drops}");
    }
}

#[test]
fn what_is_not_tracked_has_no_dialled_port() {
    let path = Path { connection: Connection::None, ..to_host(80) };
    assert_eq!(verdict(&ruleset(POLICY), &from("192.0.2.20", &path)), Verdict::Drop);
    let live = Path { connection: Connection::Live, ..to_host(22) };
    assert_eq!(verdict(&ruleset(POLICY), &from("192.0.2.20", &live)), Verdict::Pass);
}

/// Who gets through, by the rules that let them.
fn by(policy: &str, path: &Path) -> Vec<String> {
    let ruleset = ruleset(policy);
    let audience = audience(&ruleset, path);
    audience.admitted.iter().map(|admission| admission.by.unwrap().rule.origin.what.clone()).collect()
}

#[test]
fn an_audience_is_named_by_the_rules_that_let_it_through() {
    assert_eq!(by(POLICY, &to_host(80)), ["allow 'web'"]);
    assert!(audience(&ruleset(POLICY), &to_host(80)).is_everyone());
    assert_eq!(by(POLICY, &to_host(5432)), ["trusted", "allow 'db'"]);
    assert!(!audience(&ruleset(POLICY), &to_host(5432)).is_everyone());
    assert_eq!(by(POLICY, &to_host(22)), ["trusted"]);
    assert_eq!(by(POLICY, &to_container(80, 1, true)), ["allow 'web'"]);
    assert_eq!(by(POLICY, &to_container(80, 80, false)), ["trusted"]);
    let container = Path { incoming: interface("docker0", true), ..to_host(5432) };
    // By the address or by the bridge, and the bridge is what is asked about.
    assert!(audience(&ruleset(POLICY), &container).is_everyone());
    let v6 = Path { destination: "2001:db8::1".parse().unwrap(), ..to_host(22) };
    assert!(audience(&ruleset(POLICY), &v6).is_nobody());
}

/// The prefilter is in the way too, and changes nothing.
/// Each is let in by one rule of either hook: not by each of one with each of the other, which would be ten million.
#[test]
fn thousands_of_rules_about_one_port_let_in_as_many() {
    let rule = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let from = format!("\"10.0.{high}.{low}\", \"10.1.{high}.{low}\"");
        format!("[[allow]]\nname = \"{n}\"\nfrom = [{from}]\nports = [\"443/tcp\"]\n")
    };
    let ruleset = ruleset(&(0..3000).map(rule).collect::<String>());
    for path in [to_host(443), to_container(443, 8443, true)] {
        assert_eq!(audience(&ruleset, &path).admitted.len(), 3000);
    }
}

#[test]
fn an_audience_is_the_same_with_and_without_the_prefilter() {
    let policy = POLICY.replace("to    = \"container\"", "");
    let without = format!("{policy}\n[engine]\nprefilter = false\n");
    for path in [to_host(80), to_host(22), to_host(5432), to_container(80, 1, true)] {
        assert_eq!(by(&policy, &path), by(&without, &path));
        assert!(!by(&policy, &path).is_empty());
    }
}

/// Found by random packets: rules for peers went by the port after translation, which the prefilter can't see.
#[test]
fn a_port_redirected_to_swarms_is_closed_to_peers_with_and_without_the_prefilter() {
    let policy = "[swarm]\npeers = [\"192.0.2.50\"]\n[engine]\nprefilter = ";
    let [with, without] = [true, false].map(|on| ruleset(&format!("{policy}{on}\n")));
    let own = to_host(2377);
    let translated = Some(Translation { address: own.destination, port: 2377 });
    let redirected = Path { translated, ..to_host(9000) };
    for (path, expected) in [(own, Verdict::Pass), (redirected, Verdict::Drop)] {
        let packet = from("192.0.2.50", &path);
        assert_eq!([verdict(&with, &packet), verdict(&without, &packet)], [expected; 2]);
    }
}

/// As with `DNAT --to 127.0.0.1`, and `route_localnet`.
#[test]
fn what_is_translated_to_a_loopback_address_is_open_to_whom_a_rule_lets_in() {
    let ruleset = ruleset(POLICY);
    let at_loopback = |dialled: &str, port| {
        let translated = Some(Translation { address: "127.0.0.1".parse().unwrap(), port: 8080 });
        Path { destination: dialled.parse().unwrap(), translated, ..to_host(port) }
    };
    let verdict = |path: &Path| verdict(&ruleset, &from("192.0.2.20", path));
    assert_eq!(verdict(&at_loopback("198.51.100.1", 80)), Verdict::Pass);
    assert_eq!(verdict(&at_loopback("198.51.100.1", 22)), Verdict::Drop);
    assert_eq!(verdict(&at_loopback("127.0.0.1", 80)), Verdict::Drop);
}

const V4: &[&str] = &[
    "10.0.0.1",
    "10.0.0.9",
    "10.0.1.1",
    "10.0.2.1",
    "127.0.0.1",
    "198.51.100.1",
    "172.17.0.9",
    "224.0.0.22",
];
const V6: &[&str] = &["fd00::1", "fd00::9", "fd00:1::1", "fe80::7", "::1", "2001:db8::1", "ff02::16"];
const LISTED: &[&str] = &["10.0.0.1", "10.0.0.0/24", "10.0.1.0-10.0.2.9", "10.0.2.1", "fd00::1", "fd00::/64"];
const PORTS: &[u16] = &[22, 53, 80, 547, 546, 67, 68, 2377, 4789, 7946, 8080];
const SERVICES: &[&str] = &["22/tcp", "53/udp", "80/tcp", "80/udp", "8080-8090/tcp", "80/sctp", "esp"];
const INTERFACES: &[(&str, bool)] =
    &[("lo", false), ("eth0", false), ("eth1", false), ("wg0", false), ("docker0", true), ("br-1", false)];

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn allow() -> impl Strategy<Value = String> {
    let to = ["", "to = \"host\"", "to = \"docker\"", "to = \"container\"", "to = \"forward\""];
    let to = select(to.to_vec());
    let from = prop_oneof![
        Just(vec![]),
        subsequence(LISTED, 1..3),
        Just(vec!["containers"]),
        Just(vec!["inside"]),
        Just(vec!["inside", "10.0.2.1"]),
        Just(vec!["containers", "10.0.0.9"])
    ];
    let arrivals = ["", "in = [\"eth0\"]", "in = [\"wg*\", \"br-1\"]", "in = [\"docker0\"]"];
    let more = (select(arrivals.to_vec()), any::<bool>());
    (to, from, subsequence(SERVICES, 1..4), more).prop_map(|(to, from, ports, (by, only))| {
        let is_for_everyone = from.is_empty() && by.is_empty();
        let from = if from.is_empty() { String::new() } else { format!("from = [{}]\n", list(&from)) };
        let only = if only && !is_for_everyone { "only = true\n" } else { "" };
        format!("{from}{by}\nports = [{}]\n{to}\n{only}", list(&ports))
    })
}

/// Everything but `[engine]`.
fn policy() -> impl Strategy<Value = String> {
    let sources = || subsequence(LISTED, 0..3);
    let interfaces = select(vec![
        "",
        "exempt = [\"wg0\"]",
        "filtered = [\"eth*\"]",
        "filtered = [\"eth0\"]\nexempt = [\"wg*\"]",
        "docker = []",
        "inside = [\"eth1\"]",
        "inside = [\"eth1\", \"wg*\"]\ncrossing = [\"eth0\"]",
        "filtered = [\"eth0\"]\ninside = [\"wg0\"]\nexempt = [\"eth1\"]",
        "docker = []\ninside = [\"docker0\"]\ncrossing = [\"eth*\"]",
    ]);
    let rest = (interfaces, sources(), select(vec!["accept", "trusted"]), any::<bool>());
    (sources(), sources(), vec(allow(), 0..4), rest).prop_map(
        |(trusted, blocked, allow, (interfaces, peers, echo, log))| {
            let allow = allow.iter().enumerate();
            let allow: String = allow.map(|(n, rule)| format!("[[allow]]\nname = \"{n}\"\n{rule}")).collect();
            format!(
                "trusted = [{}]\nblocked = [{}]\n{allow}[interfaces]\n{interfaces}\n[swarm]\npeers = [{}]\n\
                 [icmp]\necho = \"{echo}\"\n[log]\ndrops = {log}\n",
                list(&trusted),
                list(&blocked),
                list(&peers)
            )
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    let port = || select(PORTS);
    let ports = (select(&Transport::ALL[..]), port(), port(), any::<bool>()).prop_map(
        |(transport, source, destination, opens)| Payload::Ports { transport, source, destination, opens },
    );
    let icmp = select(vec![0, 3, 8, 128, 130, 135, 143]).prop_map(Payload::Icmp);
    prop_oneof![6 => ports, 1 => icmp, 1 => select(vec![2, 47, 50]).prop_map(Payload::Other)]
}

fn an_interface() -> impl Strategy<Value = Interface> {
    select(INTERFACES).prop_map(|(name, is_bridge)| interface(name, is_bridge))
}

/// What Docker or an operator translates to: a container, or the host itself.
fn translation(is_v4: bool, forwarded: bool) -> impl Strategy<Value = Option<Translation>> {
    let address: IpAddr = match (is_v4, forwarded) {
        (true, true) => "172.17.0.2",
        (true, false) => "127.0.0.1",
        (false, true) => "fd00:d0c::2",
        (false, false) => "2001:db8::1",
    }
    .parse()
    .unwrap();
    proptest::option::of(select(PORTS).prop_map(move |port| Translation { address, port }))
}

fn path() -> impl Strategy<Value = Path> {
    let connection = select(vec![Connection::New, Connection::Live, Connection::None]);
    (any::<bool>(), proptest::option::of(an_interface()))
        .prop_flat_map(move |(is_v4, outgoing)| {
            let destinations = if is_v4 { V4 } else { V6 };
            let translated = translation(is_v4, outgoing.is_some());
            let hop_limit = select(vec![USUAL_HOP_LIMIT, u8::MAX, 1]);
            let payload = (payload(), hop_limit);
            (select(destinations), payload, translated, an_interface(), Just(outgoing), connection.clone())
        })
        .prop_map(|(destination, (payload, hop_limit), translated, incoming, outgoing, connection)| {
            let destination = destination.parse().unwrap();
            Path { destination, payload, hop_limit, translated, incoming, outgoing, connection }
        })
}

fn senders(path: &Path) -> Vec<Sender> {
    let addresses = if path.destination.is_ipv4() { V4 } else { V6 };
    let own: [IpAddr; 2] = ["198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let sender = |(address, reverse_path_fails): (&&str, bool)| {
        let address = address.parse().unwrap();
        Sender { address, is_own: own.contains(&address), reverse_path_fails }
    };
    addresses.iter().flat_map(|address| [(address, false), (address, true)]).map(sender).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whom the audience admits is who gets through.
    #[test]
    fn audience_and_verdict_agree(policy in policy(), path in path()) {
        let ruleset = ruleset(&policy);
        let audience = audience(&ruleset, &path);
        for sender in senders(&path) {
            let packet = Packet { sender, path: path.clone() };
            let passes = verdict(&ruleset, &packet) == Verdict::Pass;
            prop_assert_eq!(audience.admits(&ruleset, sender), passes, "{:?}", sender);
        }
    }

    /// On whole ways, the prefilter changes no verdict. (A SYN that connection tracking takes for part of a live
    /// connection is not looked at: where the policy allows its port no more, the prefilter drops it.)
    #[test]
    fn the_prefilter_changes_no_verdict(policy in policy(), path in path()) {
        let opens = matches!(path.payload, Payload::Ports { transport: Transport::Tcp, opens: true, .. });
        prop_assume!(!(opens && path.connection == Connection::Live));
        let [with, without] = [true, false].map(|on| ruleset(&format!("{policy}[engine]\nprefilter = {on}\n")));
        for sender in senders(&path) {
            let packet = Packet { sender, path: path.clone() };
            prop_assert_eq!(verdict(&with, &packet), verdict(&without, &packet), "{:?}", sender);
        }
    }

    /// What connection tracking knows is dropped early for no reason but those of later hooks: here there is no exception.
    #[test]
    fn the_early_drop_after_connection_tracking_changes_no_verdict(policy in policy(), path in path()) {
        let policy = Memory::main(&policy).policy();
        let [with, without] = [EarlyDrop::Tracked, EarlyDrop::Nothing].map(|drop| compile_with(&policy, drop));
        for sender in senders(&path) {
            let packet = Packet { sender, path: path.clone() };
            prop_assert_eq!(verdict(&with, &packet), verdict(&without, &packet), "{:?}", sender);
        }
    }

    /// What the earlier hooks drop of new connections, the last ones drop too: a packet may meet them under another policy than
    /// the earlier ones. (Of live ones, the first alone drops what is blocked. What comes in by `lo` is never forwarded. Of frames that
    /// only cross a bridge, the first alone drops those of impossible addresses, as it does under every policy.)
    #[test]
    fn no_hook_relies_on_what_an_earlier_one_drops(policy in policy(), path in path()) {
        let path = Path { connection: Connection::New, ..path };
        let may_cross = |interface: &Interface| interface.name.starts_with("eth");
        prop_assume!(path.outgoing.as_ref().is_none_or(|out| !may_cross(out) || !may_cross(&path.incoming)));
        prop_assume!(path.incoming.name != "lo" || path.outgoing.is_none());
        let whole = ruleset(&policy);
        let mut later = whole.clone();
        later.hooks.retain(|rules| !matches!(rules.hook, Hook::Prerouting | Hook::Tracked));
        for sender in senders(&path) {
            let packet = Packet { sender, path: path.clone() };
            prop_assert_eq!(verdict(&later, &packet), verdict(&whole, &packet), "{:?}", sender);
        }
    }

    /// Logging decides nothing, and a rule that decides is one of its hook's.
    #[test]
    fn a_decider_is_at_its_place(policy in policy(), path in path()) {
        let ruleset = ruleset(&policy);
        for sender in senders(&path) {
            for decision in explain_path(&ruleset, &Packet { sender, path: path.clone() }) {
                let rules = &ruleset.hooks.iter().find(|hook| hook.hook == decision.hook).unwrap().rules;
                if let Some(by) = decision.by {
                    prop_assert_eq!(rules.get(by.index), Some(by.rule));
                }
                prop_assert!(decision.by.is_some() || decision.hook == Hook::Prerouting);
            }
        }
    }
}
