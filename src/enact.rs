//! Putting policies in force, permanently or once more, together with their records.

use std::path::Path;

use anyhow::{Context, anyhow};
use dockfw_policy::difference::Difference;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::Policy;
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::{Strictness, load};

use crate::engines::{self, Chosen};
use crate::lock::Lock;
use crate::output::warning;
use crate::records::{Record, Sealed, Sources, State, Store, new_id, unix_seconds};
use crate::takeover;

/// A policy that is about to be put in force.
pub(crate) struct Candidate<'a> {
    /// The engine that does it.
    pub(crate) chosen: Chosen,
    /// The policy, compiled for it.
    pub(crate) ruleset: Ruleset,
    /// What it was read from.
    pub(crate) sources: &'a Sources,
    /// Its main file.
    pub(crate) config: &'a Path,
    /// Whether the operator accepts what would be refused for safety.
    pub(crate) force: bool,
}

/// A policy that was put in force.
pub(crate) struct InForce {
    /// The engine that did it.
    pub(crate) chosen: Chosen,
    /// The policy, compiled for it.
    pub(crate) ruleset: Ruleset,
}

impl Candidate<'_> {
    /// Puts the policy in force. Returns what that changed. The other engine's rules are still to be removed.
    pub(crate) fn put_in_force(&self, lock: &Lock) -> Result<Vec<Difference>, EngineError> {
        self.chosen.put_in_force(&self.ruleset, lock)
    }

    /// Returns the record of this apply, with the present time.
    pub(crate) fn record(&self) -> anyhow::Result<(Record, Sealed)> {
        let sources = self.sources.seal()?;
        let record = Record {
            id: new_id()?,
            config: std::path::absolute(self.config)?,
            digest: sources.digest().to_owned(),
            engine: self.chosen.engine.name(),
            force: self.force,
            applied_at: unix_seconds(),
        };
        Ok((record, sources))
    }

    /// Records that the policy was put in force permanently. Unreadable records are replaced. If recording fails, a trial
    /// is over all the same.
    pub(crate) fn record_permanent(&self, store: &Store) -> anyhow::Result<()> {
        let before = store.read();
        if let Err(error) = &before {
            warning(format_args!(
                "{error}; dockfw writes a new one, and `dockfw rollback` can't go back further than this apply"
            ));
        }
        let before = before.ok();
        let known = before.clone().unwrap_or_default();
        let kept = self.save_sources(store);
        let after = match &kept {
            Ok(record) => known.apply(record.clone()),
            Err(_) => known.lose_track(),
        };
        let noted = if before == Some(after.clone()) { Ok(()) } else { store.note(&after) };
        kept?;
        Ok(noted?)
    }

    fn save_sources(&self, store: &Store) -> anyhow::Result<Record> {
        let (record, sources) = self.record()?;
        store.save(&sources)?;
        Ok(record)
    }
}

/// Puts a recorded policy in force, by its last engine if that still works. The other engine's rules are still to be
/// removed. This is an apply like any other, but nothing is refused for the operator's safety: this is the safe side.
pub(crate) fn restore(store: &Store, record: &Record, lock: &Lock) -> anyhow::Result<InForce> {
    let chosen = Chosen::preferring(record.engine)?;
    let policy = recorded(store, record)?;
    let ruleset = engines::compile_for(chosen.engine.name(), &policy);
    chosen.put_in_force(&ruleset, lock)?;
    Ok(InForce { chosen, ruleset })
}

/// Returns a recorded policy.
pub(crate) fn recorded(store: &Store, record: &Record) -> anyhow::Result<Policy> {
    load_quietly(&record.config, &store.sources(record)?, Strictness::Confirmed)
        .context("the recorded policy is not valid for this version of dockfw")
}

/// Loads a policy from a place where nobody would correct it.
pub(crate) fn load_quietly(path: &Path, sources: &Sources, strictness: Strictness) -> anyhow::Result<Policy> {
    load(path, sources, strictness).map(|loaded| loaded.policy).map_err(|rejected| anyhow!("{rejected}"))
}

/// Removes what the other engine has, or reports that it can't. Returns what was removed.
pub(crate) fn clear_other(chosen: &Chosen, lock: &Lock) -> Option<Difference> {
    chosen.clear_other(lock).unwrap_or_else(|error| {
        report_left_rules(error);
        None
    })
}

/// Reports why the other engine's rules are left.
pub(crate) fn report_left_rules(error: EngineError) {
    warning(format_args!("{:#}", anyhow::Error::from(error)));
}

/// Removes what is left of the other engine after a trial that moved between the two, if the confirmed policy is in
/// force as recorded.
pub(crate) fn finish_move(confirmed: &Record, lock: &Lock) -> Result<(), EngineError> {
    let chosen = Chosen::named(confirmed.engine);
    if engines::has_rules(chosen.engine.as_ref())? {
        chosen.clear_other(lock)?;
    }
    Ok(())
}

/// Puts the confirmed policy in force again, or nothing if there is none. Returns the engine, if one has rules. The
/// other engine's rules are still to be removed.
pub(crate) fn go_back(
    store: &Store,
    confirmed: Option<&Record>,
    lock: &Lock,
) -> anyhow::Result<Option<Chosen>> {
    if let Some(confirmed) = confirmed {
        return restore(store, confirmed, lock).map(|in_force| Some(in_force.chosen));
    }
    takeover::put_back(store, lock)?;
    engines::remove(lock)?;
    Ok(None)
}

/// The result of a rollback.
pub(crate) struct RolledBack {
    /// What is recorded now.
    pub(crate) state: State,
    /// Why rules of the other engine are left, if some are. Both rulesets decide then.
    pub(crate) left: Option<EngineError>,
}

impl RolledBack {
    /// Records that the policy before is in force again, by this engine, and then removes what the other engine has. The
    /// order matters: the removal may have to wait for others, and its caller may give up. Until the record is written,
    /// somebody could confirm what is no longer in force.
    pub(crate) fn settle(
        store: &Store,
        state: State,
        chosen: Option<&Chosen>,
        lock: &Lock,
    ) -> anyhow::Result<Self> {
        let state = state.in_force_by(chosen.map(|chosen| chosen.engine.name()));
        let noted = store
            .note(&state)
            .context("the previous policy is in force again, but that could not be recorded");
        let left = chosen.and_then(|chosen| chosen.clear_other(lock).err());
        noted.map(|()| Self { state, left })
    }

    /// Returns what is recorded now. Reports what is left.
    pub(crate) fn said(self) -> State {
        self.left.into_iter().for_each(report_left_rules);
        self.state
    }
}

/// Rolls back what is pending: the confirmed policy is in force again, or nothing if none is confirmed.
pub(crate) fn roll_back_pending(
    store: &Store,
    state: State,
    why: &str,
    lock: &Lock,
) -> anyhow::Result<RolledBack> {
    let chosen = go_back(store, state.confirmed.as_ref(), lock)?;
    RolledBack::settle(store, state.roll_back(why, unix_seconds()), chosen.as_ref(), lock)
}
