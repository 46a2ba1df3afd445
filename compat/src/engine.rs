//! The engine: what [`plan`](mod@crate::plan) says is done step by step, and read back.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::difference::{Difference, DifferenceKind, Part};
use dockfw_policy::engine::{Count, Engine, EngineError, Requirement, SetState, State};
use dockfw_policy::ruleset::Ruleset;
use dockfw_system::programs::both;

use crate::Iptables;
use crate::host::Host;
use crate::lower::{counter_of, lower};
use crate::normal::comment;
use crate::plan::{Live, Plan, Restore, plan, removal};
use crate::presence::presence;
use crate::probe;
use crate::sets;
use crate::tools::Tools;
use crate::wanted::{INPUT, TableName, Wanted};

/// How often an apply is tried again where others changed the rules meanwhile.
const MAX_RACES: usize = 3;

/// What it means that nothing can be read after an apply.
const UNCHECKED: &str = "the rules were changed; looking whether all of them are in force";

/// A ruleset in iptables' terms.
pub(crate) fn lowered(ruleset: &Ruleset) -> Result<Wanted, EngineError> {
    lower(ruleset).map_err(|error| EngineError::Unsupported(error.to_string()))
}

impl Engine for Iptables {
    fn name(&self) -> &'static str {
        "iptables"
    }

    fn probe(&self) -> Result<Vec<Requirement>, EngineError> {
        probe::probe(&self.facts)
    }

    fn must_be_fit(&self) -> Result<(), EngineError> {
        Host::find(&self.facts)?.must_be_fit()
    }

    fn check(&self, ruleset: &Ruleset) -> Result<(), EngineError> {
        let wanted = lowered(ruleset)?;
        check(&self.host_for(&wanted)?, &wanted)
    }

    fn apply(&self, ruleset: &Ruleset) -> Result<Vec<Difference>, EngineError> {
        let wanted = lowered(ruleset)?;
        apply(&self.host_for(&wanted)?, &wanted)
    }

    fn read(&self, ruleset: Option<&Ruleset>) -> Result<State, EngineError> {
        match ruleset {
            Some(ruleset) => read(&Host::find(&self.facts)?, &lowered(ruleset)?),
            None => Ok(State { presence: presence(&self.facts)?, ..State::default() }),
        }
    }

    fn remove(&self) -> Result<bool, EngineError> {
        remove(&Host::find(&self.facts)?)
    }
}

impl Iptables {
    /// The host, which must be fit for what is wanted.
    fn host_for(&self, wanted: &Wanted) -> Result<Host, EngineError> {
        let host = Host::find(&self.facts)?;
        if wanted.sets.is_empty() { host.must_be_fit_for_rules() } else { host.must_be_fit() }.map(|()| host)
    }
}

/// Has `iptables-restore --test` judge the rules, with empty sets for those that are not there yet.
fn check(host: &Host, wanted: &Wanted) -> Result<(), EngineError> {
    let plan = plan(&read_to_change(host, wanted)?, wanted, &host.protocols);
    host.restore_sets(&plan.stand_ins)?;
    let verdict = judge(host, &plan);
    host.destroy_sets(&plan.new_sets);
    verdict
}

/// What is there; an error where a chain of someone else's would be overwritten.
fn read_to_change(host: &Host, wanted: &Wanted) -> Result<Live, EngineError> {
    let live = host.read_before(wanted)?;
    match live.foreign_filters() {
        None => Ok(live),
        Some((family, table)) => Err(EngineError::Unsupported(format!(
            "{family} table {table} has a chain {INPUT} that is not dockfw's, and the iptables engine would overwrite it; \
             rename that chain, or use --backend nftables"
        ))),
    }
}

fn judge(host: &Host, plan: &Plan) -> Result<(), EngineError> {
    plan.restores.iter().try_for_each(|restore| host.tools.restore(restore, true))
}

fn apply(host: &Host, wanted: &Wanted) -> Result<Vec<Difference>, EngineError> {
    let mut live = read_to_change(host, wanted)?;
    let mut changes = Vec::new();
    for _ in 0..MAX_RACES {
        let mut todo = plan(&live, wanted, &host.protocols);
        let is_done = todo.differences.is_empty();
        changes.append(&mut todo.differences);
        changes.extend(carry_out(host, &todo, Step::ALL)?);
        if is_done {
            return Ok(changes);
        }
        live = host.read_after(wanted).map_err(|error| error.after_the_fact(UNCHECKED))?;
        if plan(&live, wanted, &host.protocols).is_in_force() {
            return Ok(changes);
        }
    }
    let left = plan(&live, wanted, &host.protocols).differences;
    Err(EngineError::Protocol {
        doing: "checking what is in force after the apply".into(),
        answer: left.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })
}

fn read(host: &Host, wanted: &Wanted) -> Result<State, EngineError> {
    let live = host.read()?;
    let mut differences = plan(&live, wanted, &host.protocols).differences;
    // What can't be read there holds nothing of ours.
    let other = left_in_other(host).unwrap_or_default();
    differences.extend(other.iter().map(|(other, restore)| left_over(other, restore)));
    Ok(State {
        presence: live.presence(),
        differences,
        unfit: host.unfit.clone(),
        counters: counters(&live),
        sets: set_states(&live),
    })
}

/// Takes everything out of both variants of iptables, the sets too where there is ipset. Returns whether there was anything.
fn remove(host: &Host) -> Result<bool, EngineError> {
    let mut found = false;
    let own = host.tools.read()?;
    let own = own.iter().filter_map(|(family, tables)| Some((&host.tools, removal(*family, tables)?)));
    let other = match left_in_other(host) {
        // What can't be written down there is not ours.
        Err(EngineError::Unsupported(_)) => vec![],
        result => result?,
    };
    for (tools, restore) in own.chain(other) {
        tools.restore(&restore, false)?;
        found = true;
    }
    if host.ipset.is_none() {
        return Ok(found);
    }
    let names: Vec<_> = host.read()?.sets.into_keys().collect();
    found |= !host.destroy_sets(&names).is_empty();
    Ok(found)
}

/// The steps of an apply. One that is killed between two leaves each family at the old policy or at the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// New sets are there, empty.
    StandIn,
    /// Sets are filled. Meanwhile the rules are judged, of both families before either changes: a judgement takes the
    /// kernel many milliseconds, most of them spent waiting.
    FillAndJudge,
    /// The rules of this family are in force.
    Restore(Family),
    /// What an earlier apply left in the other variant of iptables is taken out.
    CleanOther,
    /// Sets that no rule names any more are destroyed.
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

/// Does these steps of a plan. Returns what was done that the plan's differences don't say.
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

/// Where it fails, the new sets are taken out again.
fn fill_and_judge(host: &Host, plan: &Plan) -> Result<(), EngineError> {
    let (verdict, filled) = both(|| judge(host, plan), || host.restore_sets(&plan.fills));
    let result = verdict.and(filled);
    if result.is_err() {
        host.destroy_sets(&plan.new_sets);
    }
    result
}

/// Restores one family; where the other one has changed already, an error says so.
fn put_in_force(host: &Host, restore: &Restore, switched: Option<Family>) -> Result<(), EngineError> {
    let Some(other) = switched else { return host.tools.restore(restore, false) };
    let old = restore.family;
    let doing =
        format!("{other} has the new policy, {old} the one before; putting the rules of {old} in force");
    host.tools.restore(restore, false).map_err(|error| error.after_the_fact(doing))
}

/// Takes out what is in the other variant. It does no harm there but to count twice, so a failure is only said.
fn clean_other(host: &Host) -> Vec<Difference> {
    let mut done = Vec::new();
    for (other, restore) in left_in_other(host).unwrap_or_default() {
        let difference = left_over(other, &restore);
        match other.restore(&restore, false) {
            Ok(()) => done.push(difference),
            Err(error) => log::warn!("{} stays: {error}", difference.what()),
        }
    }
    done
}

/// What takes the engine's rules out of the other variant, where there are any.
fn left_in_other(host: &Host) -> Result<Vec<(&Tools, Restore)>, EngineError> {
    let Some(other) = &host.other else { return Ok(vec![]) };
    let families = other.read()?;
    let restores = families.iter().filter_map(|(family, tables)| removal(*family, tables));
    Ok(restores.map(|restore| (other, restore)).collect())
}

fn left_over(other: &Tools, restore: &Restore) -> Difference {
    let part = Part::Variant { name: other.variant.name() };
    Difference { family: Some(restore.family), ..Difference::new(DifferenceKind::Foreign, part) }
}

/// The counters that rules of the policy name in their comments, summed over the rules of both families.
fn counters(live: &Live) -> Vec<Count> {
    let mut order = Vec::new();
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for tables in live.families.values() {
        let table = tables.table(TableName::Mangle);
        for rule in table.own_chains().into_iter().flat_map(|name| table.rules(name)) {
            let Some(name) = comment(&rule.words).and_then(counter_of) else { continue };
            let name = name.to_string();
            if !counts.contains_key(&name) {
                order.push(name.clone());
            }
            let (packets, bytes) = counts.entry(name).or_default();
            *packets += rule.packets;
            *bytes += rule.bytes;
        }
    }
    let count = |name: String| {
        let (packets, bytes) = counts.get(&name).copied().unwrap_or_default();
        Count { name, packets, bytes }
    };
    order.into_iter().map(count).collect()
}

fn set_states(live: &Live) -> Vec<SetState> {
    let finished = live.sets.iter().filter(|(name, _)| !sets::is_filling(name));
    finished
        .map(|(name, networks)| SetState {
            name: name.clone(),
            elements: networks.as_ref().and_then(|networks| u64::try_from(networks.len()).ok()),
        })
        .collect()
}

#[cfg(test)]
mod tests;
