//! The steps of an apply: carries out a [`plan`](mod@crate::plan) one by one.

use dockfw_policy::address::Family;
use dockfw_policy::difference::{Difference, DifferenceKind, Part};
use dockfw_policy::engine::EngineError;
use dockfw_system::programs::both;
use dockfw_xtables::remove::removals_from_other;
use dockfw_xtables::restore::Restore;
use dockfw_xtables::tools::Tools;

use crate::host::Host;
use crate::plan::Plan;

/// The steps of an apply. If it is killed between two steps, each family is at the old policy or at the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Creates new sets, empty.
    StandIn,
    /// Fills sets. Meanwhile the rules are judged, of both families before either changes: a judgement takes the kernel
    /// many milliseconds, most of them spent waiting.
    FillAndJudge,
    /// Puts the rules of this family in force.
    Restore(Family),
    /// Removes what an earlier apply left in the other variant of iptables.
    CleanOther,
    /// Destroys sets that no rule names any more.
    Destroy,
}

impl Step {
    /// All of them, in order.
    pub(crate) const ALL: &[Self] = &[
        Self::StandIn,
        Self::FillAndJudge,
        Self::Restore(Family::Ipv6),
        Self::Restore(Family::Ipv4),
        Self::CleanOther,
        Self::Destroy,
    ];
}

/// Carries out these steps of a plan. Returns what was done that is not among the plan's differences.
pub(crate) fn carry_out(host: &Host, plan: &Plan, steps: &[Step]) -> Result<Vec<Difference>, EngineError> {
    let mut done = Vec::new();
    let mut switched = None;
    for step in steps {
        match step {
            Step::StandIn => host.restore_sets(&plan.stand_ins)?,
            Step::FillAndJudge => fill_and_judge(host, plan)?,
            Step::Restore(family) => {
                let Some(restore) = plan.restores.iter().find(|restore| restore.family == *family) else {
                    continue;
                };
                put_in_force(host, restore, switched)?;
                switched = Some(*family);
            }
            Step::CleanOther => done.extend(clean_other(host)),
            Step::Destroy => drop(host.destroy_sets(&plan.obsolete)),
        }
    }
    Ok(done)
}

/// Fills the sets and judges the rules. If that fails, the new sets are removed again.
fn fill_and_judge(host: &Host, plan: &Plan) -> Result<(), EngineError> {
    let (verdict, filled) = both(|| judge(host, plan), || host.restore_sets(&plan.fills));
    let result = verdict.and(filled);
    if result.is_err() {
        host.destroy_sets(&plan.new_sets);
    }
    result
}

/// Restores one family. If the other one has changed already, an error mentions that.
fn put_in_force(host: &Host, restore: &Restore, switched: Option<Family>) -> Result<(), EngineError> {
    let Some(other) = switched else { return host.tools().restore(restore, false) };
    let old = restore.family;
    let doing =
        format!("{other} has the new policy, {old} the one before; putting the rules of {old} in force");
    host.tools().restore(restore, false).map_err(|error| error.after_the_fact(doing))
}

/// Removes what is in the other variant. Its only harm is to count twice, so a failure is only reported.
fn clean_other(host: &Host) -> Vec<Difference> {
    let mut done = Vec::new();
    for (other, restore) in removals_from_other(&host.variants).unwrap_or_default() {
        let difference = left_over(other, &restore);
        match other.restore(&restore, false) {
            Ok(()) => done.push(difference),
            Err(error) => log::warn!("{} stays: {error}", difference.what()),
        }
    }
    done
}

/// Returns what an apply left in the other variant.
pub(crate) fn left_over(other: &Tools, restore: &Restore) -> Difference {
    let part = Part::Variant { name: other.variant.name() };
    Difference { family: Some(restore.family), ..Difference::new(DifferenceKind::Foreign, part) }
}

/// Lets `iptables-restore --test` judge the rules of a plan, whose sets are there.
pub(crate) fn judge(host: &Host, plan: &Plan) -> Result<(), EngineError> {
    plan.restores.iter().try_for_each(|restore| host.tools().restore(restore, true))
}
