//! dockfw's engine for hosts whose firewall is still xtables: ipset and iptables in the FILTERS
//! DOCKER-USER layout.
//!
//! `lower` translates a ruleset into iptables' terms (`wanted`), `live` holds what is on the host, `plan` compares the
//! two and decides what to do; all of that is pure. `host` knows what this host has, `steps` carries out a plan.
//! `dockfw-xtables` reports and removes what the engine has on a host, with or without this crate. No chain of others
//! is ever emptied, and no rule of others moved.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod engine;
mod facts;
mod host;
mod jumps;
mod live;
mod lower;
mod plan;
mod render;
mod requirements;
mod set_lines;
mod sets;
mod steps;
mod wanted;

pub use engine::Iptables;
pub use facts::Facts;
pub use render::{Rendering, render};
