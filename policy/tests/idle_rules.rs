//! Rules that open nothing are named, with the reason; rules that open something are not.

#![allow(clippy::unwrap_used)]

mod common;

use common::Memory;

fn rule(name: &str, keys: &str) -> String {
    format!("[[allow]]\nname = \"{name}\"\n{keys}\n")
}

/// The warnings to a policy with these two rules.
fn of_two(first: &str, second: &str) -> String {
    Memory::main(rule("one", first) + &rule("two", second)).warnings()
}

#[test]
fn a_rule_for_trusted_sources_opens_nothing() {
    let policy = |from: &str| {
        let ssh = rule("ssh", &format!("from = [{from}]\nports = [\"22/tcp\", \"53/udp\"]"));
        format!("trusted = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n[groups]\noffice = [\"192.0.2.7\"]\n{ssh}")
    };
    for from in ["\"192.0.2.7\"", "\"office\"", "\"office\", \"2001:db8:1::/48\"", "\"192.0.2.0/24\""] {
        let warnings = Memory::main(policy(from)).warnings();
        assert!(
            warnings.contains("rule `ssh` opens nothing: all of its sources are in `trusted`"),
            "{warnings}"
        );
        assert!(warnings.contains("dockfw.toml:6:8"), "{warnings}");
        assert!(warnings.contains("add a line to the rule: only = true"), "{warnings}");
    }
    for from in
        ["\"192.0.3.7\"", "\"office\", \"198.51.100.1\"", "\"office\", \"containers\"", "\"192.0.0.0/16\""]
    {
        assert_eq!(Memory::main(policy(from)).warnings(), "", "{from}");
    }
}

#[test]
fn what_the_recipe_says_is_a_policy() {
    let ssh = rule("ssh", "from = [\"192.0.2.7\"]\nports = [\"22/tcp\"]\nonly = true");
    assert_eq!(Memory::main("trusted = [\"192.0.2.0/24\"]\n".to_owned() + &ssh).warnings(), "");
}

#[test]
fn a_rule_for_ports_that_another_one_keeps_for_itself_opens_nothing() {
    let ssh = "from = [\"192.0.2.7\"]\nports = [\"22/tcp\"]\nonly = true";
    for beaten in [
        "ports = [\"22/tcp\"]",
        "from = [\"192.0.2.8\"]\nports = [\"22/tcp\"]",
        "in = [\"wg0\"]\nports = [\"22/tcp\"]\nto = \"host\"",
    ] {
        for warnings in [of_two(ssh, beaten), of_two(beaten, ssh)] {
            assert!(warnings.contains("opens nothing: with `only`, the rule"), "{beaten}\n{warnings}");
        }
    }
    for other in [
        "ports = [\"22-23/tcp\"]",
        "ports = [\"22/udp\"]",
        "from = [\"192.0.2.8\"]\nports = [\"22/tcp\"]\nonly = true",
        "from = [\"192.0.2.8\"]\nports = [\"22/tcp\"]\nto = \"container\"",
    ] {
        assert_eq!(of_two(ssh, other), "", "{other}");
    }
}

#[test]
fn a_rule_for_some_interfaces_covers_no_rule_for_others() {
    let by = |patterns: &str| format!("in = [{patterns}]\nports = [\"22/tcp\"]");
    for (wide, narrow) in [("\"wg*\"", "\"wg0\", \"wg1\""), ("\"*\"", "\"wg0\""), ("\"wg0\"", "\"wg0\"")] {
        assert!(of_two(&by(wide), &by(narrow)).contains("opens nothing"), "{wide} {narrow}");
    }
    for (one, other) in [("\"wg0\"", "\"wg1\""), ("\"wg0\", \"eth0\"", "\"wg*\"")] {
        assert_eq!(of_two(&by(one), &by(other)), "", "{one} {other}");
    }
}

#[test]
fn a_rule_that_another_one_covers_opens_nothing() {
    for (wide, narrow) in [
        ("ports = [\"80/tcp\"]", "ports = [\"80/tcp\"]"),
        ("ports = [\"1-1023/tcp\"]", "from = [\"192.0.2.7\"]\nports = [\"80/tcp\", \"443/tcp\"]"),
        ("ports = [\"80/tcp\"]", "ports = [\"80/tcp\"]\nto = \"docker\""),
        ("ports = [\"80/tcp\"]", "from = [\"containers\"]\nports = [\"80/tcp\"]\nto = \"host\""),
        (
            "from = [\"192.0.2.0/24\"]\nports = [\"esp\", \"80/tcp\"]",
            "from = [\"192.0.2.7\"]\nports = [\"esp\"]",
        ),
    ] {
        let warnings = of_two(wide, narrow);
        assert!(warnings.contains("rule `two` opens nothing: rule `one` opens the same"), "{warnings}");
        assert_eq!(warnings.matches("opens nothing").count(), 1, "{warnings}");
    }
    let later = of_two("from = [\"192.0.2.7\"]\nports = [\"80/tcp\"]", "ports = [\"80/tcp\"]");
    assert!(later.contains("rule `one` opens nothing: rule `two`"), "{later}");
}

/// Of many rules, only those about the same port or the same source are asked.
#[test]
fn among_many_rules_the_one_that_covers_another_is_found() {
    const MANY: u8 = 200;
    let (of_port, of_source) = ("ports = [\"443/tcp\"]", "from = [\"192.0.2.1\"]\nports = ");
    let many = |keys: &dyn Fn(u8) -> String| -> String {
        (0..MANY).map(|n| rule(&format!("rule {n}"), &keys(n))).collect()
    };
    let own_sources = many(&|n| format!("from = [\"198.51.100.{n}\"]\n{of_port}"));
    let own_ports = many(&|n| format!("{of_source}[\"{n}0/tcp\"]").replace("[\"00/tcp\"]", "[\"1/tcp\"]"));
    let both = many(&|n| format!("from = [\"192.0.2.1\", \"198.51.100.{n}\"]\n{of_port}"));
    for (others, wide, narrow) in [
        (&own_sources, "from = [\"203.0.113.0/24\"]\nports = [\"400-500/tcp\"]", "from = [\"203.0.113.7\"]"),
        (
            &own_sources,
            "from = [\"203.0.113.1\", \"203.0.113.7\"]\nports = [\"443/tcp\"]",
            "from = [\"203.0.113.7\"]",
        ),
        (&own_ports, "ports = [\"443/tcp\"]", "from = [\"192.0.2.1\"]"),
        (&both, "from = [\"192.0.2.0/24\"]\nports = [\"443/tcp\"]", "from = [\"192.0.2.1\"]"),
    ] {
        let policy = rule("wide", wide) + others + &rule("narrow", &format!("{narrow}\n{of_port}"));
        let warnings = Memory::main(policy).warnings();
        assert!(warnings.contains("rule `narrow` opens nothing: rule `wide`"), "{wide}: {warnings}");
        assert_eq!(warnings.matches("opens nothing").count(), 1, "{wide}: {warnings}");
    }
}

#[test]
fn a_rule_that_opens_more_is_not_named() {
    for (one, other) in [
        ("ports = [\"80/tcp\"]\nto = \"host\"", "ports = [\"80/tcp\"]\nto = \"docker\""),
        ("ports = [\"80/tcp\"]", "ports = [\"80/tcp\"]\nto = \"container\""),
        ("ports = [\"80/tcp\"]", "ports = [\"80-81/tcp\"]\nfrom = [\"192.0.2.7\"]"),
        ("ports = [\"80/tcp\"]", "ports = [\"80/udp\"]"),
        ("ports = [\"80/tcp\"]", "ports = [\"80/tcp\", \"gre\"]\nfrom = [\"192.0.2.7\"]"),
        ("from = [\"192.0.2.7\"]\nports = [\"80/tcp\"]", "from = [\"192.0.2.8\"]\nports = [\"80/tcp\"]"),
        ("from = [\"192.0.2.7\"]\nports = [\"80/tcp\"]", "from = [\"containers\"]\nports = [\"80/tcp\"]"),
    ] {
        assert_eq!(of_two(one, other), "", "{one} and {other}");
    }
}

#[test]
fn a_rule_for_the_address_that_stands_for_none_opens_nothing() {
    for from in ["\"0.0.0.0\"", "\"::\"", "\"::\", \"0.0.0.0/32\""] {
        let warnings =
            Memory::main(rule("web", &format!("from = [{from}]\nports = [\"80/tcp\"]"))).warnings();
        assert!(warnings.contains("rule `web` opens nothing: nobody has this address"), "{warnings}");
        assert!(warnings.contains("dockfw.toml:3:8") && warnings.contains("0.0.0.0/0"), "{warnings}");
    }
    for keys in [
        "from = [\"0.0.0.0/0\"]\nports = [\"80/tcp\"]",
        "from = [\"0.0.0.0\", \"192.0.2.7\"]\nports = [\"80/tcp\"]",
        "from = [\"0.0.0.0\"]\nports = [\"67/udp\"]",
    ] {
        assert_eq!(Memory::main(rule("web", keys)).warnings(), "", "{keys}");
    }
}
