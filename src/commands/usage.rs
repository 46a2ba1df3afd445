//! What is in use on this host, as far as it is known.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::Policy;

use crate::host::docker::Published;
use crate::host::links::Link;
use crate::host::{conntrack, listeners, resolvers, routes};
use crate::safety::usage::{Survey, Usage};

/// Looks for it. What can't be read, for lack of privileges or of a part of the kernel, is skipped.
pub(super) fn survey(policy: &Policy, links: &[Link], published: &[Published]) -> Usage {
    let way_to = |address| routes::towards(address, None).ok().flatten().map(|route| route.interface);
    let mut survey = Survey::of(policy, links, &way_to, needed());
    match conntrack::each(|flow| survey.add_flow(flow)) {
        Ok(()) | Err(EngineError::NotPermitted) => {}
        Err(error) => log::warn!("can't ask connection tracking what is in use: {error}"),
    }
    match listeners::read() {
        Ok(listeners) => survey.add_listeners(&listeners),
        Err(error) => log::warn!("can't read which sockets wait for others: {error}"),
    }
    survey.finish(published)
}

/// Returns the machines that this host can't do without.
fn needed() -> BTreeMap<IpAddr, &'static str> {
    let routers = routes::routers().unwrap_or_else(|error| {
        log::warn!("can't read the host's routes: {error}");
        Default::default()
    });
    let routers = routers.into_iter().map(|address| (address, "a router"));
    resolvers::read().into_iter().map(|address| (address, "a DNS server")).chain(routers).collect()
}
