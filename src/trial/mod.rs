//! Policies on trial: in force, and rolled back unless somebody confirms them in time.
//!
//! The record of a trial is on the disk before the rules change, and two processes look after it. `apply --confirm`
//! itself [waits](waiter) for the operator. The [watcher], a process in a session of its own, rolls the policy back if
//! the time is over or the waiting process is gone, for whatever reason. The second of them finds nothing to do: each
//! looks up what is pending while it holds the [lock]. Neither holds the lock while it waits.

mod rollback;
mod timer;
mod vigil;
mod waiter;
mod watcher;

use std::time::Duration;

use anyhow::Context;
use dockfw_policy::difference::Difference;

use crate::enact::{self, Candidate};
use crate::engines::Chosen;
use crate::exit::{Exit, Stop};
use crate::lock::{self, Lock};
use crate::message::Message;
use crate::output;
use crate::records::{Now, Pending, Sealed, State, Store, unix_seconds, wall_time};
use crate::unit::Wish;
use vigil::Vigil;
use watcher::Watcher;

pub(crate) use watcher::run as watch;

/// Why a policy is rolled back when its time is over.
pub(crate) const TIME_OUT: &str = "nobody confirmed it in time";

/// Why `--confirm` is refused if dockfw did not record what is in force.
const UNRECORDED: &str = "not applied: the policy in force was not recorded, so a trial could not return to it; nothing was changed";

/// Why it is refused if that is recorded, but can't be used.
const UNUSABLE: &str = "not applied: the policy in force can't be loaded again, so a trial could not return to it; nothing was changed";

/// A trial that has begun.
pub(crate) struct Trial {
    store: Store,
    id: String,
    watcher: Watcher,
    vigil: Vigil,
    /// What is to become of the unit once the policy is confirmed.
    wish: Wish,
}

/// What a trial is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How long it is.
    pub(crate) length: Length,
    /// What is to become of the unit once the policy is confirmed.
    pub(crate) wish: Wish,
}

impl Terms {
    /// Returns the wish of this trial, or of the one that it replaces and whose deadline it has.
    fn wish(self, state: &State) -> Wish {
        let before = state.pending.as_ref().filter(|_| matches!(self.length, Length::AsBefore));
        Wish::of(self.wish == Wish::Enable || before.is_some_and(|before| before.enable))
    }
}

/// How long a trial is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// This long, from when the policy is in force.
    Time(Duration),
    /// Until the deadline of the trial that it replaces.
    AsBefore,
}

impl Length {
    /// Returns the deadline, in milliseconds since the boot.
    fn deadline(self, state: &State, now: &Now) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Time(time) => millis(now.since_boot.saturating_add(time)),
            Self::AsBefore => {
                state.pending.as_ref().map_or(millis(now.since_boot), |pending| pending.deadline_ms)
            }
        }
    }
}

/// Puts a policy in force on trial. The caller has made sure that there [is a way back](must_have_way_back), and must
/// release the lock before anybody waits.
pub(crate) fn begin(
    store: Store,
    state: State,
    candidate: &Candidate<'_>,
    terms: Terms,
    lock: &Lock,
) -> anyhow::Result<(Trial, Vec<Difference>)> {
    let (policy, sources) = candidate.record()?;
    store.save(&sources)?;
    let id = policy.id.clone();
    let vigil = Vigil::begin(store.make_directories()?).context("can't prepare to wait")?;
    let mut watcher =
        Watcher::start(&id).context("can't start the watcher that would roll the policy back")?;
    let wish = terms.wish(&state);
    let pending = |now: Now| {
        let deadline_ms = terms.length.deadline(&state, &now);
        state.clone().await_confirmation(Pending {
            policy: policy.clone(),
            boot_id: now.boot_id,
            deadline_ms,
            enable: wish == Wish::Enable,
        })
    };
    let before = Before::read(&store, state.clone());
    store.write(&pending(Now::read()?))?;
    // If it can't watch, only the record has changed so far.
    if let Err(error) = watcher.arm() {
        store.write(&state)?;
        return Err(error).context("no watcher would roll the policy back if nobody confirms it");
    }
    let mut changes = match candidate.put_in_force(lock) {
        Ok(changes) => changes,
        Err(error) => {
            before.undo(&store, &id, watcher, lock);
            return Err(error.into());
        }
    };
    // If the old rules decide as well, that is no reason to end the trial.
    changes.extend(enact::clear_other(&candidate.chosen, lock));
    // All this may have taken much of the time.
    store.write(&pending(Now::read()?))?;
    Ok((Trial { store, id, watcher, vigil, wish }, changes))
}

/// Fails without a policy to roll back to, unless the host had none.
pub(crate) fn must_have_way_back(store: &Store, state: &State, chosen: &Chosen) -> anyhow::Result<()> {
    match &state.confirmed {
        // The recorded policy is not the one that is in force.
        Some(_) if state.unrecorded => Err(no_way_back(Exit::Unsafe, UNRECORDED.into()).into()),
        Some(confirmed) => match enact::recorded(store, confirmed) {
            Ok(_) => Ok(()),
            Err(error) => Err(no_way_back(Exit::Failed, format!("{UNUSABLE}: {error:#}")).into()),
        },
        None if state.pending.is_none() && chosen.is_any_there()? => {
            Err(no_way_back(Exit::Unsafe, UNRECORDED.into()).into())
        }
        None => Ok(()),
    }
}

fn no_way_back(exit: Exit, why: String) -> Stop {
    let message = Message::new(why)
        .help("to record the policy in force: write its text into the file, then: dockfw apply")
        .help("if you do not have its text, to apply the file without a trial: dockfw apply");
    Stop::new(exit, message)
}

/// The state before a trial.
struct Before {
    state: State,
    /// The sources of the policy that was on trial before; with the new record, the store forgets them.
    sources: Option<Sealed>,
}

impl Before {
    fn read(store: &Store, state: State) -> Self {
        let on_trial = state.pending.as_ref();
        let sources = on_trial.and_then(|pending| store.sources(&pending.policy).ok()?.seal().ok());
        Self { state, sources }
    }

    /// Undoes an apply that failed. If that fails too, the policy is still on trial; the watcher, which is dropped then,
    /// does not stop.
    fn undo(self, store: &Store, id: &str, watcher: Watcher, lock: &Lock) {
        match self.put_back(store, id, lock) {
            Ok(()) => watcher.detach(),
            Err(error) => output::error(format_args!(
                "the failed apply can't be undone yet; the watcher tries again: {error:#}"
            )),
        }
    }

    /// Restores the state before: the policy could not be put in force, or only part of it. If that state is a trial
    /// itself, the new watcher looks after it, for the one before may have ended.
    fn put_back(self, store: &Store, id: &str, lock: &Lock) -> anyhow::Result<()> {
        if let Some(sources) = &self.sources {
            store.save(sources)?;
        }
        let chosen = match &self.state.pending {
            Some(pending) => Some(enact::restore(store, &pending.policy, lock)?.chosen),
            None => enact::go_back(store, self.state.confirmed.as_ref(), lock)?,
        };
        store.write(&self.state.hand_over(id))?;
        chosen.and_then(|chosen| enact::clear_other(&chosen, lock));
        Ok(())
    }
}

impl Trial {
    /// Returns when its time is over by the wall clock, in seconds since 1970, if its record can be read.
    pub(crate) fn ends_at(&self) -> Option<u64> {
        let (state, now) = (self.store.read().ok()?, Now::read().ok()?);
        Some(unix_seconds() + state.pending_of(&self.id)?.time_left(&now)?.as_secs())
    }

    /// Leaves the trial to its watcher.
    pub(crate) fn detach(self) {
        self.watcher.detach();
    }
}

/// The outcome of a trial that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The policy was confirmed.
    Confirmed {
        /// When it was applied, in seconds since 1970.
        applied_at: u64,
    },
    /// The policy was rolled back, for this reason.
    RolledBack(String),
    /// Another apply, or `dockfw remove`, took its place.
    Replaced,
}

/// Reports that the policy that was applied at this moment was confirmed.
pub(crate) fn report_confirmed(applied_at: u64) {
    output::result(format_args!("confirmed: the policy applied at {} stays in force", wall_time(applied_at)));
}

/// Returns the outcome of the trial of this apply, or nothing while it goes on.
fn outcome(state: &State, id: &str) -> Option<Outcome> {
    state.pending_of(id).is_none().then(|| ended(state, id))
}

/// Returns the outcome of the trial of this apply, which is over.
fn ended(state: &State, id: &str) -> Outcome {
    match (&state.confirmed, &state.rolled_back) {
        (_, Some(rolled_back)) if rolled_back.policy.id == id => Outcome::RolledBack(rolled_back.why.clone()),
        (Some(confirmed), _) if confirmed.id == id => Outcome::Confirmed { applied_at: confirmed.applied_at },
        _ => Outcome::Replaced,
    }
}

/// Confirms the policy of this apply, if it still is on trial. Otherwise the only change is a rollback, if its time is
/// over.
pub(crate) fn confirm(store: &Store, id: &str) -> anyhow::Result<Option<Outcome>> {
    let lock = lock::take()?;
    let state = store.read()?;
    let Some(pending) = state.pending_of(id) else { return Ok(outcome(&state, id)) };
    let state = match pending.time_left(&Now::read()?) {
        Some(_) => {
            let state = state.confirm();
            store.write(&state)?;
            let left =
                state.confirmed.iter().filter_map(|confirmed| enact::finish_move(confirmed, &lock).err());
            left.for_each(enact::report_left_rules);
            state
        }
        None => enact::roll_back_pending(store, state, TIME_OUT, &lock)?.said(),
    };
    Ok(outcome(&state, id))
}

/// Rolls back the policy of this apply, if it still is on trial.
fn roll_back(store: &Store, id: &str, why: &str) -> anyhow::Result<Option<Outcome>> {
    let lock = lock::take()?;
    roll_back_pending(store, store.read()?, id, why, &lock)
}

/// Rolls back the policy of this apply, if it still is on trial and its time is over.
fn time_out(store: &Store, id: &str) -> anyhow::Result<Option<Outcome>> {
    let lock = lock::take()?;
    let state = store.read()?;
    if is_in_time(&state, id)? { Ok(None) } else { roll_back_pending(store, state, id, TIME_OUT, &lock) }
}

/// Returns whether the policy of this apply is on trial and may still be confirmed.
fn is_in_time(state: &State, id: &str) -> anyhow::Result<bool> {
    let now = Now::read()?;
    Ok(state.pending_of(id).is_some_and(|pending| pending.time_left(&now).is_some()))
}

/// Rolls back the policy of this apply, if it still is on trial in this state.
fn roll_back_pending(
    store: &Store,
    state: State,
    id: &str,
    why: &str,
    lock: &Lock,
) -> anyhow::Result<Option<Outcome>> {
    let state = match state.pending_of(id) {
        Some(_) => enact::roll_back_pending(store, state, why, lock)?.said(),
        None => state,
    };
    Ok(outcome(&state, id))
}
