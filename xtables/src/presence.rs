//! How much of the engine is on the host, with as few programs as possible: every apply of the other engine asks this.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{EngineError, Presence};
use dockfw_system::programs::at_once;

use crate::ipset;
use crate::names::{is_own_set, is_unmistakable};
use crate::ownership::have_own;
use crate::saved::Tables;
use crate::savers::{legacy_saver, savers};
use crate::tools::saved_text;

/// Looks in both variants of iptables, and for sets: all at once. `chains` are the names of all chains that
/// iptables-nft could have, as the kernel lists them; without these, iptables-nft is asked, which takes longer the more
/// rules there are. An error if one of them can't be read, and no rules are elsewhere.
pub fn presence(chains: Option<BTreeSet<String>>) -> Result<Presence, EngineError> {
    let saves = Family::BOTH.into_iter().flat_map(|family| match chains {
        Some(_) => Vec::from_iter(legacy_saver(family)),
        None => savers(family),
    });
    let questions = saves.map(Question::Rules).chain([Question::Sets]);
    let answers = at_once(questions, |question| question.answer());
    let have_own = chains.is_some_and(|chains| chains.iter().any(|name| is_unmistakable(name)));
    if have_own || answers.iter().any(|answer| matches!(answer, Ok(Presence::Rules))) {
        return Ok(Presence::Rules);
    }
    let found: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    Ok(presence_of(false, found.contains(&Presence::Leftovers)))
}

/// Returns the presence. Sets alone affect no packet.
pub fn presence_of(rules: bool, sets: bool) -> Presence {
    match (rules, sets) {
        (true, _) => Presence::Rules,
        (false, true) => Presence::Leftovers,
        (false, false) => Presence::Nothing,
    }
}

/// A question about what is ours in a program's listing.
enum Question {
    /// To `iptables-save` and its like.
    Rules(PathBuf),
    /// To `ipset`.
    Sets,
}

impl Question {
    fn answer(&self) -> Result<Presence, EngineError> {
        match self {
            Self::Rules(save) => Ok(presence_of(have_own(&Tables::parse(&saved_text(save)?)), false)),
            Self::Sets => Ok(presence_of(false, ipset::names()?.iter().any(|name| is_own_set(name)))),
        }
    }
}
