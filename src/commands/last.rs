//! The policy that was put in force last, by the records: what is in force, whatever the policy file says by now.

use dockfw_policy::Strictness;
use dockfw_policy::engine::{Engine, EngineError, EngineName};
use dockfw_policy::policy::Policy;

use crate::enact;
use crate::engines;
use crate::exit;
use crate::output::note;
use crate::records::{Now, Record, Sources, State, Store, wall_time};

/// What is so if no engine has rules on the host.
pub(super) const NOTHING: &str = "no policy is in force: dockfw filters nothing";

/// The policy that was put in force last.
pub(super) struct Last {
    pub(super) record: Record,
    pub(super) policy: Policy,
    pub(super) sources: Sources,
}

impl Last {
    /// Reads it from the records of this host. Nothing if no policy is recorded, or the one in force could not be recorded.
    pub(super) fn of_host() -> anyhow::Result<Option<Self>> {
        let store = Store::of_host();
        let state = store.read()?;
        Self::read(&store, &state)
    }

    /// Does the same, from these records.
    fn read(store: &Store, state: &State) -> anyhow::Result<Option<Self>> {
        let Some(record) = state.in_force() else { return Ok(None) };
        let sources = store.sources(record)?;
        let policy = enact::load_quietly(&record.config, &sources, Strictness::Confirmed)?;
        Ok(Some(Self { record: record.clone(), policy, sources }))
    }
}

/// Prints which policy is in force, as far as the kernel and the records tell.
pub(super) fn report() {
    match in_words() {
        Ok(words) => note(words),
        Err(error) => log::warn!("unknown what is in force: {error:#}"),
    }
}

/// Returns the same error, and which policy is in force in spite of it.
pub(super) fn beside(error: anyhow::Error) -> anyhow::Error {
    match in_words() {
        Ok(words) => exit::with_meaning(&error, words).into(),
        Err(unknown) => {
            log::warn!("unknown what is in force: {unknown:#}");
            error
        }
    }
}

fn in_words() -> anyhow::Result<String> {
    let Some(engine) = engine_with_rules(false)? else { return Ok(NOTHING.into()) };
    let name = engine.name();
    let store = Store::of_host();
    let state = store.read()?;
    let Some(Last { record, policy, sources }) = Last::read(&store, &state)? else {
        return Ok(format!("rules of dockfw are in force ({name}), but it is not recorded of which policy"));
    };
    if !engine.read(Some(&engines::compile_for(name, &policy)))?.is_in_force() {
        let applied = wall_time(record.applied_at);
        return Ok(format!(
            "rules of dockfw are in force ({name}), but not as the policy applied at {applied} says"
        ));
    }
    let since = state.in_force_since(name, sources.seal()?.digest(), Now::read()?.booted());
    Ok(in_force(name, since, record.applied_at))
}

/// Returns when the policy in force was applied, and since when it is in force, if that is known and another moment.
pub(super) fn in_force(engine: EngineName, since: Option<u64>, applied_at: u64) -> String {
    let since =
        since.filter(|since| *since != applied_at).map(|since| format!(" since {}", wall_time(since)));
    let applied = wall_time(applied_at);
    format!("in force ({engine}){}: the policy applied at {applied}", since.unwrap_or_default())
}

/// Returns the first engine whose rules are there.
pub(super) fn engine_with_rules(verify: bool) -> Result<Option<Box<dyn Engine>>, EngineError> {
    for engine in engines::all(verify) {
        if engines::has_rules(engine.as_ref())? {
            return Ok(Some(engine));
        }
    }
    Ok(None)
}
