//! Rules whose `in` names interfaces that this host does not have, or from which everything passes anyway.

use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::{AllowRule, Policy};

use crate::host::links::Link;
use crate::message::Message;

/// Returns notes about such rules. An interface may come later, as a VPN's does.
pub(super) fn unusual(policy: &Policy, links: &[Link]) -> Vec<Message> {
    policy
        .allow
        .iter()
        .flat_map(|rule| [missing(rule, links), let_through(policy, rule, links)])
        .flatten()
        .collect()
}

fn missing(rule: &AllowRule, links: &[Link]) -> Option<Message> {
    let is_missing = |pattern: &&IfPattern| !links.iter().any(|link| pattern.matches(&link.name));
    let missing = names(rule.incoming.iter().filter(is_missing))?;
    Some(
        Message::new(format!(
            "rule `{}` is for interfaces that this host does not have now: {missing}",
            rule.name
        ))
        .meaning("it holds for them as soon as they are there"),
    )
}

fn let_through(policy: &Policy, rule: &AllowRule, links: &[Link]) -> Option<Message> {
    let passes = |name: &str| {
        let interfaces = &policy.interfaces;
        !interfaces.is_docker(name) && (interfaces.is_exempt(name) || !interfaces.covers(name))
    };
    let is_let_through = |pattern: &&IfPattern| {
        let mut matching = links.iter().filter(|link| pattern.matches(&link.name)).peekable();
        matching.peek().is_some() && matching.all(|link| passes(&link.name))
    };
    let exempt = names(rule.incoming.iter().filter(is_let_through))?;
    Some(
        Message::new(format!("rule `{}` is for interfaces that are not filtered: {exempt}", rule.name))
            .meaning("everything that comes in by them passes, whatever the rule says")
            .help("to filter them: take them out of `exempt` in [interfaces], and let `filtered` match them"),
    )
}

fn names<'a>(patterns: impl Iterator<Item = &'a IfPattern>) -> Option<String> {
    let names: Vec<_> = patterns.map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{link, policy};
    use crate::safety::tests::texts;

    /// The notes about a rule with this `in` on a host with an uplink and a VPN that is exempt.
    fn notes(incoming: &str) -> Vec<String> {
        let text = format!(
            "[[allow]]\nname = \"a\"\nin = [{incoming}]\nports = [\"80/tcp\"]\n[interfaces]\nexempt = [\"wg0\"]"
        );
        texts(unusual(&policy(&text), &[link(2, "eth0", ""), link(3, "wg0", "wireguard")]))
    }

    #[test]
    fn interfaces_that_are_there_and_filtered_are_not_named() {
        for usual in ["\"eth0\"", "\"e*\"", "\"eth*\", \"eth0\""] {
            assert_eq!(notes(usual), [""; 0], "{usual}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_yet_is_named() {
        let [note] = notes("\"eth0\", \"tailscale0\", \"tun*\"").try_into().unwrap();
        assert!(note.contains("does not have now: tailscale0, tun*"), "{note}");
    }

    #[test]
    fn an_interface_from_which_everything_passes_is_named() {
        let [note] = notes("\"wg*\", \"eth0\"").try_into().unwrap();
        assert!(note.contains("that are not filtered: wg*"), "{note}");
    }
}
