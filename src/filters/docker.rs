//! Where Docker filters.

use dockfw_policy::address::Family;

use super::nf_tables;
use crate::host::docker::{self, Backend, Behaviour};

/// The table of Docker's nftables backend (moby, `bridge/internal/nftabler`), one for each family.
const TABLE: &str = "docker-bridges";

/// Returns what this Docker does, by what it reports about itself.
pub(crate) fn behaviour() -> Option<Behaviour> {
    let backend = if uses_nftables() { Backend::Nftables } else { Backend::Iptables };
    Behaviour::of(&docker::version()?, backend)
}

/// Returns whether Docker filters with nftables itself: its tables are there, even if Docker can't be asked, or it
/// reports that.
pub(crate) fn uses_nftables() -> bool {
    !tables().is_empty() || docker::uses_nftables()
}

/// Returns the tables of Docker's nftables backend that are there. If they can't be read, returns none.
pub(crate) fn tables() -> Vec<String> {
    let tables = nf_tables::tables().unwrap_or_else(|error| {
        log::debug!("nf_tables can't be read for Docker's tables: {error}");
        Default::default()
    });
    let own = Family::BOTH.map(|family| format!("{} {TABLE}", in_nft(family)));
    tables.into_iter().filter(|table| own.contains(table)).collect()
}

/// Returns what nft calls a family.
fn in_nft(family: Family) -> &'static str {
    if family == Family::Ipv4 { "ip" } else { "ip6" }
}
