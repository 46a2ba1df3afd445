//! Whether the policy would shut out the operator who is at work: the facts of this host, and what follows from them.

use std::net::IpAddr;

use dockfw_policy::compile::compile;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::Policy;
use dockfw_policy::walk::{Interface, Translation};

use super::Judgement;
use crate::host::conntrack::{self, Ends};
use crate::host::links::Link;
use crate::host::routes;
use crate::host::session::{self, Origin, Session};
use crate::message::Message;
use crate::safety::lockout::{Arrival, objection, shuts_everyone_out};

/// Adds to a judgement what speaks against the policy because of the operator's location.
pub(super) fn judge(policy: &Policy, links: &[Link], judgement: &mut Judgement) {
    let would_drop = |session: &Session| {
        let ruleset = compile(policy);
        arrivals(session, links).iter().find_map(|arrival| objection(&ruleset, arrival))
    };
    let found = match session::origin() {
        Origin::Live(session) => would_drop(&session),
        // The operator may be there again, or elsewhere: what is unknown is refused.
        Origin::Gone(session) => would_drop(&session).map(|message| {
            let what = format!(
                "SSH_CONNECTION names a connection that is gone; if you are still there, {}",
                message.what()
            );
            message
                .with_what(what)
                .help("or, if you are not connected from there any more: unset SSH_CONNECTION")
        }),
        Origin::None => None,
        Origin::Unknown(reason) => {
            judgement
                .notes
                .push(Message::new(format!("dockfw can't check whether you could connect again: {reason}")));
            None
        }
    };
    judgement.objections.extend(found.or_else(|| shuts_everyone_out(policy)));
}

/// Returns how the operator's packets arrive: on each interface that is possible.
fn arrivals(session: &Session, links: &[Link]) -> Vec<Arrival> {
    let Session { client, server, interface } = *session;
    let ends = dialled(session).unwrap_or(Ends { source: client, destination: server });
    let index = interface.or_else(|| return_interface(ends.source.ip(), server.ip()));
    let translated = Translation { address: server.ip(), port: server.port() };
    let by = |interface| Arrival {
        client: ends.source,
        dialled: ends.destination,
        translated: (ends.destination != server).then_some(translated),
        interface,
    };
    candidates(index, links).into_iter().map(by).collect()
}

/// Returns the interface of this index. If routing does not know it (a route back by a mark, for example), returns all
/// that lead to others.
fn candidates(index: Option<u32>, links: &[Link]) -> Vec<Interface> {
    let known = links.iter().find(|link| Some(link.index) == index);
    let named = |link: &Link| Interface { name: link.name.clone(), is_bridge: link.is_bridge() };
    match known {
        Some(link) => vec![named(link)],
        None => links.iter().filter(|link| !link.is_loopback()).map(named).collect(),
    }
}

/// Returns what the operator dialled, and from where, as far as connection tracking knows.
pub(super) fn dialled(session: &Session) -> Option<Ends> {
    match conntrack::dialled(Ends { source: session.server, destination: session.client }) {
        Ok(ends) => ends,
        Err(EngineError::NotPermitted) => None,
        Err(error) => {
            log::warn!("can't ask connection tracking which port was dialled: {error}");
            None
        }
    }
}

/// Returns the interface by which answers leave: as a rule the one that the connection arrives on.
fn return_interface(client: IpAddr, server: IpAddr) -> Option<u32> {
    match routes::towards(client, Some(server)) {
        Ok(route) => route.map(|route| route.interface),
        Err(error) => {
            log::info!("can't ask for the way to {client}: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            kind: None,
            controller: None,
            is_up: true,
            addresses: vec![],
            networks: vec![],
            has_default_route: false,
        }
    }

    #[test]
    fn where_routing_does_not_tell_the_interface_it_may_be_any_that_leads_to_others() {
        let links = [link(1, "lo"), link(2, "eth0"), link(3, "eth1")];
        let names = |index| -> Vec<_> {
            candidates(index, &links).into_iter().map(|interface| interface.name).collect()
        };
        assert_eq!(names(Some(3)), ["eth1"]);
        assert_eq!(names(None), ["eth0", "eth1"]);
        assert_eq!(names(Some(4)), ["eth0", "eth1"], "gone meanwhile");
    }
}
