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
use crate::safety::lockout::{Arrival, objection, shuts_everyone_out};

/// Adds to a judgement what speaks against the policy because of where its operator is.
pub(super) fn judge(policy: &Policy, links: &[Link], judgement: &mut Judgement) {
    let would_drop = |session: &Session| objection(&compile(policy), &arrival(session, links));
    let found = match session::origin() {
        Origin::Live(session) => would_drop(&session),
        // The operator may be there again, or elsewhere: what is not known is refused.
        Origin::Gone(session) => would_drop(&session).map(|objection| {
            format!(
                "SSH_CONNECTION names a connection that is gone; if you are where it says, {objection}\n  if you are not, \
                 unset SSH_CONNECTION"
            )
        }),
        Origin::None => None,
    };
    judgement.objections.extend(found.or_else(|| shuts_everyone_out(policy)));
}

fn arrival(session: &Session, links: &[Link]) -> Arrival {
    let Session { client, server, interface } = *session;
    let ends = dialled(session).unwrap_or(Ends { source: client, destination: server });
    let index = interface.or_else(|| way_back(ends.source.ip(), server.ip()));
    let link = links.iter().find(|link| Some(link.index) == index);
    // Where there is no way back there is no name; and no interface without a name is exempt.
    let interface = link.map_or(Interface { name: String::new(), is_bridge: false }, |link| Interface {
        name: link.name.clone(),
        is_bridge: link.is_bridge(),
    });
    let translated = Translation { address: server.ip(), port: server.port() };
    Arrival {
        client: ends.source,
        dialled: ends.destination,
        translated: (ends.destination != server).then_some(translated),
        interface,
    }
}

/// What the operator dialled, and from where, as far as connection tracking knows.
fn dialled(session: &Session) -> Option<Ends> {
    match conntrack::dialled(Ends { source: session.server, destination: session.client }) {
        Ok(ends) => ends,
        Err(EngineError::NotPermitted) => None,
        Err(error) => {
            log::warn!("can't ask connection tracking which port was dialled: {error}");
            None
        }
    }
}

/// The interface by which answers leave: as a rule the one that the connection comes by.
fn way_back(client: IpAddr, server: IpAddr) -> Option<u32> {
    match routes::towards(client, Some(server)) {
        Ok(route) => route.map(|route| route.interface),
        Err(error) => {
            log::info!("can't ask for the way to {client}: {error}");
            None
        }
    }
}
