//! What this host is: facts that the policy is held against. Nothing here changes anything.

pub(crate) mod capabilities;
mod connections;
#[allow(dead_code, unused_imports, reason = "status is about to use all of it")]
pub(crate) mod docker;
pub(crate) mod firewalls;
pub(crate) mod helpers;
pub(crate) mod links;
#[allow(dead_code, reason = "status is about to use it")]
pub(crate) mod listeners;
mod netlink;
#[allow(dead_code, reason = "status is about to use it")]
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod routes;
pub(crate) mod session;
