//! What others can reach and no rule covers.

use std::net::IpAddr;

use dockfw_policy::policy::Policy;
use serde::Serialize;

use super::Facts;
use crate::host::docker::Driver;
use crate::host::links::Link;

/// Something that others can reach and no rule covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Uncovered {
    /// What it is.
    pub(crate) what: String,
    /// Why no rule covers it, and what to do.
    pub(crate) why: String,
}

/// Returns all of it.
pub(crate) fn uncovered(policy: &Policy, facts: &Facts) -> Vec<Uncovered> {
    let unfiltered = unfiltered(policy, &facts.links).map(|link| Uncovered {
        what: format!("everything that is reached by {}", link.name),
        why: "no pattern in [interfaces] matches it; list it there".into(),
    });
    beside_the_host(facts).chain(unfiltered).collect()
}

/// Returns the interfaces that match no class, which is only possible if `filtered` is not `["*"]`.
pub(crate) fn unfiltered<'a>(policy: &Policy, links: &'a [Link]) -> impl Iterator<Item = &'a Link> {
    links.iter().filter(|link| link.is_way_in() && !policy.interfaces.covers(&link.name))
}

/// Returns the containers that no policy can cover.
pub(crate) fn beside_the_host(facts: &Facts) -> impl Iterator<Item = Uncovered> {
    facts.containers.iter().flat_map(|container| {
        let addresses = container.addresses.iter();
        addresses.filter_map(|(network, address)| beside(&container.name, network, *address, facts))
    })
}

/// Returns a container beside the host, if it is one: its packets bypass the host's rules.
fn beside(container: &str, network: &str, address: IpAddr, facts: &Facts) -> Option<Uncovered> {
    let network = facts.networks.iter().find(|known| known.name == network)?;
    let Driver::Beside { driver, parent: Some(parent), is_at_input: false } = &network.driver else {
        return None;
    };
    Some(Uncovered {
        what: format!("container {container} at {address}, on {driver} network {} ({parent})", network.name),
        why: format!(
            "{driver} bypasses the host's firewall: filter in the container or in the network, or use a bridge"
        ),
    })
}
