//! What iptables lists of its rules, as strings. No table is named to a program: that would create it.

use std::path::{Path, PathBuf};

use dockfw_policy::address::Family;
use dockfw_system::programs::at_once;
use dockfw_xtables::savers::{missing_saver, savers};

use super::nf_tables;
use crate::host::programs::answer;

/// The end of the names of programs that list rules.
const END: &str = "-save";

/// All rules of a family and a variant.
pub(super) struct Saved {
    pub(super) family: Family,
    /// What people call them, as in `iptables-legacy`.
    pub(super) variant: String,
    /// The listing, or why there is none.
    pub(super) text: Result<String, String>,
}

impl Saved {
    /// Returns whether the rules lie in nf_tables.
    pub(super) fn is_in_nf_tables(&self) -> bool {
        is_of_nf_tables(&self.variant)
    }

    fn by(family: Family, program: &Path) -> Self {
        Self { family, variant: variant_of(program), text: answer(program, &[]) }
    }

    /// Returns the rules that a program would list if it were here.
    fn without(family: Family, program: &str) -> Self {
        let why = format!("the kernel may have some, but {program} is not installed to list them");
        Self { family, variant: variant(program), text: Err(why) }
    }
}

fn is_of_nf_tables(variant: &str) -> bool {
    variant.ends_with("-nft")
}

fn variant_of(program: &Path) -> String {
    variant(&program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

fn variant(program: &str) -> String {
    program.strip_suffix(END).unwrap_or(program).to_owned()
}

/// Returns all rules of every variant that is there.
pub(super) fn everywhere() -> Vec<Saved> {
    // For an empty listing, a program takes longer than the kernel takes to report that there is nothing.
    let is_none_in_nf_tables = nf_tables::chains_of_iptables().is_ok_and(|chains| chains.is_empty());
    let is_worth_it = |program: &PathBuf| !(is_none_in_nf_tables && is_of_nf_tables(&variant_of(program)));
    let programs = Family::BOTH.into_iter().flat_map(|family| {
        savers(family).into_iter().filter(is_worth_it).map(move |program| (family, program))
    });
    let missing = Family::BOTH.into_iter().filter_map(|family| Some((family, missing_saver(family)?)));
    let missing = missing.map(|(family, program)| Saved::without(family, &program));
    at_once(programs, |(family, program)| Saved::by(family, &program)).into_iter().chain(missing).collect()
}
