//! What is known of this host without running programs of xtables.

use std::collections::BTreeSet;

/// What is known of this host already, or is found out without programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Tells whether Docker filters with nftables itself, which passes the engine's rules by. Asked where that matters.
    pub docker_uses_nftables: Option<fn() -> bool>,
    /// Lists the names of all chains that iptables-nft could have; nothing where that fails. Without it iptables-nft is
    /// asked, which takes the longer the more rules there are.
    pub chains_of_iptables_nft: Option<fn() -> Option<BTreeSet<String>>>,
}
