//! Who can reach a destination.

use std::collections::HashMap;

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

impl<'a> Admission<'a> {
    /// Returns whether a sender gets through by this rule.
    pub fn admits(&self, ruleset: &Ruleset, sender: Sender) -> bool {
        let all = |conditions: &[SourceCondition]| conditions.iter().all(|one| one.holds(ruleset, sender));
        all(&self.sources) && !self.except.iter().any(|conditions| all(conditions))
    }

    /// Returns those of them for whom a rule's conditions hold as well.
    fn narrowed(&self, taken: &Taken<'a>) -> Self {
        let further = taken.conditions.iter().filter(|condition| !self.sources.contains(condition));
        let sources = self.sources.iter().chain(further).cloned().collect();
        Self { sources, except: self.except.clone(), by: Some(taken.by) }
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
///
/// The last hook comes first. Whom it lets through, the earlier ones rarely distinguish further: the other way around, each
/// of thousands whom the first hook lets through would meet each of those of the last one.
pub fn audience<'a>(ruleset: &'a Ruleset, path: &Path) -> Audience<'a> {
    let [earlier @ .., last] = path.hooks().map(|hook| Stages::of(ruleset, hook, path));
    let everyone = Admission { sources: vec![], except: vec![], by: None };
    let by_last = without_covered(last.admitted(everyone));
    let admitted = earlier.iter().rev().fold(by_last, |admitted, hook| {
        let through = admitted.into_iter().flat_map(|admission| {
            let by = admission.by;
            hook.admitted(admission).into_iter().map(move |admitted| Admission { by, ..admitted })
        });
        without_covered(through.collect())
    });
    Audience { admitted }
}

/// A rule that may be taken on a path, and what must hold of the source then.
struct Taken<'a> {
    by: Decider<'a>,
    conditions: Vec<SourceCondition>,
}

/// Rules in a row that pass, in any order, and the one behind them that drops.
#[derive(Default)]
struct Stage<'a> {
    passes: Vec<Taken<'a>>,
    /// For each condition that is enough to pass, the first rule that asks for it.
    enough: HashMap<SourceCondition, usize>,
    /// The first rule that passes everyone.
    everyone: Option<usize>,
    drop: Option<Taken<'a>>,
}

impl<'a> Stage<'a> {
    fn pass(&mut self, taken: Taken<'a>) {
        let place = self.passes.len();
        match taken.conditions.as_slice() {
            [] => _ = self.everyone.get_or_insert(place),
            [only] => _ = self.enough.entry(only.clone()).or_insert(place),
            _ => {}
        }
        self.passes.push(taken);
    }

    /// Returns the first rule that passes all of these sources, as far as one condition decides.
    fn passing(&self, sources: &[SourceCondition]) -> Option<&Taken<'a>> {
        let first = sources.iter().filter_map(|condition| self.enough.get(condition));
        self.passes.get(first.chain(&self.everyone).copied().min()?)
    }
}

/// The rules of a hook that may be taken on a path.
struct Stages<'a>(Vec<Stage<'a>>);

impl<'a> Stages<'a> {
    fn of(ruleset: &'a Ruleset, hook: Hook, path: &Path) -> Self {
        let view = View { ruleset, hook, path };
        let (mut done, mut stage) = (Vec::new(), Stage::default());
        for (index, rule) in rules(ruleset, hook) {
            let Some(conditions) = view.conditions(rule) else { continue };
            let taken = Taken { by: Decider { index, rule }, conditions };
            match rule.action {
                Action::Log { .. } => {}
                Action::Pass => stage.pass(taken),
                Action::Drop => done.push(Stage { drop: Some(taken), ..std::mem::take(&mut stage) }),
            }
        }
        done.push(stage);
        Self(done)
    }

    /// Returns which of the sources that arrive at the hook it lets through.
    fn admitted(&self, mut rest: Admission<'a>) -> Vec<Admission<'a>> {
        let mut admitted: Vec<Admission<'a>> = Vec::new();
        for stage in &self.0 {
            if let Some(all) = stage.passing(&rest.sources) {
                return with_rest(admitted, Admission { by: Some(all.by), ..rest });
            }
            admitted.extend(stage.passes.iter().map(|taken| rest.narrowed(taken)));
            let Some(drop) = &stage.drop else { break };
            if drop.conditions.iter().all(|condition| rest.sources.contains(condition)) {
                return admitted;
            }
            // The other hook drops for the same reasons again.
            if !rest.except.contains(&drop.conditions) {
                rest.except.push(drop.conditions.clone());
            }
        }
        with_rest(admitted, Admission { by: None, ..rest })
    }
}

/// Returns the admissions with that of all others; if nobody was dropped in between, an earlier one is part of it.
fn with_rest<'a>(mut admitted: Vec<Admission<'a>>, rest: Admission<'a>) -> Vec<Admission<'a>> {
    admitted.retain(|admission| admission.except.len() < rest.except.len());
    admitted.push(rest);
    admitted
}

/// Returns each admission that lets someone through whom no other does; of equals, the first.
fn without_covered(admitted: Vec<Admission<'_>>) -> Vec<Admission<'_>> {
    let mut rest: Vec<_> = admitted.into_iter().enumerate().filter(|(_, one)| !one.is_empty()).collect();
    // What covers another one has no more conditions.
    rest.sort_by_key(|(_, admission)| (admission.sources.len(), admission.except.len()));
    // By their first condition, which all that they cover have too.
    let mut kept: HashMap<Option<SourceCondition>, Vec<(usize, Admission<'_>)>> = HashMap::new();
    for (place, admission) in rest {
        let firsts = std::iter::once(None).chain(admission.sources.iter().cloned().map(Some));
        let mut others = firsts.filter_map(|first| kept.get(&first)).flatten();
        if !others.any(|(_, other)| other.covers(&admission)) {
            kept.entry(admission.sources.first().cloned()).or_default().push((place, admission));
        }
    }
    let mut kept: Vec<_> = kept.into_values().flatten().collect();
    kept.sort_by_key(|(place, _)| *place);
    kept.into_iter().map(|(_, admission)| admission).collect()
}

/// Returns whether all of `part` is in `whole`.
fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    part.iter().all(|one| whole.contains(one))
}
