//! What of this host the engine works with: the variant of iptables that Docker uses, and ipset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dockfw_policy::engine::{EngineError, Refusal};
use dockfw_system::files;
use dockfw_system::programs::{Answer, Limits, both, find};
use ipnetwork::IpNetwork;

use crate::Facts;
use crate::normal::Protocols;
use crate::plan::Live;
use crate::run::{LOAD, PAUSE, SETS, ask, line_number, patiently, permission_or, run};
use crate::saved::{self, Tables};
use crate::sets;
use crate::tools::{Tools, Variant, missing};
use crate::wanted::Wanted;

/// How long the kernel may take to let go of sets: it releases the rules of a transaction after the fact.
const RELEASE: Duration = Duration::from_secs(2);
/// Lists the names of sets, and nothing of what is in them.
const LIST: &[&str] = &["list", "-n"];

/// What of this host the engine works with.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The programs of the variant that Docker uses.
    pub(crate) tools: Tools,
    /// Those of the other one, where they are there.
    pub(crate) other: Option<Tools>,
    /// Names of protocols.
    pub(crate) protocols: Protocols,
    /// The program `ipset`, without which rules can be taken out, and no more.
    pub(crate) ipset: Option<PathBuf>,
    /// Why the engine is not for this host, if so.
    pub(crate) unfit: Option<String>,
}

impl Host {
    /// Looks for the programs, and where Docker's chains are.
    pub(crate) fn find(facts: &Facts) -> Result<Self, EngineError> {
        let (usual, other) = tools()?;
        let ipset = find("ipset");
        let protocols = protocols();
        // What can't be read there has no chains of Docker's that matter here.
        let in_other = other.as_ref().is_some_and(|other| has_docker(other).unwrap_or(false));
        let in_usual = in_other && has_docker(&usual)?;
        let on_nftables = facts.docker_uses_nftables.is_some_and(|tell| tell());
        let dockers = Dockers { in_usual, in_other, on_nftables };
        let unfit = dockers.unfit(usual.variant);
        Ok(match other {
            Some(other) if dockers.in_other && !dockers.in_usual => {
                Self { tools: other, other: Some(usual), protocols, ipset, unfit }
            }
            other => Self { tools: usual, other, protocols, ipset, unfit },
        })
    }

    /// An error where the engine is not for this host.
    pub(crate) fn must_be_fit(&self) -> Result<(), EngineError> {
        self.ipset().and_then(|_| self.must_be_fit_for_rules())
    }

    /// The same of what has rules, and no sets.
    pub(crate) fn must_be_fit_for_rules(&self) -> Result<(), EngineError> {
        match &self.unfit {
            Some(reason) => Err(EngineError::Unsupported(reason.clone())),
            None => self.tools.must_have_tables(),
        }
    }

    fn ipset(&self) -> Result<&Path, EngineError> {
        self.ipset.as_deref().ok_or_else(|| missing("ipset"))
    }

    /// What is there.
    pub(crate) fn read(&self) -> Result<Live, EngineError> {
        self.read_with(|| self.own_sets())
    }

    /// What is there before this is put in force.
    pub(crate) fn read_before(&self, wanted: &Wanted) -> Result<Live, EngineError> {
        if wanted.sets.is_empty() { self.read_after(wanted) } else { self.read() }
    }

    /// What is there once sets were loaded: those that have their final names are complete, and need no reading.
    pub(crate) fn read_after(&self, wanted: &Wanted) -> Result<Live, EngineError> {
        let elements =
            |name: &str| wanted.sets.iter().find(|set| set.name == name).map(|set| set.networks.clone());
        self.read_with(|| match self.own_names() {
            Ok(names) => Ok(names.into_iter().map(|name| (name.clone(), elements(&name))).collect()),
            // Rules alone are put in force without the program: the fail-safe is.
            Err(error) if wanted.sets.is_empty() => {
                log::warn!("sets of an earlier policy, if there are any, stay for now: {}", error.in_full());
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        })
    }

    fn own_names(&self) -> Result<Vec<String>, EngineError> {
        Ok(set_names_of(self.ipset()?)?.into_iter().filter(|name| sets::is_own(name)).collect())
    }

    /// The elements of all sets are asked for only if there is one of the engine's own.
    fn own_sets(&self) -> Result<BTreeMap<String, Option<Vec<IpNetwork>>>, EngineError> {
        if self.own_names()?.is_empty() {
            Ok(BTreeMap::new())
        } else {
            Ok(saved::own_sets(&saved_sets(self.ipset()?)?))
        }
    }

    /// The rules, and at the same time the sets.
    fn read_with(
        &self,
        sets: impl FnOnce() -> Result<BTreeMap<String, Option<Vec<IpNetwork>>>, EngineError> + Send,
    ) -> Result<Live, EngineError> {
        let (families, sets) = both(|| self.tools.read(), sets);
        Ok(Live { families: families?, sets: sets? })
    }

    /// Makes and fills sets. Where others hold one of them, goes on at the line that had to wait: those before it are done.
    pub(crate) fn restore_sets(&self, text: &str) -> Result<(), EngineError> {
        if text.is_empty() {
            return Ok(());
        }
        let (ipset, mut rest) = (self.ipset()?, text);
        ipset_says(&["restore"], || {
            let answer = run(ipset, &["restore"], rest, LOAD)?;
            let done = line_number(&answer.stderr).map_or(0, |line| line.saturating_sub(1));
            rest = after_lines(rest, done);
            Ok(answer)
        })
        .map(drop)
    }

    /// Destroys sets, which no rule names any more. One for which that fails stays for the next time: it decides nothing. Returns those
    /// that are gone.
    pub(crate) fn destroy_sets<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        let deadline = Instant::now() + RELEASE;
        let is_gone = |name: &&String| match self.ipset().and_then(|ipset| destroy_set(ipset, name, deadline))
        {
            Ok(None) => true,
            Ok(Some(complaint)) => {
                log::warn!("the set {name} stays for now: {complaint}");
                false
            }
            Err(error) => {
                log::warn!("the set {name} stays for now: {}", error.in_full());
                false
            }
        };
        names.iter().filter(is_gone).map(String::as_str).collect()
    }
}

/// What a run of `ipset` with these arguments says, which must succeed.
fn ipset_says(
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

/// A text without its first lines.
fn after_lines(text: &str, count: usize) -> &str {
    let mut ends = text.match_indices('\n').map(|(at, newline)| at + newline.len());
    let start = count.checked_sub(1).and_then(|last| ends.nth(last)).unwrap_or(0);
    text.get(start..).unwrap_or_default()
}

/// Destroys a set, which the kernel may have to be asked for more than once. Returns its complaint where the set stays.
fn destroy_set(ipset: &Path, name: &str, deadline: Instant) -> Result<Option<String>, EngineError> {
    loop {
        let answer = run(ipset, &["destroy", name], "", Limits::QUESTION)?;
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

/// The names of protocols on this host.
fn protocols() -> Protocols {
    const MAX_SIZE: u64 = 1 << 20;
    Protocols::parse(&files::read_text(Path::new("/etc/protocols"), MAX_SIZE).unwrap_or_default())
}

/// The names of all sets. Where the kernel has none to speak of, nobody is asked: the program `ipset` would load the module.
pub(crate) fn set_names() -> Result<Vec<String>, EngineError> {
    let Some(ipset) = find("ipset").filter(|_| may_have_sets()) else { return Ok(Vec::new()) };
    set_names_of(&ipset)
}

/// All sets with their elements, as this program writes them.
pub(crate) fn saved_sets(ipset: &Path) -> Result<String, EngineError> {
    Ok(ipset_says(&["save"], || run(ipset, &["save"], "", SETS))?.stdout)
}

/// The names of all sets, by this program.
pub(crate) fn set_names_of(ipset: &Path) -> Result<Vec<String>, EngineError> {
    let answer = ipset_says(LIST, || run(ipset, LIST, "", Limits::QUESTION))?;
    Ok(answer.stdout.lines().map(str::to_owned).collect())
}

/// Whether a set is certain not to be there. Where the program `ipset` is gone, and the kernel may have sets, nobody can tell: a rule
/// that names the set is then refused by the kernel, or not.
pub(crate) fn is_set_gone(name: &str) -> Result<bool, EngineError> {
    if !may_have_sets() {
        return Ok(true);
    }
    let Some(ipset) = find("ipset") else { return Ok(false) };
    Ok(!set_names_of(&ipset)?.iter().any(|own| own == name))
}

/// The module has a parameter (`max_sets`, net/netfilter/ipset/ip_set_core.c), and so its place there, also where it is built in.
fn may_have_sets() -> bool {
    let modules = Path::new("/sys/module");
    modules.join("ip_set").exists() || !modules.exists()
}

/// The programs of the variant that Docker finds, and those of the other one, where they are there.
pub(crate) fn tools() -> Result<(Tools, Option<Tools>), EngineError> {
    let iptables = find("iptables").ok_or_else(|| missing("iptables"))?;
    let variant = Variant::of_version(&ask(&iptables, &["--version"])?);
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
    /// There it has no DOCKER-USER, and the kernel has what the native engine needs.
    on_nftables: bool,
}

impl Dockers {
    /// Why the engine is not for this host, if so.
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
    fn a_text_goes_on_behind_the_lines_that_are_done() {
        let rest = [0, 1, 2, 3, 4].map(|count| after_lines("a\nb\nc\n", count));
        assert_eq!(rest, ["a\nb\nc\n", "b\nc\n", "c\n", "", "a\nb\nc\n"]);
    }
}
