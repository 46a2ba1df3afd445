//! What else filters packets on this host, read: the live rules of others, Docker's tables, and services that drop, or
//! that load rules at boot.
//!
//! Invariant: it is only reported, and used to choose the engine. Nothing here decides what a policy means.

pub(crate) mod docker;
pub(crate) mod firewalls;
pub(crate) mod helpers;
pub(crate) mod live;
pub(crate) mod nf_tables;
pub(crate) mod persistence;
mod saved;
