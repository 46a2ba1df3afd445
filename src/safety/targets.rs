//! Rules whose `to` does not fit what answers at their ports on this host.

use std::collections::BTreeSet;

use dockfw_policy::policy::{AllowRule, Policy, Source, Target};
use dockfw_policy::service::Service;

use super::{listed, offers};
use crate::exposure::Facts;
use crate::message::Message;

/// The processes that hold published ports: of Docker, and of its routing mesh.
const DOCKERS: [&str; 2] = ["docker-proxy", "dockerd"];

/// Returns notes about rules for processes of the host if containers alone publish their ports, which the rules do not
/// open; and about rules for published ports if processes alone hold them, which the rules do open. Ports that nothing uses yet are no reason for a note.
pub(super) fn misdirected(policy: &Policy, facts: &Facts) -> Vec<Message> {
    policy.allow.iter().filter_map(|rule| misdirected_rule(rule, facts)).collect()
}

fn misdirected_rule(rule: &AllowRule, facts: &Facts) -> Option<Message> {
    let published = published(rule, facts);
    let held = held(rule, facts, &published);
    let name = &rule.name;
    match rule.to {
        // Docker's proxy, which containers reach, is a process of the host.
        Target::Host if held.is_empty() && !lets_containers(rule) => names(&published).map(|ports| {
            Message::new(format!(
                "the rule '{name}' is for processes of this host, but containers publish its ports: {ports}"
            ))
            .meaning("the rule does not open published ports")
            .help("to open them, write to = \"docker\"; to open both, remove `to`")
        }),
        Target::Docker if published.is_empty() => names(&known(held)).map(|ports| {
            Message::new(format!(
                "the rule '{name}' is for published ports, but processes of this host have its ports: {ports}"
            ))
            .meaning("the rule opens them all the same: dockfw can't tell docker-proxy, which answers for published ports, from other processes")
            .help("if they are to be open, write to = \"host\"; otherwise take them out of `ports`")
        }),
        Target::Any | Target::Host | Target::Docker | Target::Container | Target::Forward => None,
    }
}

/// A port, and who has it, if that is known.
type Held<'a> = BTreeSet<(Service, Option<&'a str>)>;

fn published<'a>(rule: &AllowRule, facts: &'a Facts) -> Held<'a> {
    let ports =
        facts.published.iter().filter_map(|port| Some((port.service()?, Some(port.container.as_str()))));
    ports.filter(|(service, _)| offers(&rule.services, *service)).collect()
}

/// Returns what processes of the host have of a rule's ports.
fn held<'a>(rule: &AllowRule, facts: &'a Facts, published: &Held<'_>) -> Held<'a> {
    let outside = facts.listeners.iter().filter(|listener| !listener.address.is_loopback());
    let ports = outside.filter_map(|listener| {
        Some((listener.service()?, listener.holder.as_ref().map(|holder| holder.name.as_str())))
    });
    let is_published = |service: Service| published.iter().any(|(port, _)| *port == service);
    let is_dockers = |name: &Option<&str>| name.is_some_and(|name| DOCKERS.contains(&name));
    ports
        .filter(|(service, name)| {
            offers(&rule.services, *service) && !is_published(*service) && !is_dockers(name)
        })
        .collect()
}

/// Returns those whose process is known: any other may be Docker's.
fn known(mut held: Held<'_>) -> Held<'_> {
    held.retain(|(_, name)| name.is_some());
    held
}

fn lets_containers(rule: &AllowRule) -> bool {
    matches!(rule.from, Source::These { containers: true, .. })
}

fn names(held: &Held<'_>) -> Option<String> {
    listed(held.iter().copied()).map(|(names, _)| names)
}

#[cfg(test)]
mod tests {
    use dockfw_policy::service::Transport;

    use super::*;
    use crate::fixtures::policy;
    use crate::host::listeners::Listener;
    use crate::host::processes::Holder;
    use crate::safety::tests::{published, texts};

    fn listener(address: &str, port: u16, name: &str) -> Listener {
        Listener {
            transport: Transport::Tcp,
            address: address.parse().unwrap(),
            port,
            takes_ipv4: false,
            interface: None,
            holder: Some(Holder { pid: 1, name: name.into(), container: None }),
        }
    }

    /// A host with nginx at 80, a local cache at 6379, and a container at 8080.
    fn host() -> Facts {
        Facts {
            published: vec![published("8080/tcp", "web")],
            listeners: vec![
                listener("0.0.0.0", 80, "nginx"),
                listener("127.0.0.1", 6379, "redis"),
                listener("0.0.0.0", 8080, "docker-proxy"),
            ],
            ..Facts::default()
        }
    }

    /// The notes about a rule with these keys.
    fn notes_on(facts: &Facts, keys: &str) -> Vec<String> {
        texts(misdirected(&policy(&format!("[[allow]]\nname = \"a\"\n{keys}")), facts))
    }

    fn notes(keys: &str) -> Vec<String> {
        notes_on(&host(), keys)
    }

    #[test]
    fn a_listener_whose_process_is_unknown_may_be_of_either_kind() {
        let mut facts = host();
        facts.listeners.iter_mut().for_each(|listener| listener.holder = None);
        let both = "ports = [\"80/tcp\", \"8080/tcp\"]\nto = \"host\"";
        assert_eq!(notes_on(&facts, both), [""; 0]);
        assert_eq!(notes_on(&facts, "ports = [\"80/tcp\"]\nto = \"docker\""), [""; 0]);
    }

    #[test]
    fn a_rule_for_the_host_does_not_open_what_a_container_publishes() {
        let [note] = notes("ports = [\"8080/tcp\"]\nto = \"host\"").try_into().unwrap();
        assert!(note.contains("containers publish its ports: 8080/tcp (web)\n"), "{note}");
        assert!(note.contains("write to = \"docker\""), "{note}");
    }

    #[test]
    fn a_rule_for_published_ports_opens_what_a_process_has() {
        let [note] = notes("ports = [\"1-1023/tcp\"]\nto = \"docker\"").try_into().unwrap();
        assert!(
            note.contains("have its ports: 80/tcp (nginx)\n") && note.contains("opens them all the same"),
            "{note}"
        );
    }

    #[test]
    fn a_rule_that_fits_something_or_nothing_at_all_is_not_named() {
        for keys in [
            "ports = [\"8080/tcp\"]",
            "ports = [\"8080/tcp\"]\nto = \"docker\"",
            "ports = [\"8080/tcp\"]\nto = \"container\"",
            "ports = [\"8080/tcp\"]\nto = \"host\"\nfrom = [\"containers\"]",
            "ports = [\"80/tcp\"]\nto = \"host\"",
            "ports = [\"80/tcp\", \"8080/tcp\"]\nto = \"host\"",
            "ports = [\"80/tcp\", \"8080/tcp\"]\nto = \"docker\"",
            "ports = [\"6379/tcp\"]\nto = \"docker\"",
            "ports = [\"8080/udp\"]\nto = \"host\"",
            "ports = [\"9000/tcp\"]\nto = \"host\"",
        ] {
            assert_eq!(notes(keys), [""; 0], "{keys}");
        }
    }
}
