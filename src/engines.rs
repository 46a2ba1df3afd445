//! Which engine puts the policy in force.

use dockfw_compat::Iptables;
use dockfw_policy::engine::{Engine, EngineError, Requirement};
use dockfw_policy::policy::Backend;

use crate::nftables::Nftables;

/// The engine that `backend` means on this host. One that is asked for by name is used or fails; there is no silent
/// fallback. With `verify`, it compares every element of every set.
pub(crate) fn choose(backend: Backend, verify: bool) -> Result<Box<dyn Engine>, EngineError> {
    match backend {
        Backend::Nftables => Ok(Box::new(Nftables::new(verify))),
        Backend::Iptables => Ok(Box::new(Iptables)),
        Backend::Auto => {
            let native = Nftables::new(verify);
            let missing = missing(&native.probe()?);
            if missing.is_empty() {
                Ok(Box::new(native))
            } else {
                Err(EngineError::Unsupported(missing.join("; ")))
            }
        }
    }
}

/// What an engine can't do without and this host lacks, in words.
pub(crate) fn missing(requirements: &[Requirement]) -> Vec<String> {
    let missing = requirements.iter().filter(|requirement| !requirement.optional);
    missing
        .filter_map(|requirement| Some(format!("{}: {}", requirement.what, requirement.missing.as_ref()?)))
        .collect()
}
