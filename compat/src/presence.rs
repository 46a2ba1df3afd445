//! Whether anything of the engine is on the host, asked of as few programs as can be: every apply of the other engine
//! asks it.

use std::path::{Path, PathBuf};

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;

use crate::run::{find, run};
use crate::saved::Tables;
use crate::sets;

/// Looks in both variants of iptables, and for sets. What can't be read holds nothing of ours.
pub(crate) fn is_present() -> Result<bool, EngineError> {
    for family in Family::BOTH {
        for save in programs(family) {
            let answer = run(&save, &["-c"], "")?;
            if answer.status.success() && Tables::parse(&answer.stdout).have_own() {
                return Ok(true);
            }
        }
    }
    let Some(ipset) = find("ipset") else { return Ok(false) };
    Ok(run(&ipset, &["list", "-n"], "")?.stdout.lines().any(sets::is_own))
}

/// The programs that list rules of a family: of each variant that may have any, or the only one that there is.
fn programs(family: Family) -> Vec<PathBuf> {
    let (base, tables) = match family {
        Family::Ipv4 => ("iptables", "/proc/net/ip_tables_names"),
        Family::Ipv6 => ("ip6tables", "/proc/net/ip6_tables_names"),
    };
    let (legacy, nft) = (find(&format!("{base}-legacy-save")), find(&format!("{base}-nft-save")));
    if legacy.is_none() && nft.is_none() {
        return find(&format!("{base}-save")).into_iter().collect();
    }
    legacy.filter(|_| has_tables(Path::new(tables))).into_iter().chain(nft).collect()
}

/// Whether the kernel has any table of iptables-legacy. To list rules would not make one.
fn has_tables(names: &Path) -> bool {
    std::fs::read_to_string(names).is_ok_and(|names| !names.trim().is_empty())
}
