//! What Docker itself lets through, which differs between its versions: measured on the host without dockfw, so that
//! a case expects no more of dockfw than Docker leaves it.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use dockfw_lab::{Netns, Outcome, PROTOS, Probe, probe_all};

/// What gets through without dockfw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bare {
    /// To containers' own addresses, from outside. Docker closes them itself from 28.0 on.
    pub(crate) direct_routing: bool,
    /// Over IPv6 to a container that has none. Docker 20.10.0 to 20.10.5 has no docker-proxy there.
    pub(crate) proxy_over_v6: bool,
}

impl Bare {
    /// Asks from `outside` at a container's own addresses, and at the port where docker-proxy would answer.
    pub(crate) fn measure(outside: &Netns, own: Vec<SocketAddr>, proxy: SocketAddr) -> Result<Self> {
        Ok(Self { direct_routing: answers(outside, own)?, proxy_over_v6: answers(outside, vec![proxy])? })
    }
}

/// Whether all of them answer; an error where only some do.
fn answers(from: &Netns, at: Vec<SocketAddr>) -> Result<bool> {
    let probes = at.into_iter().flat_map(|address| PROTOS.map(|proto| from.probe(proto, address)));
    let probes: Vec<Probe> = probes.collect();
    let outcomes = probe_all(&probes);
    let answered = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Answered(_))).count();
    ensure!(answered == 0 || answered == probes.len(), "half open without dockfw: {outcomes:?}");
    Ok(answered > 0)
}
