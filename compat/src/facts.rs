//! What is known of this host without running programs of xtables.

use std::collections::BTreeSet;

/// What is known of this host already, or is found out without programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Returns whether Docker filters with nftables itself, which bypasses the engine's rules. Only called if that matters.
    pub docker_uses_nftables: Option<fn() -> bool>,
    /// Returns the names of all chains that iptables-nft could have; nothing if that fails. Without them, iptables-nft is
    /// asked, which takes longer the more rules there are.
    pub chains_of_iptables_nft: Option<fn() -> Option<BTreeSet<String>>>,
}
