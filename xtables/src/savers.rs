//! The programs that list the rules of this host.

use std::path::PathBuf;

use dockfw_policy::address::Family;
use dockfw_system::programs::find;

use crate::kernel::may_have_legacy_tables;

/// Returns the beginning of the names of a family's programs.
pub fn base_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// Returns the programs that list rules of a family: of each variant that may have any, or the only one that there is.
pub fn savers(family: Family) -> Vec<PathBuf> {
    legacy_saver(family).into_iter().chain(nft_saver(family)).collect()
}

/// Returns the program that lists a family's rules of iptables-legacy, if there may be any; or the only one that there
/// is.
pub(crate) fn legacy_saver(family: Family) -> Option<PathBuf> {
    only_saver(family).or_else(|| own_legacy_saver(family).filter(|_| may_have_legacy_tables(family)))
}

/// Returns the name of the program that would list a family's tables of iptables-legacy, if the kernel may have some
/// and no program here lists them. A container on the host's network may have brought its own.
pub fn missing_saver(family: Family) -> Option<String> {
    let is_listed = only_saver(family).or_else(|| own_legacy_saver(family)).is_some();
    (!is_listed && may_have_legacy_tables(family)).then(|| legacy_name(family))
}

fn own_legacy_saver(family: Family) -> Option<PathBuf> {
    find(&legacy_name(family))
}

fn legacy_name(family: Family) -> String {
    format!("{}-legacy-save", base_name(family))
}

/// Returns the program without a variant in its name, if there is none with one: iptables before 1.8.
fn only_saver(family: Family) -> Option<PathBuf> {
    let is_alone = own_legacy_saver(family).is_none() && nft_saver(family).is_none();
    is_alone.then(|| find(&format!("{}-save", base_name(family)))).flatten()
}

fn nft_saver(family: Family) -> Option<PathBuf> {
    find(&format!("{}-nft-save", base_name(family)))
}
