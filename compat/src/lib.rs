//! dockfw's engine for hosts whose firewall is still xtables: ipset and iptables in the FILTERS / DOCKER-USER layout.
//!
//! `lower` puts a ruleset into iptables' terms, `saved` reads what is on the host, `plan` compares the two and says
//! what to do; all of that is pure. `host` knows what this host has, `tools` the programs of one variant of iptables,
//! `run` runs them. No chain of others is ever emptied, and no rule of others moved.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod engine;
mod host;
mod jumps;
mod lower;
mod normal;
pub mod old;
mod plan;
mod presence;
mod probe;
mod run;
mod saved;
mod sets;
mod text;
mod tools;
mod wanted;

use std::collections::BTreeSet;

use dockfw_policy::engine::EngineError;
use dockfw_policy::ruleset::Ruleset;

pub use host::docker_chains;
use normal::Protocols;
use plan::{Live, plan};
use saved::Tables;
pub use saved::words;
pub use tools::{missing_saver, savers};

/// What is known of this host already, or is found out without programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Tells whether Docker filters with nftables itself, which passes the engine's rules by. Asked where that matters.
    pub docker_uses_nftables: Option<fn() -> bool>,
    /// Lists the names of all chains that iptables-nft could have; nothing where that fails. Without it iptables-nft is
    /// asked, which takes the longer the more rules there are.
    pub chains_of_iptables_nft: Option<fn() -> Option<BTreeSet<String>>>,
}

/// The compat engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Iptables {
    facts: Facts,
}

impl Iptables {
    /// The engine on a host of which this is known.
    pub fn new(facts: Facts) -> Self {
        Self { facts }
    }
}

/// A ruleset as text: what the three programs are given on a host where nothing is yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendering {
    /// For `ipset restore`.
    pub ipset: String,
    /// For `iptables-restore --noflush`.
    pub iptables: String,
    /// For `ip6tables-restore --noflush`.
    pub ip6tables: String,
}

/// Writes a ruleset as text. Needs nothing of the host.
pub fn render(ruleset: &Ruleset) -> Result<Rendering, EngineError> {
    let wanted = engine::lowered(ruleset)?;
    let families = dockfw_policy::address::Family::BOTH.map(|family| (family, Tables::default()));
    let live = Live { families: families.into(), ..Live::default() };
    let plan = plan(&live, &wanted, &Protocols::parse(""));
    let text = |family| {
        let restore = plan.restores.iter().find(|restore| restore.family == family);
        restore.map(plan::Restore::text).unwrap_or_default()
    };
    let iptables = text(dockfw_policy::address::Family::Ipv4);
    let ip6tables = text(dockfw_policy::address::Family::Ipv6);
    let mut ipset = String::new();
    wanted.sets.iter().for_each(|set| text::whole(&mut ipset, set));
    Ok(Rendering { iptables, ip6tables, ipset })
}
