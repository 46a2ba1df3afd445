//! The chains in the kernel and the wanted ones, by their names. Pure code.

use std::collections::HashMap;

use dockfw_policy::nft::TARGET;

use super::dump::{self, Live};
use super::wanted::{self, BASE_POLICY, BASE_TYPE, Wanted};
use crate::netlink::uapi;

/// Both kinds of chains.
pub(crate) struct Chains<'a> {
    live: &'a [dump::Chain],
    wanted: &'a [wanted::Chain],
    live_by_name: HashMap<&'a [u8], &'a dump::Chain>,
    wanted_by_name: HashMap<&'a [u8], &'a wanted::Chain>,
}

impl<'a> Chains<'a> {
    pub(crate) fn new(live: Option<&'a Live>, wanted: &'a Wanted) -> Self {
        let live = live.map_or(&[][..], |live| &live.chains);
        Self {
            live,
            wanted: &wanted.chains,
            live_by_name: live.iter().map(|chain| (chain.name.0.as_slice(), chain)).collect(),
            wanted_by_name: wanted.chains.iter().map(|chain| (chain.name.as_bytes(), chain)).collect(),
        }
    }

    /// Returns the wanted chains, each with the one of its name in the kernel.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a wanted::Chain, Option<&'a dump::Chain>)> {
        self.wanted.iter().map(|chain| (chain, self.live_by_name.get(chain.name.as_bytes()).copied()))
    }

    /// Returns the wanted chains that are not there as wanted: those that maps lead to, or the others.
    pub(crate) fn missing(&self, targets: bool) -> impl Iterator<Item = &'a wanted::Chain> {
        let is_missing = move |(chain, own): &(&wanted::Chain, Option<&dump::Chain>)| {
            chain.is_target == targets && !own.is_some_and(|own| same_base(own, chain))
        };
        self.pairs().filter(is_missing).map(|(chain, _)| chain)
    }

    /// Returns the chains that are hooked in otherwise than the wanted ones of their names: targets of maps, or the others.
    pub(crate) fn odd(&self, targets: bool) -> impl Iterator<Item = &'a dump::Chain> {
        let is_odd = move |(chain, own): &(&wanted::Chain, &dump::Chain)| {
            chain.is_target == targets && !same_base(own, chain)
        };
        self.pairs().filter_map(|(chain, own)| Some((chain, own?))).filter(is_odd).map(|(_, own)| own)
    }

    /// Returns the chains of which no one of the name is wanted.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &'a dump::Chain> {
        self.live.iter().filter(|own| !self.wanted_by_name.contains_key(own.name.0.as_slice()))
    }
}

/// Returns whether a chain is hooked in as wanted, or is not, whatever its rules.
pub(crate) fn same_base(live: &dump::Chain, wanted: &wanted::Chain) -> bool {
    let is_base = wanted.priority.is_some();
    live.hook == wanted.place()
        && !live.more_hook
        && live.kind.is(if is_base { BASE_TYPE } else { "" })
        && live.policy == is_base.then_some(BASE_POLICY)
        && live.flags & !uapi::chain::FLAG_BASE == 0
        && live.userdata.is_empty()
}

/// Returns whether it is a chain without rules, as an apply leaves it that was killed before it came to the rules.
pub(crate) fn is_leftover(chain: &dump::Chain) -> bool {
    chain.hook.is_none() && chain.rules.is_empty() && chain.name.0.starts_with(TARGET.as_bytes())
}
