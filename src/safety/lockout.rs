//! Whether a policy would shut its operator out (S14). Pure: the compiled ruleset decides on the operator's next
//! connection.

use std::net::SocketAddr;

use dockfw_policy::compile::names;
use dockfw_policy::policy::{Policy, Source};
use dockfw_policy::ruleset::{Hook, Ruleset};
use dockfw_policy::service::Transport;
use dockfw_policy::walk::{
    Connection, Decision, Interface, Packet, Path, Payload, Sender, Translation, USUAL_HOP_LIMIT, Verdict,
    explain, explain_path,
};

use crate::exposure::part;
use crate::message::Message;

/// How a policy that lets nobody in gets its first trusted address.
const TRUST: &str = "write your own address at the top of the file, in place of any `trusted` there:\ntrusted = [\"203.0.113.7\"]";
/// How it opens its first port.
const OPEN: &str = "or open SSH to everyone, at the end of the file:\n[[allow]]\nname  = \"ssh\"\nports = [\"22/tcp\"]\nto    = \"host\"";

/// The operator's connection, and how it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The operator's end.
    pub(crate) client: SocketAddr,
    /// This host's end, as the operator dialled it.
    pub(crate) dialled: SocketAddr,
    /// What that was translated to, if it was.
    pub(crate) translated: Option<Translation>,
    /// The interface that it arrives on.
    pub(crate) interface: Interface,
}

/// Returns why the operator, who is connected like this, could not connect again, with the rule to add; nothing if it
/// works.
pub(crate) fn objection(ruleset: &Ruleset, arrival: &Arrival) -> Option<Message> {
    let packet = opening(arrival);
    let drop = reason(ruleset, &packet)?;
    let client = arrival.client.ip();
    let rule = drop.by.map_or("", |by| by.rule.origin.what.as_str());
    let message = Message::new(format!(
        "you are connected from {client} to port {}/tcp, and could not connect again",
        arrival.dialled.port(),
    ))
    .meaning(format!("a new connection would be dropped at hook {} ({rule})", drop.hook));
    Some(with_help(message, &drop, arrival))
}

/// Returns what drops a packet for the host, if anything does. The early drop only comes before a later hook with a reason.
fn reason<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Option<Decision<'a>> {
    let last = explain_path(ruleset, packet).pop().filter(|decision| decision.verdict == Verdict::Drop)?;
    let is_early = last.by.is_some_and(|by| by.rule.counter == Some(names::DROP_EARLY));
    Some(if is_early { explain(ruleset, Hook::Input, packet) } else { last })
}

/// Returns the packet that opens the operator's next connection.
fn opening(arrival: &Arrival) -> Packet {
    let Arrival { client, dialled, translated, interface } = arrival;
    let payload = Payload::Ports {
        transport: Transport::Tcp,
        source: client.port(),
        destination: dialled.port(),
        opens: true,
    };
    Packet {
        sender: Sender {
            address: client.ip(),
            is_own: client.ip() == dialled.ip(),
            // The answers have a route, or there was no connection.
            reverse_path_fails: false,
        },
        path: Path {
            destination: dialled.ip(),
            payload,
            hop_limit: USUAL_HOP_LIMIT,
            translated: *translated,
            incoming: interface.clone(),
            outgoing: None,
            connection: Connection::New,
        },
    }
}

fn with_help(message: Message, drop: &Decision<'_>, arrival: &Arrival) -> Message {
    let what = drop.by.map_or("", |by| by.rule.origin.what.as_str());
    let client = arrival.client.ip();
    let allow = |from: &str| {
        format!(
            "[[allow]]\nname  = \"ssh\"\nfrom  = [\"{from}\"]\nports = [\"{}/tcp\"]\nto    = \"host\"",
            arrival.dialled.port()
        )
    };
    if let Some(rule) = what.strip_prefix("others than ").map(part) {
        return message.help(format!(
            "{rule} keeps this port for its own sources (`only`): add \"{client}\" to its `from`"
        ));
    }
    match (drop.hook, what) {
        (_, "blocked") => message.help(format!("remove {client} from `blocked`")),
        (Hook::Input, "containers to the host") => message.help(format!(
            "your address is in Docker's network {}; add a rule for containers:\n{}",
            arrival.interface.name,
            allow("containers")
        )),
        _ => message
            .help(format!("add a rule for this port:\n{}", allow(&client.to_string())))
            .help(format!(
                "or trust the address, for all ports; add it to `trusted`, or write this above the first [..]:\ntrusted = [\"{client}\"]"
            )),
    }
}

/// Returns why nobody at all could connect to the host, if so: the policy is likely to be unfinished.
pub(crate) fn shuts_everyone_out(policy: &Policy) -> Option<Message> {
    let has_inside = !policy.interfaces.inside.is_empty();
    let is_open = policy.allow.iter().any(|rule| match &rule.from {
        Source::Everyone => true,
        Source::These { lists, inside, .. } => !lists.is_empty() || *inside && has_inside,
    });
    let filters_all = policy.interfaces.filtered.iter().any(|pattern| pattern.is_any());
    let has_way_in = is_open || !policy.trusted.is_empty() || !policy.interfaces.exempt.is_empty();
    (filters_all && !has_way_in).then(|| {
        Message::new("the policy trusts nobody and opens no port")
            .meaning("under this policy, nobody can open a new connection to this host")
            .help(TRUST)
            .help(OPEN)
            .help("to see a policy for what runs on this host: dockfw init --print")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::policy;
    use dockfw_policy::compile::compile;

    fn arrival(client: &str, interface: &str) -> Arrival {
        let client: SocketAddr = client.parse().unwrap();
        let dialled = if client.is_ipv4() { "192.0.2.1:22" } else { "[2001:db8:1::1]:22" };
        let interface = Interface { name: interface.into(), is_bridge: interface.starts_with("docker") };
        Arrival { client, dialled: dialled.parse().unwrap(), translated: None, interface }
    }

    fn objects(text: &str, client: &str, interface: &str) -> Option<String> {
        objection(&compile(&policy(text)), &arrival(client, interface)).map(|message| message.to_string())
    }

    /// Nobody is let in.
    const CLOSED: &str = "blocked = [\"198.51.100.1\"]";
    const CLIENT: &str = "203.0.113.7:50000";

    #[test]
    fn who_could_not_connect_again_is_told_the_rule_to_add() {
        let said = objects("trusted = [\"192.0.2.10\"]", CLIENT, "eth0").unwrap();
        for part in ["from 203.0.113.7 to port 22/tcp", "\"22/tcp\"", "trusted = [\"203.0.113.7\"]"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(objects("trusted = [\"192.0.2.10\"]", "[2001:db8::7]:1", "eth0").is_some());
        let web = "[[allow]]\nname = \"web\"\nports = [\"80/tcp\"]";
        assert!(objects(web, CLIENT, "eth0").is_some());
    }

    #[test]
    fn the_rule_to_add_lets_the_operator_in() {
        for client in [CLIENT, "[2001:db8::7]:50000"] {
            let said = objects("trusted = [\"192.0.2.10\"]", client, "eth0").unwrap();
            let rule = said.split_once("[[allow]]").unwrap().1.split_once("\n  help:").unwrap().0;
            assert_eq!(objects(&format!("[[allow]]{rule}"), client, "eth0"), None);
        }
        let said = objects("trusted = [\"192.0.2.10\"]", "172.17.0.2:50000", "docker0").unwrap();
        let rule = said.split_once("[[allow]]").unwrap().1;
        assert_eq!(objects(&format!("[[allow]]{rule}"), "172.17.0.2:50000", "docker0"), None);
    }

    #[test]
    fn a_way_in_is_a_way_in() {
        for open in [
            "trusted = [\"203.0.113.0/24\"]",
            "[[allow]]\nname = \"ssh\"\nports = [\"22/tcp\"]\nto = \"host\"",
            "[[allow]]\nname = \"ssh\"\nfrom = [\"203.0.113.7\"]\nports = [\"1-1023/tcp\"]",
            "[interfaces]\nexempt = [\"eth*\"]",
            "[interfaces]\nfiltered = [\"eth1\"]",
        ] {
            assert_eq!(objects(open, CLIENT, "eth0"), None, "{open}");
        }
        assert_eq!(objects(CLOSED, "127.0.0.1:50000", "lo"), None, "the host itself");
    }

    #[test]
    fn what_counts_is_the_port_that_was_dialled() {
        let ssh = Translation { address: [192, 0, 2, 1].into(), port: 22 };
        let redirected = Arrival {
            dialled: "192.0.2.1:2222".parse().unwrap(),
            translated: Some(ssh),
            ..arrival(CLIENT, "eth0")
        };
        let objects = |port: u16| {
            let open = format!("[[allow]]\nname = \"ssh\"\nports = [\"{port}/tcp\"]\nto = \"host\"");
            objection(&compile(&policy(&open)), &redirected)
        };
        assert!(objects(22).unwrap().what().contains("from 203.0.113.7 to port 2222/tcp"));
        assert_eq!(objects(2222), None);
    }

    #[test]
    fn a_blocked_operator_is_told_so_whatever_lets_in() {
        let both = "trusted = [\"203.0.113.7\"]\nblocked = [\"203.0.113.0/24\"]";
        let said = objects(both, CLIENT, "eth0").unwrap();
        assert!(said.contains("remove 203.0.113.7 from `blocked`"), "{said}");
    }

    #[test]
    fn an_operator_for_whom_a_rule_does_not_keep_the_port_is_told_which_one() {
        let kept = "[[allow]]\nname = \"ssh\"\nfrom = [\"192.0.2.10\"]\nports = [\"22/tcp\"]\nonly = true";
        for trusted in ["", "trusted = [\"203.0.113.7\"]\n"] {
            let said = objects(&format!("{trusted}{kept}"), CLIENT, "eth0").unwrap();
            assert!(
                said.contains("rule `ssh` keeps this port") && said.contains("\"203.0.113.7\" to its"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_policy_without_any_way_in_is_named() {
        assert!(shuts_everyone_out(&policy(CLOSED)).is_some());
        let containers = "[[allow]]\nname = \"dns\"\nfrom = [\"containers\"]\nports = [\"53/udp\"]";
        assert!(shuts_everyone_out(&policy(containers)).is_some());
        let lan = "[[allow]]\nname = \"ssh\"\nfrom = [\"inside\"]\nports = [\"22/tcp\"]\n[interfaces]\ninside = [\"eth1\"]";
        for open in [
            "trusted = [\"203.0.113.7\"]",
            "[[allow]]\nname = \"web\"\nports = [\"80/tcp\"]",
            "[interfaces]\nexempt = [\"wg0\"]",
            "[interfaces]\nfiltered = [\"eth0\"]",
            lan,
        ] {
            assert_eq!(shuts_everyone_out(&policy(open)), None, "{open}");
        }
    }
}
