//! Walks a ruleset as a packet would, and returns which rule decides and who gets through.
//!
//! One place asks whether a rule's matches hold, without knowing who sent the packet: they do, they do not, or it
//! depends on the source. [`explain`] knows the source and settles that; [`audience`](audience()) collects what it
//! depends on.

mod audience;
mod matching;
mod packet;

pub use audience::{Admission, Audience, audience};
pub use matching::SourceCondition;
pub use packet::{Connection, Interface, Packet, Path, Payload, Sender, Translation, USUAL_HOP_LIMIT};

use crate::ruleset::{Action, Hook, Rule, Ruleset};
use matching::View;

/// What becomes of a packet, as far as dockfw decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No objection.
    Pass,
    /// It is gone.
    Drop,
}

/// What a hook decides about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The hook.
    pub hook: Hook,
    /// What it decides.
    pub verdict: Verdict,
    /// The rule that decides; without one the packet passes.
    pub by: Option<Decider<'a>>,
}

/// A rule that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decider<'a> {
    /// Its place among the rules of its hook, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
}

/// Returns what one hook decides about a packet that arrives at it.
pub fn explain<'a>(ruleset: &'a Ruleset, hook: Hook, packet: &Packet) -> Decision<'a> {
    let view = View { ruleset, hook, path: &packet.path };
    let holds = |rule: &Rule| {
        let conditions = view.conditions(rule);
        conditions.is_some_and(|all| all.iter().all(|one| one.holds(ruleset, packet.sender)))
    };
    for (index, rule) in rules(ruleset, hook) {
        let verdict = match rule.action {
            Action::Pass => Verdict::Pass,
            Action::Drop => Verdict::Drop,
            Action::Log { .. } => continue,
        };
        if holds(rule) {
            return Decision { hook, verdict, by: Some(Decider { index, rule }) };
        }
    }
    Decision { hook, verdict: Verdict::Pass, by: None }
}

/// Returns what each hook on the packet's route decides, to the end or to the first that drops it.
pub fn explain_path<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Vec<Decision<'a>> {
    let mut decisions = Vec::new();
    for hook in packet.path.hooks() {
        let decision = explain(ruleset, hook, packet);
        decisions.push(decision);
        if decision.verdict == Verdict::Drop {
            break;
        }
    }
    decisions
}

/// Returns what becomes of the packet on its whole route.
pub fn verdict(ruleset: &Ruleset, packet: &Packet) -> Verdict {
    explain_path(ruleset, packet).last().map_or(Verdict::Pass, |decision| decision.verdict)
}

/// Returns the rules of a hook, numbered.
fn rules(ruleset: &Ruleset, hook: Hook) -> impl Iterator<Item = (usize, &Rule)> {
    ruleset.rules(hook).enumerate()
}
