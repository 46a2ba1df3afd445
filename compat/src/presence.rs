//! Whether anything of the engine is on the host, asked of as few programs as can be: every apply of the other engine
//! asks it.

use std::path::{Path, PathBuf};
use std::thread;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;

use crate::run::{find, run};
use crate::saved::Tables;
use crate::sets;

/// Looks in both variants of iptables, and for sets: all at once, for to start a program takes longer than its answer.
/// What can't be read holds nothing of ours.
pub(crate) fn is_present() -> Result<bool, EngineError> {
    let saves = Family::BOTH.into_iter().flat_map(programs);
    let questions: Vec<Question> =
        saves.map(Question::Rules).chain(find("ipset").map(Question::Sets)).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = questions.iter().map(|question| scope.spawn(|| question.is_yes())).collect();
        asked.into_iter().map(|answer| answer.join().unwrap_or(Ok(false))).collect()
    });
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
