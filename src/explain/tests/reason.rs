//! The reason as a sentence, for each kind of rule that may decide.

use super::*;

const POLICY: &str = r#"trusted = [
    "192.0.2.10",
]
blocked = ["192.0.2.40"]
interfaces = { exempt = ["wg0"], inside = ["virbr0"] }

[swarm]
peers = ["192.0.2.50"]

[[allow]]
name = "web"
ports = ["443/tcp"]

[[allow]]
name = "db"
from = ["192.0.2.0/27", "containers", "inside"]
ports = ["5432/tcp", "esp"]
"#;

fn lists(text: &str) -> Lists {
    let files = dockfw_policy::FilesInMemory::new([("dockfw.toml", text)]);
    dockfw_policy::lists("dockfw.toml".as_ref(), &files, dockfw_policy::Strictness::Strict).unwrap()
}

/// Returns why a packet of this sender on this interface gets through to the host, or does not.
fn reason(from: &str, incoming: &str, port: &str) -> String {
    reason_to(from, incoming, port, "192.0.2.1", &crate::fixtures::policy(POLICY))
}

fn reason_to(from: &str, incoming: &str, port: &str, to: &str, policy: &Policy) -> String {
    let mut facts = with_rules(facts(), DOCKERS);
    facts.links.push(link(7, "wg0", "wireguard"));
    facts.links.push(link(8, "virbr0", "bridge"));
    let question = Question {
        from: from.parse().unwrap(),
        service: port.parse().unwrap(),
        incoming: Some(incoming.into()),
        to: Some(to.parse().unwrap()),
    };
    let (ruleset, lists) = (compile(policy), lists(POLICY));
    let basis = Basis { rules: Rules { ruleset: &ruleset, by_name_alone: false }, lists: &lists };
    let explained = explain(basis, &facts, &Looks, &question).unwrap();
    let verdict = if explained.verdict == Verdict::Pass { "pass" } else { "drop" };
    format!("{verdict}: {}", explained.reason)
}

#[test]
fn the_reason_names_the_rule_or_the_list_with_its_line() {
    for (from, incoming, port, expected) in [
        ("192.0.2.66", "eth0", "443/tcp", "pass: rule `web` opens 443/tcp to everyone (dockfw.toml:10)"),
        ("192.0.2.9", "eth0", "5432/tcp", "pass: rule `db` opens 5432/tcp to 192.0.2.9 (dockfw.toml:14)"),
        ("192.0.2.9", "eth0", "esp", "pass: rule `db` opens esp to 192.0.2.9 (dockfw.toml:14)"),
        ("192.0.2.66", "eth0", "5432/tcp", "drop: no rule opens 5432/tcp to 192.0.2.66"),
        ("192.0.2.66", "eth0", "53/udp", "drop: no rule opens 53/udp to 192.0.2.66"),
        ("192.0.2.10", "eth0", "22/tcp", "pass: 192.0.2.10 is trusted (dockfw.toml:2)"),
        ("192.0.2.40", "eth0", "443/tcp", "drop: 192.0.2.40 is blocked (dockfw.toml:4)"),
        ("192.0.2.50", "eth0", "2377/tcp", "pass: 192.0.2.50 is another node of the Swarm"),
        ("192.0.2.66", "wg0", "22/tcp", "pass: interface wg0 is exempt"),
        ("192.0.2.66", "eth0", "ip/1", "pass: everyone may ping this host"),
        (
            "127.0.0.1",
            "eth0",
            "22/tcp",
            "drop: 127.0.0.1 is an address of this host itself, which no packet on eth0 can have",
        ),
    ] {
        assert_eq!(reason(from, incoming, port), expected, "{from} {incoming} {port}");
    }
}

#[test]
fn the_reason_tells_containers_from_inside_networks() {
    for (from, incoming, port, expected) in [
        (
            "172.17.0.9",
            "docker0",
            "5432/tcp",
            "pass: rule `db` opens 5432/tcp to containers (dockfw.toml:14)",
        ),
        ("172.17.0.9", "docker0", "22/tcp", "drop: no rule opens 22/tcp to containers, or to 172.17.0.9"),
        (
            "192.0.2.66",
            "docker0",
            "22/tcp",
            "drop: this host has no route to 192.0.2.66 by docker0, so the source is forged",
        ),
    ] {
        assert_eq!(reason(from, incoming, port), expected, "{from} {incoming} {port}");
    }
}

#[test]
fn forwarded_packets_have_reasons_too() {
    let policy = crate::fixtures::policy(POLICY);
    let ask = |from, incoming, port, to| reason_to(from, incoming, port, to, &policy);
    assert_eq!(
        ask("192.0.2.66", "eth0", "80/udp", "172.17.0.2"),
        "drop: no rule opens 80/udp of container web to 192.0.2.66"
    );
    assert_eq!(
        ask("172.17.0.9", "docker0", "80/tcp", "203.0.113.1"),
        "pass: containers may connect to everyone but their host"
    );
}

#[test]
fn without_rules_nothing_is_in_force() {
    let none = Ruleset::default();
    let rules = Rules { ruleset: &none, by_name_alone: false };
    let question = Question {
        from: [192, 0, 2, 10].into(),
        service: "22/tcp".parse().unwrap(),
        incoming: None,
        to: Some([192, 0, 2, 1].into()),
    };
    let explained = explain(under(rules), &facts(), &Looks, &question).unwrap();
    assert_eq!(explained.reason, "no policy is in force");
    assert!(explained.hooks.iter().all(|hook| hook.rule.is_none()));
}

#[test]
fn what_is_not_tracked_has_that_as_its_reason() {
    assert_eq!(
        dns_behind("-j CT --notrack").reason,
        "a rule of others excludes it from connection tracking, so no rule about ports lets it in"
    );
}

#[test]
fn rules_for_some_interfaces_and_rules_that_keep_their_ports_are_told_apart() {
    let policy = crate::fixtures::policy(
        "trusted = [\"192.0.2.10\"]
        [[allow]]
        name = \"ssh\"
        from = [\"192.0.2.20\"]
        ports = [\"22/tcp\"]
        only = true
        [[allow]]
        name = \"vpn\"
        in = [\"wg*\"]
        ports = [\"80/tcp\"]",
    );
    let ask = |from, incoming, port| reason_to(from, incoming, port, "192.0.2.1", &policy);
    let kept = "drop: rule `ssh` keeps 22/tcp for its own sources";
    assert_eq!(ask("192.0.2.10", "eth0", "22/tcp"), kept);
    // The early drop knows nothing but that no rule is for this source.
    assert_eq!(ask("192.0.2.66", "eth0", "22/tcp"), "drop: no rule opens 22/tcp to 192.0.2.66");
    assert!(ask("192.0.2.20", "eth0", "22/tcp").starts_with("pass: rule `ssh` opens 22/tcp to 192.0.2.20 ("));
    assert!(
        ask("192.0.2.66", "wg0", "80/tcp").starts_with("pass: rule `vpn` opens 80/tcp to everyone by wg0 (")
    );
    assert_eq!(ask("192.0.2.66", "eth0", "80/tcp"), "drop: no rule opens 80/tcp to 192.0.2.66");
}
