//! What this host is: facts that the policy is held against. Nothing here changes anything.

pub(crate) mod capabilities;
pub(crate) mod docker;
pub(crate) mod firewalls;
pub(crate) mod helpers;
pub(crate) mod links;
pub(crate) mod listeners;
mod netlink;
mod processes;
pub(crate) mod programs;
