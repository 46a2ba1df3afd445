//! A ruleset as strings, for people.

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;
use dockfw_policy::ruleset::Ruleset;
use dockfw_xtables::clauses::Protocols;
use dockfw_xtables::restore::Restore;
use dockfw_xtables::saved::Tables;

use crate::live::Live;
use crate::lower::lower;
use crate::plan::plan;
use crate::set_lines;

/// A ruleset as strings: what the three programs read on an empty host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendering {
    /// For `ipset restore`.
    pub ipset: String,
    /// For `iptables-restore --noflush`.
    pub iptables: String,
    /// For `ip6tables-restore --noflush`.
    pub ip6tables: String,
}

/// Writes a ruleset as strings. Needs nothing of the host.
pub fn render(ruleset: &Ruleset) -> Result<Rendering, EngineError> {
    let wanted = lower(ruleset)?;
    let families = Family::BOTH.map(|family| (family, Tables::default()));
    let live = Live { families: families.into(), ..Live::default() };
    let plan = plan(&live, &wanted, &Protocols::parse(""));
    let text = |family| {
        let restore = plan.restores.iter().find(|restore| restore.family == family);
        restore.map(Restore::text).unwrap_or_default()
    };
    let mut ipset = String::new();
    wanted.sets.iter().for_each(|set| set_lines::whole(&mut ipset, set));
    Ok(Rendering { iptables: text(Family::Ipv4), ip6tables: text(Family::Ipv6), ipset })
}
