//! The parts of this host that the engine works with: the variant of iptables that Docker uses, and ipset.

use std::collections::BTreeMap;
use std::path::Path;

use dockfw_policy::engine::EngineError;
use dockfw_system::files;
use dockfw_system::programs::both;
use dockfw_xtables::clauses::Protocols;
use dockfw_xtables::ipset::Ipset;
use dockfw_xtables::saved;
use dockfw_xtables::tools::{Tools, Variant};
use dockfw_xtables::variants::Variants;
use ipnetwork::IpNetwork;

use crate::facts::Facts;
use crate::live::Live;
use crate::wanted::Wanted;

/// The parts of this host that the engine works with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The programs of the variants of iptables.
    pub(crate) variants: Variants,
    /// Names of protocols.
    pub(crate) protocols: Protocols,
    /// The program `ipset`. Without it, rules can only be removed.
    pub(crate) ipset: Option<Ipset>,
    /// Why the engine is not for this host, if so.
    pub(crate) unfit: Option<String>,
}

impl Host {
    /// Looks for the programs, and for Docker's chains.
    pub(crate) fn find(facts: &Facts) -> Result<Self, EngineError> {
        let variants = Variants::find()?;
        let docker = Docker {
            is_in_both: variants.is_docker_in_both,
            is_on_nftables: facts.docker_uses_nftables.is_some_and(|tell| tell()),
        };
        let unfit = docker.unfit(variants.used.variant);
        Ok(Self { variants, ipset: Ipset::find(), protocols: protocols(), unfit })
    }

    /// Returns the programs of the variant that Docker uses.
    pub(crate) fn tools(&self) -> &Tools {
        &self.variants.used
    }

    /// Fails if the engine is not for this host.
    pub(crate) fn must_be_fit(&self) -> Result<(), EngineError> {
        self.ipset().and_then(|_| self.must_be_fit_for_rules())
    }

    /// Does the same for rules without sets.
    pub(crate) fn must_be_fit_for_rules(&self) -> Result<(), EngineError> {
        match &self.unfit {
            Some(reason) => Err(EngineError::Unsupported(reason.clone())),
            None => self.tools().must_have_tables(),
        }
    }

    fn ipset(&self) -> Result<Ipset, EngineError> {
        self.ipset.clone().map_or_else(Ipset::find_or_fail, Ok)
    }

    /// Returns what is there.
    pub(crate) fn read(&self) -> Result<Live, EngineError> {
        self.read_with(|| self.own_sets())
    }

    /// Returns what is there before this is put in force.
    pub(crate) fn read_before(&self, wanted: &Wanted) -> Result<Live, EngineError> {
        if wanted.sets.is_empty() { self.read_after(wanted) } else { self.read() }
    }

    /// Returns what is there once sets were loaded: sets with their final names are complete, and need not be read.
    pub(crate) fn read_after(&self, wanted: &Wanted) -> Result<Live, EngineError> {
        let elements =
            |name: &str| wanted.sets.iter().find(|set| set.name == name).map(|set| set.networks.clone());
        self.read_with(|| match self.ipset().and_then(|ipset| ipset.own_names()) {
            Ok(names) => Ok(names.into_iter().map(|name| (name.clone(), elements(&name))).collect()),
            // Rules without sets are put in force without the program: the fail-safe is.
            Err(error) if wanted.sets.is_empty() => {
                log::warn!("sets of an earlier policy, if there are any, stay for now: {}", error.in_full());
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        })
    }

    /// Returns the engine's own sets. The elements of all sets are read only if one of them is the engine's own.
    fn own_sets(&self) -> Result<BTreeMap<String, Option<Vec<IpNetwork>>>, EngineError> {
        let ipset = self.ipset()?;
        let is_none_there = ipset.own_names()?.is_empty();
        if is_none_there { Ok(BTreeMap::new()) } else { Ok(saved::own_sets(&ipset.saved()?)) }
    }

    /// Reads the rules, and at the same time the sets.
    fn read_with(
        &self,
        sets: impl FnOnce() -> Result<BTreeMap<String, Option<Vec<IpNetwork>>>, EngineError> + Send,
    ) -> Result<Live, EngineError> {
        let (families, sets) = both(|| self.tools().read(), sets);
        Ok(Live { families: families?, sets: sets? })
    }

    /// Creates and fills sets.
    pub(crate) fn restore_sets(&self, text: &str) -> Result<(), EngineError> {
        if text.is_empty() { Ok(()) } else { self.ipset()?.restore(text) }
    }

    /// Destroys sets, which no rule names any more. Returns those that were destroyed.
    pub(crate) fn destroy_sets<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        self.ipset.as_ref().map(|ipset| ipset.destroy_all(names)).unwrap_or_default()
    }
}

/// Returns the names of protocols on this host.
fn protocols() -> Protocols {
    const MAX_SIZE: u64 = 1 << 20;
    Protocols::parse(&files::read_text(Path::new("/etc/protocols"), MAX_SIZE).unwrap_or_default())
}

/// Where Docker filters.
#[derive(Clone, Copy, Debug)]
struct Docker {
    /// Its chains are in both variants of iptables.
    is_in_both: bool,
    /// It has no DOCKER-USER there, and the kernel has what the native engine needs.
    is_on_nftables: bool,
}

impl Docker {
    /// Returns why the engine is not for this host, if so.
    fn unfit(self, used: Variant) -> Option<String> {
        if self.is_on_nftables {
            let reason = "Docker uses its nftables backend, which passes DOCKER-USER by; use --backend nftables, \
                          or where Docker is back on iptables, delete its tables docker-bridges";
            return Some(reason.into());
        }
        let other = used.other().name();
        self.is_in_both.then(|| {
            format!(
                "Docker's chains are in both iptables-nft and iptables-legacy, of which only one can be in use; \
                 take out those that iptables-{other}-save shows, or restart the host, and apply again"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_brain_and_dockers_own_nftables_are_refused() {
        let unfit = |is_in_both, is_on_nftables| Docker { is_in_both, is_on_nftables }.unfit(Variant::Nft);
        assert!(unfit(true, false).unwrap().contains("iptables-legacy-save"));
        assert!(unfit(false, true).unwrap().contains("nftables backend"));
        assert_eq!(unfit(false, false), None);
    }
}
