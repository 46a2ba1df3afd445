//! How to roll back, as the watcher knows it, even if the records are lost meanwhile.

use anyhow::Context;

use crate::engines;
use crate::records::{Sealed, State, Store};
use crate::takeover::{self, SavedRules};

/// The contents of the records, and the sources of the policy to roll back to.
pub(super) struct Rollback {
    state: State,
    sources: Option<Sealed>,
    /// The rules that the trial took over from.
    old_rules: SavedRules,
}

impl Rollback {
    /// Reads it from the records.
    pub(super) fn read(store: &Store) -> anyhow::Result<Self> {
        let state = store.read()?;
        let sources =
            state.confirmed.as_ref().and_then(|confirmed| store.sources(confirmed).ok()?.seal().ok());
        let old_rules = takeover::saved(store).unwrap_or_else(|error| {
            log::error!("the old rules can't be read: {error:#}");
            SavedRules::new()
        });
        Ok(Self { state, sources, old_rules })
    }

    /// Takes over the new state of the records.
    pub(super) fn update(&mut self, state: State) {
        self.state = state;
    }

    /// Returns the state of the records, for whoever holds the lock; if they are lost, the last known state.
    pub(super) fn state(&self, store: &Store) -> anyhow::Result<State> {
        match store.find() {
            Ok(Some(state)) => Ok(state),
            // `dockfw remove` removes the records with all rules.
            Ok(None) if !is_anything_there()? => Ok(State::default()),
            Ok(None) | Err(_) => Ok(self.mend(store)),
        }
    }

    fn mend(&self, store: &Store) -> State {
        if let Err(error) = self.save_again(store) {
            log::error!("the way back can't be recorded anew: {error:#}");
        }
        self.state.clone()
    }

    fn save_again(&self, store: &Store) -> anyhow::Result<()> {
        if let Some(sources) = &self.sources {
            store.save(sources)?;
        }
        takeover::save_again(store, &self.old_rules)
    }
}

fn is_anything_there() -> anyhow::Result<bool> {
    for engine in engines::all(false) {
        if engines::has_rules(engine.as_ref()).context("can't tell what is in force")? {
            return Ok(true);
        }
    }
    Ok(false)
}
