//! `dockfw boot`: what units run when the host comes up.
//!
//! Whatever happens, something is in force at the end, and anything but the policy of the file is a loud failure. First
//! comes the policy of the file, unless it was rolled back; otherwise the last one that was confirmed; otherwise a
//! fail-safe. If that takes long, the fail-safe is in force in the meantime.

mod failsafe;
mod stop_gap;

use std::path::Path;

use dockfw_policy::Strictness;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::{Backend, Policy};

use super::{Novelty, judge, load_recorded, show_warnings};
use crate::cli::{Boot, Failsafe};
use crate::enact::{self, Candidate, InForce};
use crate::engines::{self, Chosen};
use crate::exit::{self, Exit, Stop};
use crate::files::Disk;
use crate::host::capabilities;
use crate::lock::{self, Lock};
use crate::message::{Message, TRY};
use crate::output::{self, result, warning};
use crate::records::{
    Now, Pending, Record, RecordError, Recorder, RolledBack, Sources, State, Store, unix_seconds, wall_time,
};
use crate::safety::lockout::shuts_everyone_out;
use stop_gap::StopGap;

/// The start of a boot.
struct Start {
    lock: Lock,
    store: Store,
    /// The contents of the records.
    state: State,
    /// The same, without anything on trial.
    settled: State,
    /// What is wrong with the records, if they can't be read.
    damage: Option<RecordError>,
}

/// Puts a policy in force, whatever happens.
pub(crate) fn run(config: &Path, options: &Boot) -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let stop_gap = StopGap::watch(options.failsafe);
    match begin() {
        Ok(start) => start.go_on(config, options.failsafe, stop_gap),
        Err(error) => {
            stop_gap.fill();
            Err(error)
        }
    }
}

fn begin() -> anyhow::Result<Start> {
    let lock = lock::take()?;
    let store = Store::of_host();
    let (state, damage) = match store.read() {
        Ok(state) => (state, None),
        Err(error) => (State::default(), Some(error)),
    };
    let settled = settle(state.clone())?;
    Ok(Start { lock, store, state, settled, damage })
}

impl Start {
    fn go_on(self, config: &Path, failsafe: Failsafe, stop_gap: StopGap) -> anyhow::Result<Exit> {
        // Damaged records may be of a policy that was rolled back: they are left to an apply by hand.
        let keep_in = self.damage.is_none().then_some(&self.store);
        match file(config, keep_in, &self.settled, &self.lock) {
            Ok(in_force) => {
                let chosen = stop_gap.give_way(in_force, &self.lock)?;
                if let Some(damage) = self.damage {
                    enact::clear_other(&chosen, &self.lock);
                    return Err(damage.into());
                }
                chosen.clear_other(&self.lock)?;
                Ok(Exit::Done)
            }
            Err(why) => Err(self.without_file(&why.context("not in force"), failsafe, stop_gap)),
        }
    }

    /// Puts something else in force than the policy of the file. Returns the error with which the boot fails: why that is,
    /// and what is in force instead.
    fn without_file(self, why: &anyhow::Error, failsafe: Failsafe, stop_gap: StopGap) -> anyhow::Error {
        let (chosen, instead) = match self.put_other_in_force(failsafe, stop_gap) {
            Ok(other) => other,
            Err(worse) => {
                output::failure(why);
                return worse;
            }
        };
        let settled = State { unrecorded: false, ..self.settled };
        let noted = if settled == self.state { Ok(()) } else { self.store.note(&settled) };
        if let Err(unnoted) = noted {
            warning(format_args!("the end of the trial could not be recorded: {unnoted}"));
        }
        enact::clear_other(&chosen, &self.lock);
        exit::with_meaning(why, format!("in force instead ({}): {instead}", chosen.engine.name())).into()
    }

    /// Returns the engine, and what is in force now, in words.
    fn put_other_in_force(&self, failsafe: Failsafe, stop_gap: StopGap) -> anyhow::Result<(Chosen, String)> {
        match fall_back(&self.store, &self.settled, failsafe, &self.lock) {
            Ok((in_force, instead)) => Ok((stop_gap.give_way(in_force, &self.lock)?, instead)),
            Err(worse) => {
                stop_gap.fill();
                Err(worse)
            }
        }
    }
}

/// Returns the state in which nothing is on trial any more: nobody would confirm it.
fn settle(state: State) -> anyhow::Result<State> {
    let Some(Pending { boot_id, .. }) = &state.pending else { return Ok(state) };
    let why = if *boot_id == Now::read()?.boot_id {
        "dockfw boot was run before it was confirmed"
    } else {
        "the host was restarted before it was confirmed"
    };
    Ok(state.roll_back(why, unix_seconds()))
}

/// Puts the policy of the file in force, unless it is the one that was rolled back. `keep_in`: where to record it. The
/// other engine's rules are still to be removed: they are no reason to fall back.
fn file(config: &Path, keep_in: Option<&Store>, state: &State, lock: &Lock) -> anyhow::Result<InForce> {
    // A restart must not undo what an operator once forced.
    let force = state.confirmed.as_ref().is_some_and(|confirmed| confirmed.force);
    let (policy, sources) = match confirmed_before(config, state) {
        Some(loaded) => loaded,
        None => load_recorded(config, Strictness::forced(force))?,
    };
    refuse_rolled_back(config, &sources, state)?;
    if let Some(objection) = shuts_everyone_out(&policy).filter(|_| !force) {
        // For example, the example that the packages bring, if the unit is enabled before anybody edited it.
        return Err(Stop::new(Exit::Unsafe, objection).into());
    }
    // An earlier choice, by an operator or by looking at the host, stays while it works.
    let chosen = match (policy.engine.backend, &state.confirmed) {
        (Backend::Auto, Some(confirmed)) => Chosen::preferring(confirmed.engine)?,
        (backend, _) => Chosen::by(backend, false)?,
    };
    match judge(&policy, Novelty::New, || Ok(!chosen.is_any_there()?)) {
        // At a boot, nobody could answer a refusal.
        Ok(judgement) => judgement.warn(),
        Err(error) => warning(format_args!(
            "the policy is applied without checks of this host's safety, which failed: {error:#}"
        )),
    }
    let ruleset = engines::compile_for(chosen.engine.name(), &policy);
    let candidate = Candidate { chosen, ruleset, sources: &sources, config, force };
    candidate.put_in_force(lock)?;
    result(format_args!("in force ({})", candidate.chosen.engine.name()));
    // Early in a boot, /var may not be writable yet. The record would only repeat the file anyway.
    if let Some(Err(error)) = keep_in.map(|store| candidate.record_permanent(store)) {
        warning(format_args!("the policy is in force, but could not be recorded: {error:#}"));
    }
    let Candidate { chosen, ruleset, .. } = candidate;
    Ok(InForce { chosen, ruleset })
}

/// Returns the policy of the file, if it is the confirmed one: it stays even if it would be refused by now.
fn confirmed_before(config: &Path, state: &State) -> Option<(Policy, Sources)> {
    let confirmed = state.confirmed.as_ref()?;
    let recorder = Recorder::new(&Disk);
    let loaded = dockfw_policy::load(config, &recorder, Strictness::Confirmed).ok()?;
    let sources = recorder.into_sources();
    let is_it = sources.seal().is_ok_and(|sealed| sealed.digest() == confirmed.digest);
    is_it.then(|| {
        show_warnings(&loaded.warnings);
        (loaded.policy, sources)
    })
}

fn refuse_rolled_back(config: &Path, sources: &Sources, state: &State) -> anyhow::Result<()> {
    let digest = sources.seal().ok();
    let is_of = |record: &Record| digest.as_ref().is_some_and(|sources| sources.digest() == record.digest);
    // The confirmed policy may have been on trial with another engine.
    let is_confirmed = state.confirmed.as_ref().is_some_and(is_of);
    let is_it = |rolled_back: &&RolledBack| is_of(&rolled_back.policy) && !is_confirmed;
    let Some(RolledBack { why, at, .. }) = state.rolled_back.as_ref().filter(is_it) else { return Ok(()) };
    let message = Message::new(format!(
        "the policy of {} was rolled back at {} ({why})",
        config.display(),
        wall_time(*at)
    ))
    .help("edit the file, if it is to be another policy")
    .help(TRY);
    Err(Stop::new(Exit::NotInForce, message).into())
}

/// Puts the last confirmed policy in force, or else the fail-safe. Returns it, and what it is in words. The other engine's
/// rules are still to be removed.
fn fall_back(
    store: &Store,
    state: &State,
    failsafe: Failsafe,
    lock: &Lock,
) -> anyhow::Result<(InForce, String)> {
    let confirmed =
        state.confirmed.as_ref().map(|confirmed| (confirmed, enact::restore(store, confirmed, lock)));
    match confirmed {
        Some((confirmed, Ok(in_force))) => {
            let applied = wall_time(confirmed.applied_at);
            return Ok((in_force, format!("the policy applied at {applied}, which was confirmed last")));
        }
        Some((_, Err(error))) => {
            output::error(format_args!("the confirmed policy can't be applied: {error:#}"))
        }
        None => {}
    }
    let (in_force, words) = failsafe::put_in_force(failsafe, Some(lock))?;
    Ok((in_force, format!("the FAIL-SAFE, no policy of yours: {words}")))
}
