//! Removes everything of the engine from this host, whether this dockfw has the engine or not.

use dockfw_policy::engine::EngineError;

use crate::ipset::Ipset;
use crate::removal::removal;
use crate::restore::Restore;
use crate::tools::Tools;
use crate::variants::Variants;

/// Removes everything from both variants of iptables, and the sets if there is ipset. Returns whether there was
/// anything.
pub fn remove(variants: &Variants, ipset: Option<&Ipset>) -> Result<bool, EngineError> {
    let mut found = false;
    let used = removals(&variants.used)?;
    let other = match removals_from_other(variants) {
        // Rules that can't be listed there are not ours.
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

/// Returns what removes the engine's rules from the variant that Docker does not use, if there are any.
pub fn removals_from_other(variants: &Variants) -> Result<Vec<(&Tools, Restore)>, EngineError> {
    variants.other.as_ref().map_or(Ok(vec![]), removals)
}

/// Returns what removes the engine's rules from a variant.
fn removals(tools: &Tools) -> Result<Vec<(&Tools, Restore)>, EngineError> {
    let families = tools.read()?;
    let restores = families.iter().filter_map(|(family, tables)| removal(*family, tables));
    Ok(restores.map(|restore| (tools, restore)).collect())
}
