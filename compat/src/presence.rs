//! Whether anything of the engine is on the host, asked of as few programs as can be: every apply of the other engine
//! asks it.

use std::path::PathBuf;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;

use crate::host::{base_name, may_have_legacy_tables};
use crate::run::{at_once, find, run};
use crate::saved::Tables;
use crate::sets;

/// Looks in both variants of iptables, and for sets: all at once.
/// What can't be read holds nothing of ours.
pub(crate) fn is_present() -> Result<bool, EngineError> {
    let saves = Family::BOTH.into_iter().flat_map(programs);
    let questions = saves.map(Question::Rules).chain(find("ipset").map(Question::Sets));
    let answers = at_once(questions, |question| question.is_yes());
    answers.into_iter().try_fold(false, |found, answer| Ok(found | answer?))
}

/// Whether something of ours is among what a program lists.
enum Question {
    /// Of `iptables-save` and its like.
    Rules(PathBuf),
    /// Of `ipset`.
    Sets(PathBuf),
}

impl Question {
    fn is_yes(&self) -> Result<bool, EngineError> {
        match self {
            Self::Rules(save) => {
                let answer = run(save, &["-c"], "")?;
                Ok(answer.status.success() && Tables::parse(&answer.stdout).have_own())
            }
            Self::Sets(ipset) => Ok(run(ipset, &["list", "-n"], "")?.stdout.lines().any(sets::is_own)),
        }
    }
}

/// The programs that list rules of a family: of each variant that may have any, or the only one that there is.
fn programs(family: Family) -> Vec<PathBuf> {
    let base = base_name(family);
    let (legacy, nft) = (find(&format!("{base}-legacy-save")), find(&format!("{base}-nft-save")));
    if legacy.is_none() && nft.is_none() {
        return find(&format!("{base}-save")).into_iter().collect();
    }
    legacy.filter(|_| may_have_legacy_tables(family)).into_iter().chain(nft).collect()
}
