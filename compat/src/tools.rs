//! The programs of one variant of iptables, and talking to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{EngineError, Refusal};
use dockfw_system::programs::{Answer, Limits, at_once, find};

use crate::plan::Restore;
use crate::run::{LOAD, LOCK_WAIT, failed, line_number, patiently, permission_or, run};
use crate::saved::Tables;

/// A variant of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The kernel's own iptables.
    Legacy,
    /// iptables' syntax on nf_tables.
    Nft,
}

impl Variant {
    /// The variant that `iptables --version` names; before 1.8 there was but one.
    pub(crate) fn of_version(text: &str) -> Self {
        if text.contains("nf_tables") { Self::Nft } else { Self::Legacy }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Nft,
            Self::Nft => Self::Legacy,
        }
    }

    /// The variant's part of programs' names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        }
    }
}

/// The programs of one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tools {
    /// The variant.
    pub(crate) variant: Variant,
    programs: BTreeMap<Family, [PathBuf; 2]>,
    /// Whether a restore can wait for the lock by itself.
    knows_wait: OnceLock<bool>,
}

impl Tools {
    /// The programs with this infix in their names, for the families that the kernel has. Nothing where one is missing.
    pub(crate) fn find(variant: Variant, infix: &str) -> Option<Self> {
        let mut programs = BTreeMap::new();
        for family in families() {
            let base = base_name(family);
            let pair = [find(&format!("{base}{infix}-save"))?, find(&format!("{base}{infix}-restore"))?];
            programs.insert(family, pair);
        }
        Some(Self { variant, programs, knows_wait: OnceLock::new() })
    }

    /// The tables of each family.
    pub(crate) fn read(&self) -> Result<BTreeMap<Family, Tables>, EngineError> {
        let read =
            |(family, [save, _]): (&Family, &[PathBuf; 2])| Ok((*family, self.read_family(*family, save)?));
        at_once(&self.programs, read).into_iter().collect()
    }

    /// What `iptables-save` prints of a family; nothing where the kernel has no tables of it.
    pub(crate) fn saved(&self, family: Family) -> Result<String, EngineError> {
        match self.programs.get(&family) {
            Some([save, _]) if !self.has_none(family) => saved_text(save),
            _ => Ok(String::new()),
        }
    }

    fn read_family(&self, family: Family, save: &Path) -> Result<Tables, EngineError> {
        if self.has_none(family) { Ok(Tables::default()) } else { read_tables(save) }
    }

    /// An error where the kernel has no tables for these programs. To ask for one loads its module.
    pub(crate) fn must_have_tables(&self) -> Result<(), EngineError> {
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

    /// Since 1.6.2. Those that can't print an error and end with 0.
    fn knows_wait(&self, program: &Path) -> Result<bool, EngineError> {
        if let Some(known) = self.knows_wait.get() {
            return Ok(*known);
        }
        // Whatever its exit code, which is 1 of 1.4.21.
        let answer = run(program, &["--help"], "", Limits::QUESTION)?;
        let known = answer.stdout.contains("--wait") || answer.stderr.contains("--wait");
        Ok(*self.knows_wait.get_or_init(|| known))
    }

    /// Puts lines in force, or only has them judged.
    pub(crate) fn restore(&self, restore: &Restore, test: bool) -> Result<(), EngineError> {
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
        // Old versions end with 0 after complaints: what is in force is read back by whoever changes it.
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

/// That a program is not there.
pub(crate) fn missing(program: &str) -> EngineError {
    EngineError::Unsupported(format!("the program {program} is not there"))
}

/// What the names of a family's programs begin with.
pub(crate) fn base_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// The programs that list rules of a family: of each variant that may have any, or the only one that there is.
pub fn savers(family: Family) -> Vec<PathBuf> {
    legacy_saver(family).into_iter().chain(nft_saver(family)).collect()
}

/// The program that lists a family's rules of iptables-legacy, if there may be any; or the only one that there is.
pub(crate) fn legacy_saver(family: Family) -> Option<PathBuf> {
    only_saver(family).or_else(|| own_legacy_saver(family).filter(|_| may_have_legacy_tables(family)))
}

/// The name of the program that would list a family's tables of iptables-legacy, where the kernel may have some and no program is
/// here that does: a container on the host's network may have brought its own.
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

/// The one that is named after no variant, where there is none that is: iptables before 1.8.
fn only_saver(family: Family) -> Option<PathBuf> {
    let is_alone = own_legacy_saver(family).is_none() && nft_saver(family).is_none();
    is_alone.then(|| find(&format!("{}-save", base_name(family)))).flatten()
}

fn nft_saver(family: Family) -> Option<PathBuf> {
    find(&format!("{}-nft-save", base_name(family)))
}

/// The families that the kernel has: IPv6 may be disabled at boot.
fn families() -> Vec<Family> {
    let has = |family: &Family| *family == Family::Ipv4 || proc_net().join("if_inet6").exists();
    Family::BOTH.into_iter().filter(has).collect()
}

/// Whether the kernel may have tables of iptables-legacy. Where it says that there are none, there is nothing to list.
fn may_have_legacy_tables(family: Family) -> bool {
    let names = match family {
        Family::Ipv4 => "ip_tables_names",
        Family::Ipv6 => "ip6_tables_names",
    };
    match std::fs::read_to_string(proc_net().join(names)) {
        Ok(names) => !names.trim().is_empty(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// What the kernel tells of the thread's network namespace; before Linux 3.17, of the process's.
fn proc_net() -> &'static Path {
    let of_thread = Path::new("/proc/thread-self/net");
    if of_thread.exists() { of_thread } else { Path::new("/proc/net") }
}

/// What is said if the kernel has no tables: by iptables-nft (`mnl_genid_get` in nft.c; netlink knows nobody then who could be meant),
/// and by iptables-legacy up to 1.6 (`for_each_table` in iptables-save.c).
const NO_TABLES: [&str; 3] = [
    "Could not fetch rule set generation id: Invalid argument",
    "Unable to open /proc/net/ip_tables_names: No such file",
    "Unable to open /proc/net/ip6_tables_names: No such file",
];

/// What a program lists of the rules, with their counters; nothing if the kernel has no tables for it.
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
