//! Who can reach a destination.

use super::matching::{SourceCondition, View};
use super::packet::{Path, Sender};
use super::{Decider, rules};
use crate::ruleset::{Action, Hook, Ruleset};

/// Who may open a connection on a path: the sources of each of these admissions, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience<'a> {
    /// Those who are let through; empty: nobody.
    pub admitted: Vec<Admission<'a>>,
}

/// Sources that one rule lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission<'a> {
    /// The conditions that must all hold of the source; empty: everyone.
    pub sources: Vec<SourceCondition>,
    /// Who is dropped nonetheless: sources for which all conditions of one of these hold.
    pub except: Vec<Vec<SourceCondition>>,
    /// The rule of the path's last hook that lets them through; nothing if no rule objects.
    pub by: Option<Decider<'a>>,
}

impl Audience<'_> {
    /// Returns whether nobody gets through.
    pub fn is_nobody(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Returns whether everyone gets through, except for what is always dropped: blocked sources, and impossible ones.
    pub fn is_everyone(&self) -> bool {
        self.admitted.iter().any(|admission| admission.sources.is_empty())
    }

    /// Returns whether a sender gets through.
    pub fn admits(&self, ruleset: &Ruleset, sender: Sender) -> bool {
        self.admitted.iter().any(|admission| admission.admits(ruleset, sender))
    }
}

impl Admission<'_> {
    /// Returns whether a sender gets through by this rule.
    pub fn admits(&self, ruleset: &Ruleset, sender: Sender) -> bool {
        let all = |conditions: &[SourceCondition]| conditions.iter().all(|one| one.holds(ruleset, sender));
        all(&self.sources) && !self.except.iter().any(|conditions| all(conditions))
    }

    /// Returns those for whom further conditions hold as well.
    fn narrowed(&self, conditions: Vec<SourceCondition>) -> Self {
        let mut narrowed = self.clone();
        narrowed.sources.extend(conditions);
        narrowed
    }

    /// Returns whether none is left: an exception excludes all of them.
    fn is_empty(&self) -> bool {
        self.except.iter().any(|conditions| is_part(conditions, &self.sources))
    }

    /// Returns whether this one lets through all that `other` lets through.
    fn covers(&self, other: &Self) -> bool {
        is_part(&self.sources, &other.sources) && is_part(&self.except, &other.except)
    }
}

/// Returns who may open a connection on a path. The question is about the path's first packet.
///
/// Containers are not a source but an interface: the path's `incoming` shows which of them are meant.
pub fn audience<'a>(ruleset: &'a Ruleset, path: &Path) -> Audience<'a> {
    let mut admitted = vec![Admission { sources: vec![], except: vec![], by: None }];
    for hook in path.hooks() {
        let walk = |admission| admitted_by(ruleset, hook, path, admission);
        admitted = without_covered(admitted.into_iter().flat_map(walk).collect());
    }
    Audience { admitted }
}

/// Returns which of the sources that arrive at a hook it lets through.
fn admitted_by<'a>(
    ruleset: &'a Ruleset,
    hook: Hook,
    path: &Path,
    mut rest: Admission<'a>,
) -> Vec<Admission<'a>> {
    let view = View { ruleset, hook, path };
    let mut admitted: Vec<Admission<'a>> = Vec::new();
    for (index, rule) in rules(ruleset, hook) {
        let Some(conditions) = view.conditions(rule) else { continue };
        let is_open = |condition: &SourceCondition| !rest.sources.contains(condition);
        let open: Vec<_> = conditions.iter().filter(|one| is_open(one)).cloned().collect();
        let by = Some(Decider { index, rule });
        match (&rule.action, open.is_empty()) {
            (Action::Log { .. }, _) => {}
            (Action::Pass, false) => admitted.push(Admission { by, ..rest.narrowed(open) }),
            (Action::Pass, true) => return with_rest(admitted, Admission { by, ..rest }),
            // A later hook drops for the same reasons again.
            (Action::Drop, false) if rest.except.contains(&conditions) => {}
            (Action::Drop, false) => rest.except.push(conditions),
            (Action::Drop, true) => return admitted,
        }
    }
    with_rest(admitted, Admission { by: None, ..rest })
}

/// Returns the admissions with that of all others; if nobody was dropped in between, an earlier one is part of it.
fn with_rest<'a>(mut admitted: Vec<Admission<'a>>, rest: Admission<'a>) -> Vec<Admission<'a>> {
    admitted.retain(|admission| admission.except.len() < rest.except.len());
    admitted.push(rest);
    admitted
}

/// Returns each admission that lets someone through whom no other does; of equals, the first.
fn without_covered(admitted: Vec<Admission<'_>>) -> Vec<Admission<'_>> {
    let mut kept: Vec<Admission<'_>> = Vec::new();
    for admission in admitted {
        if !admission.is_empty() && !kept.iter().any(|other| other.covers(&admission)) {
            kept.retain(|other| !admission.covers(other));
            kept.push(admission);
        }
    }
    kept
}

/// Returns whether all of `part` is in `whole`.
fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    part.iter().all(|one| whole.contains(one))
}
