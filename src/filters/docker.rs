//! Where Docker filters.

use dockfw_policy::address::Family;

use super::nf_tables;
use crate::host::docker::{self, Backend, Behaviour};

/// The table of Docker's nftables backend (moby, `bridge/internal/nftabler`), one for each family.
const TABLE: &str = "docker-bridges";

/// What this Docker does, by what it says of itself.
pub(crate) fn behaviour() -> Option<Behaviour> {
    let backend = if uses_nftables() { Backend::Nftables } else { Backend::Iptables };
    Behaviour::of(&docker::version()?, backend)
}

/// Whether Docker filters with nftables itself: its tables are there, whoever can be asked, or it says so.
pub(crate) fn uses_nftables() -> bool {
    !tables().is_empty() || docker::says_nftables()
}

/// The tables of Docker's nftables backend that are there. What can't be read has none.
pub(crate) fn tables() -> Vec<String> {
    let tables = nf_tables::tables().unwrap_or_else(|error| {
        log::debug!("nf_tables can't be read for Docker's tables: {error}");
        Default::default()
    });
    let own = Family::BOTH.map(|family| format!("{} {TABLE}", in_nft(family)));
    tables.into_iter().filter(|table| own.contains(table)).collect()
}

/// What nft calls a family.
fn in_nft(family: Family) -> &'static str {
    if family == Family::Ipv4 { "ip" } else { "ip6" }
}
