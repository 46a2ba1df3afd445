//! `dockfw rollback`

use dockfw_policy::engine::EngineError;

use crate::enact::{self, RolledBack};
use crate::exit::{Exit, Stop};
use crate::host::capabilities;
use crate::lock::{self, Lock};
use crate::message::Message;
use crate::output::result;
use crate::records::{State, Store, unix_seconds, wall_time};

/// Why a policy is rolled back, in the records.
const WHY: &str = "somebody ran `dockfw rollback`";

/// Rolls back one apply: from what is on trial to what is confirmed, or from that to the one before it.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let lock = lock::take()?;
    let store = Store::of_host();
    let state = store.read()?;
    let RolledBack { state, left } = match (&state.pending, &state.rolled_back) {
        (Some(_), _) => enact::roll_back_pending(&store, state, WHY, &lock)?,
        // One more rollback would lose the policy in force: no other record leads to it.
        (None, Some(rolled_back)) if state.previous.is_some() => {
            result(format_args!(
                "rolled back already, at {}: {}",
                wall_time(rolled_back.at),
                rolled_back.why
            ));
            return Ok(Exit::Done);
        }
        (None, _) => step_back(&store, state, &lock)?,
    };
    match state.confirmed {
        Some(policy) => {
            let applied = wall_time(policy.applied_at);
            result(format_args!(
                "rolled back: the policy of {applied} is in force again ({})",
                policy.engine
            ));
        }
        None => result("rolled back: dockfw filters nothing, as before"),
    }
    left.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

fn step_back(store: &Store, state: State, lock: &Lock) -> anyhow::Result<RolledBack> {
    let Some(before) = state.one_before() else {
        let message = Message::new("nothing was rolled back: dockfw has no record of an earlier policy")
            .help("to see what is in force: dockfw status");
        return Err(Stop::new(Exit::Failed, message).into());
    };
    let chosen = enact::restore(store, before, lock)?.chosen;
    RolledBack::settle(store, state.step_back(WHY, unix_seconds()), Some(&chosen), lock)
}
