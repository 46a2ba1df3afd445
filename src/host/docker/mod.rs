//! What Docker reports of itself over its socket. The socket may be missing, or not readable: then nothing is known.
//!
//! All names are printable: containers chose them.

mod behaviour;
mod cached;
mod containers;
mod networks;
mod socket;
mod swarm;

pub(crate) use behaviour::{Backend, Behaviour, Proxied};
pub(crate) use containers::{Container, Published, published_by};
pub(crate) use networks::{Driver, Network};
pub(crate) use swarm::{Membership, Node, Swarm};

use std::sync::Arc;
use std::time::Instant;

use dockfw_policy::printable;
use serde::Deserialize;

use cached::Cached;
use socket::ask;
pub(crate) use socket::{Presence, presence};

/// The bridge that Swarm's routing mesh leads to.
pub(crate) const MESH_BRIDGE: &str = "docker_gwbridge";

/// Returns the running containers, or nothing if Docker does not answer.
pub(crate) fn containers() -> Option<Vec<Container>> {
    let answer: Vec<containers::Answer> = ask("/containers/json")?;
    Some(answer.into_iter().map(Container::from).collect())
}

/// Returns the published ports of running containers, each once, or nothing if Docker does not answer. Those of Swarm's
/// routing mesh belong to no container: [`meshed`] has them.
pub(crate) fn published() -> Option<Vec<Published>> {
    Some(published_by(&containers()?))
}

/// Returns the ports that Swarm's routing mesh publishes on every node: only a manager knows them.
pub(crate) fn meshed() -> Option<Vec<Published>> {
    let answer: Vec<swarm::Service> = ask("/services")?;
    let mut published: Vec<_> = answer.iter().flat_map(swarm::published_by).collect();
    published.sort();
    Some(published)
}

/// Returns Docker's networks, or nothing if Docker does not answer.
pub(crate) fn networks() -> Option<Vec<Network>> {
    let answer: Vec<networks::Answer> = ask("/networks")?;
    Some(answer.into_iter().map(Network::from).collect())
}

/// Returns the nodes of the Swarm, this one among them: only a manager knows them.
pub(crate) fn nodes() -> Option<Vec<Node>> {
    let answer: Vec<swarm::NodeAnswer> = ask("/nodes")?;
    Some(answer.into_iter().map(Node::from).collect())
}

/// Returns this host's part in a Swarm, or nothing if Docker does not answer.
pub(crate) fn membership() -> Option<Membership> {
    let info = info()?;
    let swarm = info.swarm.as_ref().and_then(swarm::Answer::active);
    Some(swarm.map_or(Membership::None, Membership::Node))
}

/// Returns what Docker reports of itself. Docker starts programs of its own to answer, so it is not asked for each
/// question. But it may be upgraded, and come back with another backend, while somebody watches.
fn info() -> Option<Arc<Info>> {
    static INFO: Cached<Info> = Cached::new();
    INFO.get(Instant::now(), || ask("/info"))
}

/// Returns Docker's version, as it reports it: its numbers, up to the first part that is no number.
pub(crate) fn version() -> Option<Vec<u32>> {
    info().map(|info| info.version())
}

/// Returns whether Docker reports that it filters with nftables itself. Docker before 28.1 reports nothing, and has no
/// such backend.
pub(crate) fn uses_nftables() -> bool {
    info().is_some_and(|info| info.uses_nftables())
}

/// Returns what Docker filters with, as it reports it (Docker 28 and later), as in `iptables` or `nftables+firewalld`.
pub(crate) fn firewall_backend() -> Option<String> {
    info()?.firewall_backend.as_ref().map(|backend| printable(&backend.driver))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    server_version: String,
    firewall_backend: Option<FirewallBackend>,
    swarm: Option<swarm::Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirewallBackend {
    #[serde(default)]
    driver: String,
}

impl Info {
    fn version(&self) -> Vec<u32> {
        let numbers = self.server_version.split(|c: char| !c.is_ascii_digit());
        numbers.map_while(|number| number.parse().ok()).collect()
    }

    fn uses_nftables(&self) -> bool {
        self.firewall_backend.as_ref().is_some_and(|backend| backend.driver.starts_with("nftables"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_of_itself_is_read() {
        let info = |json: &str| serde_json::from_str::<Info>(json).unwrap();
        assert!(info(r#"{"FirewallBackend":{"Driver":"nftables+firewalld"}}"#).uses_nftables());
        assert!(!info(r#"{"FirewallBackend":{"Driver":"iptables"}}"#).uses_nftables());
        assert_eq!(info(r#"{"ServerVersion":"20.10.24+dfsg1"}"#).version(), [20, 10, 24]);
        let bare = info(r#"{"ID":"x"}"#);
        assert!(!bare.uses_nftables() && bare.swarm.is_none() && bare.version().is_empty());
    }
}
