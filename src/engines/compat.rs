//! The compat engine, in a program that was built with it.

use dockfw_compat::{Facts, Iptables, Rendering, render};
use dockfw_policy::engine::EngineError;
use dockfw_policy::ruleset::Ruleset;

use crate::filters::{docker, nf_tables};

/// Returns the engine.
pub(super) fn engine() -> Iptables {
    Iptables::new(Facts {
        docker_uses_nftables: Some(docker::uses_nftables),
        chains_of_iptables_nft: Some(|| nf_tables::chains_of_iptables().ok()),
    })
}

/// Succeeds: the engine is built in.
pub(super) fn must_be_built_in() -> Result<(), EngineError> {
    Ok(())
}

/// Returns a ruleset as the engine's programs read it.
pub(super) fn listing(ruleset: &Ruleset) -> Result<String, EngineError> {
    let Rendering { ipset, iptables, ip6tables } = render(ruleset)?;
    Ok(format!(
        "# ipset restore\n{ipset}\n# iptables-restore --noflush\n{iptables}\n# ip6tables-restore --noflush\n{ip6tables}"
    ))
}
