//! How much of the engine is on the host, asked of as few programs as can be: every apply of the other engine
//! asks it.

use std::path::PathBuf;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{EngineError, Presence};

use crate::run::{at_once, find, run};
use crate::saved::Tables;
use crate::sets;
use crate::tools::{base_name, may_have_legacy_tables};

/// Looks in both variants of iptables, and for sets: all at once.
/// What can't be read holds nothing of ours.
pub(crate) fn presence() -> Result<Presence, EngineError> {
    let saves = Family::BOTH.into_iter().flat_map(programs);
    let questions = saves.map(Question::Rules).chain(find("ipset").map(Question::Sets));
    let answers = at_once(questions, |question| question.answer());
    let found: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    Ok(presence_of(found.contains(&Presence::Rules), found.contains(&Presence::Leftovers)))
}

/// Sets alone judge no packet.
pub(crate) fn presence_of(rules: bool, sets: bool) -> Presence {
    match (rules, sets) {
        (true, _) => Presence::Rules,
        (false, true) => Presence::Leftovers,
        (false, false) => Presence::Nothing,
    }
}

/// What of ours is among what a program lists.
enum Question {
    /// Of `iptables-save` and its like.
    Rules(PathBuf),
    /// Of `ipset`.
    Sets(PathBuf),
}

impl Question {
    fn answer(&self) -> Result<Presence, EngineError> {
        match self {
            Self::Rules(save) => {
                let answer = run(save, &["-c"], "")?;
                let have_own = answer.status.success() && Tables::parse(&answer.stdout).have_own();
                Ok(presence_of(have_own, false))
            }
            Self::Sets(ipset) => {
                let names = run(ipset, &["list", "-n"], "")?.stdout;
                Ok(presence_of(false, names.lines().any(sets::is_own)))
            }
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
