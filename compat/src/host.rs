//! The programs of this host: which variant of iptables Docker uses, and talking to its programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dockfw_policy::address::Family;
use dockfw_policy::engine::{EngineError, Refusal};
use ipnetwork::IpNetwork;

use crate::Facts;
use crate::normal::Protocols;
use crate::plan::{Live, Restore};
use crate::run::{Answer, at_once, both, find, run};
use crate::saved::{self, Tables};
use crate::sets;
use crate::wanted::Wanted;

/// How long `iptables-restore` waits for the lock, and how long it is run again while it can't have it.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(50);
/// What programs say when someone else was faster. It passes. The last is said of a set, not of a rule that names it:
/// whoever lists sets holds each one for a moment (ref_netlink in linux/net/netfilter/ipset/ip_set_core.c).
const BUSY: [&str; 4] = [
    "xtables lock",
    "Resource temporarily unavailable",
    "Device or resource busy",
    "it is in use by a kernel component",
];
/// How long the kernel may take to let go of sets: it releases the rules of a transaction after the fact.
const RELEASE: Duration = Duration::from_secs(2);

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
        let answer = run(program, &["--help"], "")?;
        let known = answer.stdout.contains("--wait") || answer.stderr.contains("--wait");
        Ok(*self.knows_wait.get_or_init(|| known))
    }

    /// Puts lines in force, or only has them judged.
    pub(crate) fn restore(&self, restore: &Restore, test: bool) -> Result<(), EngineError> {
        let program = self.restore_program(restore.family)?;
        let mut arguments = vec!["--noflush"];
        let wait = format!("--wait={}", LOCK_WAIT.as_secs());
        if self.knows_wait(program)? {
            arguments.push(&wait);
        }
        if test {
            arguments.push("--test");
        }
        let answer = patiently(|| run(program, &arguments, &restore.text()))?;
        // Old versions end with 0 after complaints: what is in force is read back by whoever changes it.
        if answer.status.success() { Ok(()) } else { Err(refused(restore, &answer)) }
    }
}

fn missing(program: &str) -> EngineError {
    EngineError::Unsupported(format!("the program {program} is not there"))
}

/// What the names of a family's programs begin with.
pub(crate) fn base_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// The families that the kernel has: IPv6 may be disabled at boot.
fn families() -> Vec<Family> {
    let has = |family: &Family| *family == Family::Ipv4 || proc_net().join("if_inet6").exists();
    Family::BOTH.into_iter().filter(has).collect()
}

/// Whether the kernel may have tables of iptables-legacy. Where it says that there are none, there is nothing to list.
pub(crate) fn may_have_legacy_tables(family: Family) -> bool {
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

/// What iptables-nft says (its `mnl_genid_get`) where the kernel has no nf_tables: netlink knows nobody then who could be meant.
const NO_NF_TABLES: &str = "Could not fetch rule set generation id: Invalid argument";

fn saved_text(save: &Path) -> Result<String, EngineError> {
    let answer = run(save, &["-c"], "")?;
    if answer.status.success() {
        return Ok(answer.stdout);
    }
    if lacks_nf_tables(&answer.stderr) {
        return Ok(String::new());
    }
    Err(permission_or(&answer, || EngineError::Protocol {
        doing: format!("reading rules with {}", save.display()),
        answer: answer.complaint(),
    }))
}

fn lacks_nf_tables(complaint: &str) -> bool {
    complaint.contains(NO_NF_TABLES)
}

fn read_tables(save: &Path) -> Result<Tables, EngineError> {
    let tables = Tables::parse(&saved_text(save)?);
    match tables.unreadable.iter().find(|table| ["filter", "raw", "mangle"].contains(&table.as_str())) {
        Some(table) => Err(EngineError::Unsupported(format!(
            "another program put rules into table {table} that iptables can't write down; see nft list ruleset"
        ))),
        None => Ok(tables),
    }
}

/// Runs a program again while others hold what it needs.
fn patiently(mut attempt: impl FnMut() -> Result<Answer, EngineError>) -> Result<Answer, EngineError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let answer = attempt()?;
        let is_busy = BUSY.iter().any(|words| answer.stderr.contains(words));
        if !is_busy || Instant::now() >= deadline {
            return Ok(answer);
        }
        std::thread::sleep(PAUSE);
    }
}

fn permission_or(answer: &Answer, error: impl FnOnce() -> EngineError) -> EngineError {
    const DENIED: [&str; 3] = ["you must be root", "Operation not permitted", "Permission denied"];
    let is_denied = DENIED.iter().any(|words| answer.stderr.contains(words));
    if is_denied { EngineError::NotPermitted } else { error() }
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

/// The number behind the first "line" of a message: `line 12 failed`, `Error occurred at line: 12`.
fn line_number(text: &str) -> Option<usize> {
    text.split("line").skip(1).find_map(|rest| {
        let digits = rest.trim_start_matches([' ', ':']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

/// A text without its first lines.
fn after_lines(text: &str, count: usize) -> &str {
    let mut ends = text.match_indices('\n').map(|(at, newline)| at + newline.len());
    let start = count.checked_sub(1).and_then(|last| ends.nth(last)).unwrap_or(0);
    text.get(start..).unwrap_or_default()
}

/// What of this host the engine works with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The programs of the variant that Docker uses.
    pub(crate) tools: Tools,
    /// Those of the other one, where they are there.
    pub(crate) other: Option<Tools>,
    /// Names of protocols.
    pub(crate) protocols: Protocols,
    /// The program `ipset`.
    pub(crate) ipset: PathBuf,
    /// Why rules would not filter on this host, if so.
    pub(crate) unfit: Option<String>,
}

impl Host {
    /// Looks for the programs, and where Docker's chains are.
    pub(crate) fn find(facts: &Facts) -> Result<Self, EngineError> {
        let (usual, other) = tools()?;
        let ipset = find("ipset").ok_or_else(|| missing("ipset"))?;
        let protocols = Protocols::parse(&std::fs::read_to_string("/etc/protocols").unwrap_or_default());
        // What can't be read there has no chains of Docker's that matter here.
        let in_other = other.as_ref().is_some_and(|other| has_docker(other).unwrap_or(false));
        let in_usual = in_other && has_docker(&usual)?;
        let dockers = Dockers { in_usual, in_other, on_nftables: facts.docker_uses_nftables };
        let unfit = dockers.unfit(usual.variant);
        Ok(match other {
            Some(other) if dockers.in_other && !dockers.in_usual => {
                Self { tools: other, other: Some(usual), protocols, ipset, unfit }
            }
            other => Self { tools: usual, other, protocols, ipset, unfit },
        })
    }

    /// An error where rules would not filter on this host.
    pub(crate) fn must_be_fit(&self) -> Result<(), EngineError> {
        self.unfit.clone().map_or(Ok(()), |reason| Err(EngineError::Unsupported(reason)))
    }

    /// What is there.
    pub(crate) fn read(&self) -> Result<Live, EngineError> {
        let sets = || Ok(saved::own_sets(&self.run_ipset(&["save"])?.stdout));
        self.read_with(sets)
    }

    /// What is there once sets were loaded: those that have their final names are complete, and need no reading.
    pub(crate) fn read_after(&self, wanted: &Wanted) -> Result<Live, EngineError> {
        let elements =
            |name: &str| wanted.sets.iter().find(|set| set.name == name).map(|set| set.networks.clone());
        self.read_with(|| {
            let answer = self.run_ipset(&["list", "-n"])?;
            let own = answer.stdout.lines().filter(|name| sets::is_own(name));
            Ok(own.map(|name| (name.to_owned(), elements(name))).collect())
        })
    }

    /// The rules, and at the same time the sets.
    fn read_with(
        &self,
        sets: impl FnOnce() -> Result<BTreeMap<String, Option<Vec<IpNetwork>>>, EngineError> + Send,
    ) -> Result<Live, EngineError> {
        let (families, sets) = both(|| self.tools.read(), sets);
        Ok(Live { families: families?, sets: sets? })
    }

    /// Runs `ipset`, which must succeed.
    fn run_ipset(&self, arguments: &[&str]) -> Result<Answer, EngineError> {
        self.ipset_says(arguments, || run(&self.ipset, arguments, ""))
    }

    /// What a run of `ipset` with these arguments says, which must succeed.
    fn ipset_says(
        &self,
        arguments: &[&str],
        attempt: impl FnMut() -> Result<Answer, EngineError>,
    ) -> Result<Answer, EngineError> {
        let answer = patiently(attempt)?;
        if answer.status.success() {
            return Ok(answer);
        }
        Err(permission_or(&answer, || {
            let operation = format!("ipset {}", arguments.join(" "));
            EngineError::Refused(vec![Refusal { operation, origin: None, reason: answer.complaint() }])
        }))
    }

    /// Makes and fills sets. Where others hold one of them, goes on at the line that had to wait: those before it are done.
    pub(crate) fn restore_sets(&self, text: &str) -> Result<(), EngineError> {
        if text.is_empty() {
            return Ok(());
        }
        let mut rest = text;
        self.ipset_says(&["restore"], || {
            let answer = run(&self.ipset, &["restore"], rest)?;
            let done = line_number(&answer.stderr).map_or(0, |line| line.saturating_sub(1));
            rest = after_lines(rest, done);
            Ok(answer)
        })
        .map(drop)
    }

    /// Destroys sets. One that is in use for longer stays for the next time. Returns those that are gone.
    pub(crate) fn destroy_sets<'a>(&self, names: &'a [String]) -> Result<Vec<&'a str>, EngineError> {
        let deadline = Instant::now() + RELEASE;
        let mut gone = Vec::new();
        for name in names {
            match destroy_set(&self.ipset, name, deadline)? {
                None => gone.push(name.as_str()),
                Some(complaint) => log::warn!("the set {name} stays for now: {complaint}"),
            }
        }
        Ok(gone)
    }
}

/// Destroys a set, which the kernel may have to be asked for more than once. Returns its complaint where the set stays.
fn destroy_set(ipset: &Path, name: &str, deadline: Instant) -> Result<Option<String>, EngineError> {
    loop {
        let answer = run(ipset, &["destroy", name], "")?;
        if answer.status.success() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(answer.complaint()));
        }
        std::thread::sleep(PAUSE / 5);
    }
}

/// Destroys a set that no rule names any more. Returns the kernel's complaint where it stays.
pub(crate) fn release_set(ipset: &Path, name: &str) -> Result<Option<String>, EngineError> {
    destroy_set(ipset, name, Instant::now() + RELEASE)
}

/// The programs of the variant that Docker finds, and those of the other one, where they are there.
pub(crate) fn tools() -> Result<(Tools, Option<Tools>), EngineError> {
    let iptables = find("iptables").ok_or_else(|| missing("iptables"))?;
    let variant = Variant::of_version(&run(&iptables, &["--version"], "")?.stdout);
    let usual = Tools::find(variant, "").ok_or_else(|| missing("iptables-restore"))?;
    let other = Tools::find(variant.other(), &format!("-{}", variant.other().name()));
    Ok((usual, other))
}

/// The variants of iptables in which Docker's chains are: `legacy`, `nft`, both or none. What can't be read has none.
pub fn docker_chains() -> Result<Vec<&'static str>, EngineError> {
    let (usual, other) = tools()?;
    let in_usual = has_docker(&usual)?.then_some(usual.variant);
    let other = other.filter(|other| has_docker(other).unwrap_or(false)).map(|other| other.variant);
    Ok(in_usual.into_iter().chain(other).map(Variant::name).collect())
}

/// Where Docker's chains are.
#[derive(Clone, Copy, Debug)]
struct Dockers {
    in_usual: bool,
    in_other: bool,
    /// There it has no DOCKER-USER: rules in that chain would filter nothing.
    on_nftables: bool,
}

impl Dockers {
    /// Why rules would not filter, if so.
    fn unfit(self, usual: Variant) -> Option<String> {
        if self.on_nftables {
            let reason = "Docker uses its nftables backend, which passes DOCKER-USER by; use --backend nftables, \
                          or where Docker is back on iptables, delete its tables docker-bridges";
            return Some(reason.into());
        }
        let other = usual.other().name();
        (self.in_usual && self.in_other).then(|| {
            format!(
                "Docker's chains are in both iptables-nft and iptables-legacy, of which only one can be in use; \
                 take out those that iptables-{other}-save shows, or restart the host, and apply again"
            )
        })
    }
}

fn has_docker(tools: &Tools) -> Result<bool, EngineError> {
    Ok(tools.read()?.values().any(Tables::have_docker))
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
    fn a_split_brain_and_dockers_own_nftables_are_refused() {
        let unfit =
            |in_usual, in_other, on_nftables| Dockers { in_usual, in_other, on_nftables }.unfit(Variant::Nft);
        assert!(unfit(true, true, false).unwrap().contains("iptables-legacy-save"));
        assert!(unfit(true, false, true).unwrap().contains("nftables backend"));
        assert_eq!(
            [unfit(true, false, false), unfit(false, true, false), unfit(false, false, false)],
            [None, None, None]
        );
    }

    #[test]
    fn a_kernel_without_nf_tables_has_no_rules_there() {
        let said = |why| {
            format!("iptables-nft-save v1.8.7 (nf_tables): Could not fetch rule set generation id: {why}")
        };
        assert!(lacks_nf_tables(&said("Invalid argument")));
        assert!(!lacks_nf_tables(&said("Permission denied (you must be root)")));
    }

    #[test]
    fn messages_name_lines() {
        assert_eq!(line_number("iptables-restore: line 12 failed"), Some(12));
        assert_eq!(line_number("iptables-restore v1.4.21: x\nError occurred at line: 3\nTry"), Some(3));
        assert_eq!(line_number("line 5: RULE_APPEND failed (No such file): rule in chain A"), Some(5));
        assert_eq!(line_number("no line is named"), None);
        assert_eq!(line_number("ipset v6.29: Error in line 2: Set cannot be created"), Some(2));
    }

    #[test]
    fn a_text_goes_on_behind_the_lines_that_are_done() {
        let rest = [0, 1, 2, 3, 4].map(|count| after_lines("a\nb\nc\n", count));
        assert_eq!(rest, ["a\nb\nc\n", "b\nc\n", "c\n", "", "a\nb\nc\n"]);
    }
}
