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
        let rest = "ports = [\"1-21/tcp\", \"23-65535/tcp\", \"1-52/udp\", \"54-65535/udp\"]";
        assert!(warnings.contains(rest), "{warnings}");
    }
    for from in
        ["\"192.0.3.7\"", "\"office\", \"198.51.100.1\"", "\"office\", \"containers\"", "\"192.0.0.0/16\""]
    {
        assert_eq!(Memory::main(policy(from)).warnings(), "", "{from}");
    }
}

#[test]
fn what_the_recipe_says_is_a_policy() {
    let admin = rule("ssh", "from = [\"192.0.2.7\"]\nports = [\"22/tcp\"]");
    let others = rule(
        "others",
        "from = [\"192.0.2.0/24\"]\nports = [\"1-21/tcp\", \"23-65535/tcp\", \"1-65535/udp\"]",
    );
    assert_eq!(Memory::main(admin + &others).warnings(), "");
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
