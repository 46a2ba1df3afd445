//! The program `ipset`: its listings, and its input.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dockfw_policy::engine::{EngineError, Refusal};
use dockfw_system::programs::{Answer, Limits, find};

use crate::kernel::may_have_sets;
use crate::names::is_own_set;
use crate::run::{LOAD, PAUSE, SETS, line_number, patiently, permission_or, run};
use crate::tools::missing;

/// How long the kernel may take to release sets: it releases the rules of a transaction afterwards.
const RELEASE: Duration = Duration::from_secs(2);
/// Lists the names of sets, without their contents.
const LIST: &[&str] = &["list", "-n"];

/// The program `ipset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipset(PathBuf);

impl Ipset {
    /// Returns the program, if it is there.
    pub fn find() -> Option<Self> {
        find("ipset").map(Self)
    }

    /// Returns the program. Fails with [`EngineError::Unsupported`] if it is not there.
    pub fn find_or_fail() -> Result<Self, EngineError> {
        Self::find().ok_or_else(|| missing("ipset"))
    }

    /// Returns the names of all sets.
    pub fn names(&self) -> Result<Vec<String>, EngineError> {
        let answer = must_succeed(LIST, || run(&self.0, LIST, "", Limits::QUESTION))?;
        Ok(answer.stdout.lines().map(str::to_owned).collect())
    }

    /// Returns the names of the engine's own sets.
    pub fn own_names(&self) -> Result<Vec<String>, EngineError> {
        Ok(self.names()?.into_iter().filter(|name| is_own_set(name)).collect())
    }

    /// Returns all sets with their elements, as the program writes them.
    pub fn saved(&self) -> Result<String, EngineError> {
        Ok(must_succeed(&["save"], || run(&self.0, &["save"], "", SETS))?.stdout)
    }

    /// Creates and fills sets. If others hold one of them, continues at the line that had to wait: those before it are
    /// done.
    pub fn restore(&self, text: &str) -> Result<(), EngineError> {
        let mut rest = text;
        must_succeed(&["restore"], || {
            let answer = run(&self.0, &["restore"], rest, LOAD)?;
            let done = line_number(&answer.stderr).map_or(0, |line| line.saturating_sub(1));
            rest = after_lines(rest, done);
            Ok(answer)
        })
        .map(drop)
    }

    /// Destroys a set that no rule names any more. Returns the kernel's reason if the set stays.
    pub fn destroy(&self, name: &str) -> Result<Option<String>, EngineError> {
        destroy_until(&self.0, name, Instant::now() + RELEASE)
    }

    /// Destroys sets, which no rule names any more. If that fails for one, it stays for the next time: it decides nothing.
    /// Returns those that were destroyed.
    pub fn destroy_all<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        let deadline = Instant::now() + RELEASE;
        let why_it_stays = |name: &str| match destroy_until(&self.0, name, deadline) {
            Ok(complaint) => complaint,
            Err(error) => Some(error.in_full()),
        };
        let is_gone = |name: &&str| {
            let reason = why_it_stays(name);
            reason.iter().for_each(|reason| log::warn!("the set {name} stays for now: {reason}"));
            reason.is_none()
        };
        names.iter().map(String::as_str).filter(is_gone).collect()
    }
}

/// Returns the names of all sets. If the kernel has no module for sets, no program is asked: the program `ipset` would
/// load the module.
pub fn names() -> Result<Vec<String>, EngineError> {
    let Some(ipset) = Ipset::find().filter(|_| may_have_sets()) else { return Ok(Vec::new()) };
    ipset.names()
}

/// Returns whether a set certainly does not exist. If the program `ipset` is missing, and the kernel may have sets,
/// that is unknown: a rule that names the set is then refused by the kernel, or not.
pub(crate) fn is_gone(name: &str) -> Result<bool, EngineError> {
    if !may_have_sets() {
        return Ok(true);
    }
    let Some(ipset) = Ipset::find() else { return Ok(false) };
    Ok(!ipset.names()?.iter().any(|own| own == name))
}

/// Returns the answer to these arguments, which must be a success.
fn must_succeed(
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

/// Destroys a set. The kernel may have to be asked more than once. Returns its reason if the set stays.
fn destroy_until(ipset: &Path, name: &str, deadline: Instant) -> Result<Option<String>, EngineError> {
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

/// Returns a string without its first lines.
fn after_lines(text: &str, count: usize) -> &str {
    let mut ends = text.match_indices('\n').map(|(at, newline)| at + newline.len());
    let start = count.checked_sub(1).and_then(|last| ends.nth(last)).unwrap_or(0);
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_behind_the_lines_that_are_done() {
        let rest = [0, 1, 2, 3, 4].map(|count| after_lines("a\nb\nc\n", count));
        assert_eq!(rest, ["a\nb\nc\n", "b\nc\n", "c\n", "", "a\nb\nc\n"]);
    }
}
