//! `dockfw rollback`

use anyhow::{Context, bail};
use dockfw_policy::engine::EngineError;

use crate::enact;
use crate::engines::Chosen;
use crate::exit::Exit;
use crate::host::capabilities;
use crate::lock::{self, Lock};
use crate::records::{State, Store, unix_seconds, wall_time};
use crate::talk::tell;

/// Why a policy is taken back, in the records.
const WHY: &str = "dockfw rollback";

/// Goes back by one apply: from what is on trial to what is confirmed, or from that to the one before it.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let lock = lock::take()?;
    let store = Store::of_host();
    let state = store.read()?;
    let (state, engine) = match (&state.pending, &state.rolled_back) {
        (Some(_), _) => enact::take_back(&store, state, WHY, &lock)?,
        // To go back once more would lose the policy in force, which no other record leads to.
        (None, Some(rolled_back)) if state.previous.is_some() => {
            tell(format_args!("rolled back already, at {}: {}", wall_time(rolled_back.at), rolled_back.why));
            return Ok(Exit::Done);
        }
        (None, _) => step_back(&store, state, &lock)?,
    };
    match (state.confirmed, engine) {
        (Some(policy), Some(chosen)) => {
            let (applied, engine) = (wall_time(policy.applied_at), chosen.backend());
            tell(format_args!("rolled back: the policy of {applied} is in force again ({engine})"));
        }
        _ => tell("rolled back: dockfw filters nothing, as before"),
    }
    Ok(Exit::Done)
}

/// Returns the new state, and the engine that has the policy in force.
fn step_back(store: &Store, state: State, lock: &Lock) -> anyhow::Result<(State, Option<Chosen>)> {
    let Some(before) = state.one_before() else {
        bail!("there is nothing to go back to: dockfw has no record of a policy before the one in force")
    };
    // Recorded once nothing else decides, so that it can be tried again.
    let chosen = enact::restore(store, before, lock)?;
    chosen.clear_other()?;
    let state = state.step_back(WHY, unix_seconds());
    store.note(&state).context("the policy before is in force, but that could not be recorded")?;
    Ok((state, Some(chosen)))
}
