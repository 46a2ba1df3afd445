//! The engine: what [`plan`](mod@crate::plan) says is done step by step, and read back.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{Changes, Count, Engine, EngineError, Requirement, SetState, State};
use dockfw_policy::ruleset::Ruleset;

use crate::host::Host;
use crate::lower::{counter_of, lower};
use crate::normal::comment;
use crate::plan::{Difference, Live, Plan, Restore, plan, removal};
use crate::presence::is_present;
use crate::probe;
use crate::sets;
use crate::wanted::{TableName, Wanted, family_name, is_own_chain};
use crate::{Iptables, text};

/// How often an apply is tried again where others changed the rules meanwhile.
const MAX_RACES: usize = 3;

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

    fn check(&self, ruleset: &Ruleset) -> Result<(), EngineError> {
        check(&self.fit_host()?, &lowered(ruleset)?)
    }

    fn apply(&self, ruleset: &Ruleset) -> Result<Changes, EngineError> {
        apply(&self.fit_host()?, &lowered(ruleset)?)
    }

    fn read(&self, ruleset: Option<&Ruleset>) -> Result<State, EngineError> {
        match ruleset {
            Some(ruleset) => read(&Host::find(&self.facts)?, &lowered(ruleset)?),
            None => Ok(State { present: is_present()?, ..State::default() }),
        }
    }

    fn remove(&self) -> Result<bool, EngineError> {
        remove(&Host::find(&self.facts)?)
    }
}

impl Iptables {
    fn fit_host(&self) -> Result<Host, EngineError> {
        let host = Host::find(&self.facts)?;
        host.must_be_fit().map(|()| host)
    }
}

/// Has `iptables-restore --test` judge the rules. Empty sets stand in for those that are not there yet: a rule can only
/// name a set that is there.
fn check(host: &Host, wanted: &Wanted) -> Result<(), EngineError> {
    let live = host.read()?;
    let restores = plan(&live, wanted, &host.protocols).restores;
    let absent: Vec<_> = wanted.sets.iter().filter(|set| !live.sets.contains_key(&set.name)).collect();
    let mut stand_ins = String::new();
    for set in &absent {
        text::create(&mut stand_ins, &set.name, set.family, 0);
    }
    host.restore_sets(&stand_ins)?;
    let verdict = restores.iter().try_for_each(|restore| host.tools.restore(restore, true));
    let names: Vec<_> = absent.iter().map(|set| set.name.clone()).collect();
    host.destroy_sets(&names)?;
    verdict
}

fn apply(host: &Host, wanted: &Wanted) -> Result<Changes, EngineError> {
    let mut live = host.read()?;
    let mut changes = Changes::default();
    for _ in 0..MAX_RACES {
        let todo = plan(&live, wanted, &host.protocols);
        changes.lines.extend(todo.differences.iter().map(Difference::as_change));
        changes.lines.extend(carry_out(host, &todo, Step::ALL)?);
        if todo.is_empty() {
            return Ok(changes);
        }
        live = host.read_after(wanted)?;
        if plan(&live, wanted, &host.protocols).differences.is_empty() {
            return Ok(changes);
        }
    }
    Err(EngineError::Protocol {
        doing: "checking what is in force after the apply".into(),
        answer: differences(&plan(&live, wanted, &host.protocols)).join("; "),
    })
}

fn read(host: &Host, wanted: &Wanted) -> Result<State, EngineError> {
    let live = host.read()?;
    let differences = differences(&plan(&live, wanted, &host.protocols));
    Ok(State { present: live.is_present(), differences, counters: counters(&live), sets: set_states(&live) })
}

/// Takes everything out of both variants of iptables. Returns whether there was anything.
fn remove(host: &Host) -> Result<bool, EngineError> {
    let mut found = false;
    for tools in [Some(&host.tools), host.other.as_ref()].into_iter().flatten() {
        for (family, tables) in tools.read()? {
            if let Some(restore) = removal(family, &tables) {
                tools.restore(&restore, false)?;
                found = true;
            }
        }
    }
    let names: Vec<_> = host.read()?.sets.into_keys().collect();
    found |= !host.destroy_sets(&names)?.is_empty();
    Ok(found)
}

fn differences(plan: &Plan) -> Vec<String> {
    plan.differences.iter().map(Difference::to_string).collect()
}

/// The steps of an apply. One that is killed between two leaves each family at the old policy or at the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// New sets are made and filled.
    Fill,
    /// The rules are judged, of both families before either changes.
    Judge,
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
        Self::Fill,
        Self::Judge,
        Self::Restore(Family::Ipv6),
        Self::Restore(Family::Ipv4),
        Self::CleanOther,
        Self::Destroy,
    ];
}

/// Does these steps of a plan. Returns what was done that the plan's differences don't say.
pub(crate) fn carry_out(host: &Host, plan: &Plan, steps: &[Step]) -> Result<Vec<String>, EngineError> {
    let mut done = Vec::new();
    let mut switched = None;
    for step in steps {
        match step {
            Step::Fill => host.restore_sets(&plan.sets)?,
            Step::Judge => plan.restores.iter().try_for_each(|restore| host.tools.restore(restore, true))?,
            Step::Restore(family) => {
                let Some(restore) = plan.restores.iter().find(|restore| restore.family == *family) else {
                    continue;
                };
                put_in_force(host, restore, switched)?;
                switched = Some(*family);
            }
            Step::CleanOther => done.extend(clean_other(host)),
            Step::Destroy => {
                let gone = host.destroy_sets(&plan.obsolete)?;
                let is_all = plan.differences.is_empty();
                done.extend(
                    gone.iter().filter(|_| is_all).map(|name| format!("remove set {name}, left over")),
                );
            }
        }
    }
    Ok(done)
}

/// Restores one family; where the other one has changed already, an error says so.
fn put_in_force(host: &Host, restore: &Restore, switched: Option<Family>) -> Result<(), EngineError> {
    let Some(other) = switched else { return host.tools.restore(restore, false) };
    host.tools.restore(restore, false).map_err(|error| match error {
        EngineError::Refused(refusals) => {
            let reasons: Vec<_> = refusals.iter().map(ToString::to_string).collect();
            let (new, old) = (family_name(other), family_name(restore.family));
            EngineError::Protocol {
                doing: format!(
                    "{new} has the new policy, {old} the one before; putting the rules of {old} in force"
                ),
                answer: reasons.join("; "),
            }
        }
        other => other,
    })
}

/// Takes out what is in the other variant. It does no harm there but to count twice, so a failure is only said.
fn clean_other(host: &Host) -> Vec<String> {
    let Some(other) = &host.other else { return vec![] };
    let families = other.read().unwrap_or_default();
    let restores = families.iter().filter_map(|(family, tables)| removal(*family, tables));
    let mut done = Vec::new();
    for restore in restores {
        let what =
            format!("{}: what was left in iptables-{}", family_name(restore.family), other.variant.name());
        match other.restore(&restore, false) {
            Ok(()) => done.push(format!("remove {what}")),
            Err(error) => log::warn!("{what} stays: {error}"),
        }
    }
    done
}

/// The counters that rules name in their comments, summed over the rules of both families.
fn counters(live: &Live) -> Vec<Count> {
    let mut order = Vec::new();
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for tables in live.families.values() {
        for table in TableName::ALL.map(|name| tables.table(name)) {
            let own = table.chains.iter().filter(|(name, _)| is_own_chain(name));
            for rule in own.flat_map(|(_, chain)| &chain.rules) {
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
