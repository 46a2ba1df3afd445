//! Facts about this host, with which the policy is compared. Nothing here changes anything.

pub(crate) mod capabilities;
mod connections;
pub(crate) mod conntrack;
pub(crate) mod docker;
pub(crate) mod links;
pub(crate) mod listeners;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod resolvers;
pub(crate) mod reverse_path;
pub(crate) mod routes;
pub(crate) mod session;
pub(crate) mod ssh;
