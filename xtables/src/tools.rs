//! The programs of one variant of iptables, and talking to them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{EngineError, Refusal};
use dockfw_system::programs::{Answer, Limits, at_once, find};

use crate::kernel::{families, may_have_legacy_tables};
use crate::restore::Restore;
use crate::run::{LOAD, LOCK_WAIT, failed, line_number, patiently, permission_or, run};
use crate::saved::Tables;
use crate::savers::base_name;

/// A variant of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The kernel's own iptables.
    Legacy,
    /// iptables' syntax on nf_tables.
    Nft,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Nft];

    /// Returns the variant that `iptables --version` names; before 1.8 there was only one.
    pub(crate) fn of_version(text: &str) -> Self {
        if text.contains("nf_tables") { Self::Nft } else { Self::Legacy }
    }

    /// Returns the other one.
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Nft,
            Self::Nft => Self::Legacy,
        }
    }

    /// Returns the variant's part of programs' names: `legacy` or `nft`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The programs of one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The variant.
    pub variant: Variant,
    programs: BTreeMap<Family, [PathBuf; 2]>,
    /// Whether a restore can wait for the lock by itself.
    knows_wait: OnceLock<bool>,
}

impl Tools {
    /// Returns the programs with this infix in their names, for the families that the kernel has. Nothing if one is
    /// missing.
    pub fn find(variant: Variant, infix: &str) -> Option<Self> {
        let mut programs = BTreeMap::new();
        for family in families() {
            let base = base_name(family);
            let pair = [find(&format!("{base}{infix}-save"))?, find(&format!("{base}{infix}-restore"))?];
            programs.insert(family, pair);
        }
        Some(Self { variant, programs, knows_wait: OnceLock::new() })
    }

    /// Returns the tables of each family.
    pub fn read(&self) -> Result<BTreeMap<Family, Tables>, EngineError> {
        let read =
            |(family, [save, _]): (&Family, &[PathBuf; 2])| Ok((*family, self.read_family(*family, save)?));
        at_once(&self.programs, read).into_iter().collect()
    }

    /// Returns what `iptables-save` prints of a family; nothing if the kernel has no tables of it.
    pub(crate) fn saved(&self, family: Family) -> Result<String, EngineError> {
        match self.programs.get(&family) {
            Some([save, _]) if !self.has_none(family) => saved_text(save),
            _ => Ok(String::new()),
        }
    }

    fn read_family(&self, family: Family, save: &Path) -> Result<Tables, EngineError> {
        if self.has_none(family) { Ok(Tables::default()) } else { read_tables(save) }
    }

    /// Fails if the kernel has no tables for these programs. Asking for one loads its module.
    pub fn must_have_tables(&self) -> Result<(), EngineError> {
        let mut without = self.programs.keys().filter(|family| self.has_none(**family));
        without.try_for_each(|family| {
            match self.restore_within(Limits::QUESTION, &Restore::of_nothing(*family), true) {
                Err(EngineError::Refused(refusals)) => Err(no_tables(*family, &refusals)),
                result => result,
            }
        })
    }

    fn has_none(&self, family: Family) -> bool {
        self.variant == Variant::Legacy && !may_have_legacy_tables(family)
    }

    fn restore_program(&self, family: Family) -> Result<&Path, EngineError> {
        let pair = self.programs.get(&family);
        pair.map(|[_, restore]| restore.as_path()).ok_or_else(|| missing("iptables-restore"))
    }

    /// Returns whether the program knows `--wait`, which it does since 1.6.2. Older ones print an error and exit with 0.
    fn knows_wait(&self, program: &Path) -> Result<bool, EngineError> {
        if let Some(known) = self.knows_wait.get() {
            return Ok(*known);
        }
        // The exit code does not matter: that of 1.4.21 is 1.
        let answer = run(program, &["--help"], "", Limits::QUESTION)?;
        let known = answer.stdout.contains("--wait") || answer.stderr.contains("--wait");
        Ok(*self.knows_wait.get_or_init(|| known))
    }

    /// Puts lines in force, or only lets the program judge them.
    pub fn restore(&self, restore: &Restore, test: bool) -> Result<(), EngineError> {
        self.restore_within(LOAD, restore, test)
    }

    fn restore_within(&self, limits: Limits, restore: &Restore, test: bool) -> Result<(), EngineError> {
        let program = self.restore_program(restore.family)?;
        let mut arguments = vec!["--noflush"];
        let wait = format!("--wait={}", LOCK_WAIT.as_secs());
        if self.knows_wait(program)? {
            arguments.push(&wait);
        }
        if test {
            arguments.push("--test");
        }
        let answer = patiently(|| run(program, &arguments, &restore.text(), limits))?;
        // Old versions exit with 0 after errors: the caller that changes rules reads back what is in force.
        if answer.status.success() { Ok(()) } else { Err(refused(restore, &answer)) }
    }
}

fn no_tables(family: Family, refusals: &[Refusal]) -> EngineError {
    let reasons: Vec<_> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
    EngineError::Unsupported(format!(
        "the kernel has no {family} tables of iptables-legacy ({}); use iptables-nft, or --backend nftables",
        reasons.join("; ")
    ))
}

/// Returns the error that a program is not there.
pub(crate) fn missing(program: &str) -> EngineError {
    EngineError::Unsupported(format!("the program {program} is not installed"))
}

/// What is printed if the kernel has no tables: by iptables-nft (`mnl_genid_get` in nft.c; netlink has no receiver
/// then), and by iptables-legacy up to 1.6 (`for_each_table` in iptables-save.c).
const NO_TABLES: [&str; 3] = [
    "Could not fetch rule set generation id: Invalid argument",
    "Unable to open /proc/net/ip_tables_names: No such file",
    "Unable to open /proc/net/ip6_tables_names: No such file",
];

/// Returns what a program lists of the rules, with their counters; nothing if the kernel has no tables for it.
pub(crate) fn saved_text(save: &Path) -> Result<String, EngineError> {
    let answer = run(save, &["-c"], "", Limits::QUESTION)?;
    if answer.status.success() {
        return Ok(answer.stdout);
    }
    if lacks_tables(&answer.stderr) { Ok(String::new()) } else { Err(failed(save, &answer)) }
}

fn lacks_tables(complaint: &str) -> bool {
    NO_TABLES.iter().any(|words| complaint.contains(words))
}

fn read_tables(save: &Path) -> Result<Tables, EngineError> {
    let tables = Tables::parse(&saved_text(save)?);
    match tables.unreadable.iter().find(|table| ["mangle", "filter"].contains(&table.as_str())) {
        Some(table) => Err(EngineError::Unsupported(format!(
            "another program put rules into table {table} that iptables can't write down; see nft list ruleset"
        ))),
        None => Ok(tables),
    }
}

fn refused(restore: &Restore, answer: &Answer) -> EngineError {
    permission_or(answer, || {
        let line = line_number(&answer.stderr).and_then(|number| restore.lines.get(number.checked_sub(1)?));
        let family = restore.family;
        let operation = match line {
            Some(line) => format!("{family}: {}", line.text),
            None => format!("{family}: the rules"),
        };
        let origin = line.and_then(|line| line.origin.clone());
        EngineError::Refused(vec![Refusal { operation, origin, reason: answer.complaint() }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_told_by_the_version() {
        assert_eq!(Variant::of_version("iptables v1.8.9 (nf_tables)"), Variant::Nft);
        for legacy in ["iptables v1.8.9 (legacy)", "iptables v1.4.21", ""] {
            assert_eq!(Variant::of_version(legacy), Variant::Legacy);
        }
    }

    #[test]
    fn a_kernel_without_nf_tables_has_no_rules_there() {
        let said = |why| {
            format!("iptables-nft-save v1.8.7 (nf_tables): Could not fetch rule set generation id: {why}")
        };
        assert!(lacks_tables(&said("Invalid argument")));
        assert!(!lacks_tables(&said("Permission denied (you must be root)")));
    }
}
