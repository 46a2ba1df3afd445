//! `dockfw rollback`

use anyhow::Context;
use dockfw_policy::engine::EngineError;

use super::last::NOTHING;
use super::{rewrite, sources_on_disk};
use crate::cli::Rollback;
use crate::enact::{self, RolledBack};
use crate::exit::{Exit, Stop};
use crate::host::capabilities;
use crate::lock::{self, Lock};
use crate::message::{Message, TRY};
use crate::output::{result, warning};
use crate::records::{Record, State, Store, unix_seconds, wall_time};

/// Why a policy is rolled back, in the records.
const WHY: &str = "somebody ran `dockfw rollback`";

/// How the file follows a rollback.
const WRITE_FILE: &str = "to write that text into the file, and go back no further; what is there now is kept beside it: \
                          dockfw rollback --write-file";

/// Rolls back one apply: from what is on trial to what is confirmed, or from that to the one before it.
pub(crate) fn run(options: &Rollback) -> anyhow::Result<Exit> {
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
            settle_file(&store, &state, options)?;
            return Ok(Exit::Done);
        }
        // It is done already, and only the file is asked for.
        (None, Some(_)) if options.write_file && state.confirmed.is_some() => {
            settle_file(&store, &state, options)?;
            return Ok(Exit::Done);
        }
        (None, _) => step_back(&store, state, &lock)?,
    };
    match &state.confirmed {
        Some(policy) => {
            let applied = wall_time(policy.applied_at);
            result(format_args!(
                "rolled back: the policy applied at {applied} is in force again ({})",
                policy.engine
            ));
        }
        None => {
            result("rolled back: no policy is in force, as before the first apply");
            warning(
                Message::new(NOTHING).meaning("this host is unprotected, unless another firewall filters"),
            );
        }
    }
    settle_file(&store, &state, options)?;
    left.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

/// Writes the policy in force into its file, or warns if another one is there.
fn settle_file(store: &Store, state: &State, options: &Rollback) -> anyhow::Result<()> {
    if !options.write_file {
        file_warning(state).iter().for_each(warning);
        return Ok(());
    }
    let Some(record) = &state.confirmed else {
        let message = Message::new("no file was written: no policy is in force");
        return Err(Stop::new(Exit::Failed, message).into());
    };
    let sources = store.sources(record).context("no file was written")?;
    rewrite::write(record, &sources)
}

/// Returns what the next apply would do, if the policy file is not what is in force.
fn file_warning(state: &State) -> Option<Message> {
    let rolled_back = state.rolled_back.as_ref().map(|rolled_back| &rolled_back.policy);
    let file = &rolled_back.or(state.confirmed.as_ref())?.config;
    let now = sources_on_disk(file).seal().ok()?;
    let is_now = |record: &Record| record.digest == now.digest();
    if state.confirmed.as_ref().is_some_and(is_now) {
        return None;
    }
    let what = if rolled_back.is_some_and(is_now) {
        format!("{} still contains the policy that was rolled back", file.display())
    } else {
        format!("{} does not contain the policy that is in force", file.display())
    };
    let message = Message::new(what).meaning("the next `dockfw apply` puts the policy of the file in force");
    let message = match state.confirmed {
        Some(_) => message.help("to print the text of the policy in force: dockfw show --in-force"),
        None => message.help("edit the file before that").help(TRY),
    };
    // Without that mark, one more rollback would go back further.
    let is_marked = state.confirmed.is_some() && rolled_back.is_some();
    Some(if is_marked { message.help(WRITE_FILE) } else { message })
}

fn step_back(store: &Store, state: State, lock: &Lock) -> anyhow::Result<RolledBack> {
    let Some(before) = state.one_before() else {
        let message = Message::new("nothing was rolled back: dockfw has no record of an earlier policy")
            .help("to see what is in force: dockfw status")
            .help("to remove all rules of dockfw: dockfw remove");
        return Err(Stop::new(Exit::Failed, message).into());
    };
    let chosen = enact::restore(store, before, lock)?.chosen;
    RolledBack::settle(store, state.step_back(WHY, unix_seconds()), Some(&chosen), lock)
}
