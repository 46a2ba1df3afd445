//! The engine: carries out a [`plan`](mod@crate::plan) step by step, and reads back the result.

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{Engine, EngineError, EngineName, Requirement, State};
use dockfw_policy::ruleset::Ruleset;
use dockfw_xtables::ipset::Ipset;
use dockfw_xtables::names::INPUT;
use dockfw_xtables::presence::presence;
use dockfw_xtables::remove::{removals_from_other, remove};
use dockfw_xtables::variants::Variants;

use crate::facts::Facts;
use crate::host::Host;
use crate::live::Live;
use crate::lower::lower;
use crate::plan::plan;
use crate::requirements::requirements;
use crate::steps::{Step, carry_out, judge, left_over};
use crate::wanted::Wanted;

/// How often an apply is tried again if others changed the rules meanwhile.
const MAX_RACES: usize = 3;

/// What it means if nothing can be read after an apply.
const UNCHECKED: &str = "the rules were changed; looking whether all of them are in force";

/// The compat engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Iptables {
    facts: Facts,
}

impl Engine for Iptables {
    fn name(&self) -> EngineName {
        EngineName::Iptables
    }

    fn probe(&self) -> Result<Vec<Requirement>, EngineError> {
        requirements(&self.facts)
    }

    fn must_be_fit(&self) -> Result<(), EngineError> {
        Host::find(&self.facts)?.must_be_fit()
    }

    fn check(&self, ruleset: &Ruleset) -> Result<(), EngineError> {
        let wanted = lower(ruleset)?;
        check(&self.host_for(&wanted)?, &wanted)
    }

    fn apply(&self, ruleset: &Ruleset) -> Result<Vec<Difference>, EngineError> {
        let wanted = lower(ruleset)?;
        apply(&self.host_for(&wanted)?, &wanted)
    }

    fn read(&self, ruleset: Option<&Ruleset>) -> Result<State, EngineError> {
        match ruleset {
            Some(ruleset) => read(&Host::find(&self.facts)?, &lower(ruleset)?),
            None => Ok(State {
                presence: presence(self.facts.chains_of_iptables_nft.and_then(|list| list()))?,
                ..State::default()
            }),
        }
    }

    fn remove(&self) -> Result<bool, EngineError> {
        remove(&Variants::find()?, Ipset::find().as_ref())
    }
}

impl Iptables {
    /// Returns the engine on a host of which this is known.
    pub fn new(facts: Facts) -> Self {
        Self { facts }
    }

    /// Returns the host, which must be fit for what is wanted.
    fn host_for(&self, wanted: &Wanted) -> Result<Host, EngineError> {
        let host = Host::find(&self.facts)?;
        if wanted.sets.is_empty() { host.must_be_fit_for_rules() } else { host.must_be_fit() }.map(|()| host)
    }
}

/// Lets `iptables-restore --test` judge the rules, with empty sets in the place of missing ones.
fn check(host: &Host, wanted: &Wanted) -> Result<(), EngineError> {
    let plan = plan(&read_to_change(host, wanted)?, wanted, &host.protocols);
    host.restore_sets(&plan.stand_ins)?;
    let verdict = judge(host, &plan);
    host.destroy_sets(&plan.new_sets);
    verdict
}

/// Returns what is there. Fails if a chain of someone else's would be overwritten.
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
        doing: "can't check what is in force after the apply".into(),
        answer: left.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })
}

fn read(host: &Host, wanted: &Wanted) -> Result<State, EngineError> {
    let live = host.read()?;
    let mut differences = plan(&live, wanted, &host.protocols).differences;
    // A variant that can't be read holds nothing of ours.
    let other = removals_from_other(&host.variants).unwrap_or_default();
    differences.extend(other.iter().map(|(other, restore)| left_over(other, restore)));
    Ok(State {
        presence: live.presence(),
        differences,
        unfit: host.unfit.clone(),
        counters: live.counters(),
        sets: live.set_states(),
    })
}

#[cfg(test)]
mod tests;
