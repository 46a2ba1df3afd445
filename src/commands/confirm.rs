//! `dockfw confirm`

use anyhow::bail;
use dockfw_policy::engine::EngineError;

use crate::exit::{Exit, Stop};
use crate::host::capabilities;
use crate::message::{Message, TRY};
use crate::output::result;
use crate::records::{RolledBack, Store};
use crate::trial::{self, Outcome};
use crate::unit::Wish;

/// Confirms the policy that is on trial.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let store = Store::of_host();
    let state = store.read()?;
    let wish = Wish::of(state.pending.as_ref().is_some_and(|pending| pending.enable));
    let outcome = match (&state.pending, &state.rolled_back) {
        (Some(pending), _) => trial::confirm(&store, &pending.policy.id)?,
        (None, Some(RolledBack { why, .. })) => Some(Outcome::RolledBack(why.clone())),
        (None, None) if state.confirmed.is_some() => {
            result("nothing is on trial: the last policy is confirmed already");
            wish.carry_out(&store)?;
            return Ok(Exit::Done);
        }
        (None, None) => {
            let message = Message::new("nothing is on trial, and no policy is recorded");
            return Err(
                Stop::new(Exit::Failed, message.help("to see what is in force: dockfw status")).into()
            );
        }
    };
    match outcome {
        Some(Outcome::Confirmed { applied_at }) => {
            trial::report_confirmed(applied_at);
            wish.carry_out(&store)?;
            Ok(Exit::Done)
        }
        Some(Outcome::RolledBack(why)) => {
            let message = Message::new(format!("too late, the policy was undone: {why}"));
            Err(Stop::new(Exit::NotInForce, message.help(TRY)).into())
        }
        Some(Outcome::Replaced) | None => {
            bail!("another dockfw changed the records meanwhile; see `dockfw status`")
        }
    }
}
