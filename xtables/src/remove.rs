//! Taking everything of the engine out of this host, whether this dockfw has the engine or not.

use dockfw_policy::engine::EngineError;

use crate::ipset::Ipset;
use crate::removal::removal;
use crate::restore::Restore;
use crate::tools::Tools;
use crate::variants::Variants;

/// Takes everything out of both variants of iptables, the sets too where there is ipset. Returns whether there was anything.
pub fn remove(variants: &Variants, ipset: Option<&Ipset>) -> Result<bool, EngineError> {
    let mut found = false;
    let used = removals(&variants.used)?;
    let other = match removals_from_other(variants) {
        // What can't be written down there is not ours.
        Err(EngineError::Unsupported(_)) => vec![],
        result => result?,
    };
    for (tools, restore) in used.into_iter().chain(other) {
        tools.restore(&restore, false)?;
        found = true;
    }
    let Some(ipset) = ipset else { return Ok(found) };
    let names = ipset.own_names()?;
    found |= !ipset.destroy_all(&names).is_empty();
    Ok(found)
}

/// What takes the engine's rules out of the variant that Docker does not use, where there are any.
pub fn removals_from_other(variants: &Variants) -> Result<Vec<(&Tools, Restore)>, EngineError> {
    variants.other.as_ref().map_or(Ok(vec![]), removals)
}

/// What takes the engine's rules out of a variant.
fn removals(tools: &Tools) -> Result<Vec<(&Tools, Restore)>, EngineError> {
    let families = tools.read()?;
    let restores = families.iter().filter_map(|(family, tables)| removal(*family, tables));
    Ok(restores.map(|restore| (tools, restore)).collect())
}
