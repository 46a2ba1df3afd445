//! `dockfw remove`

use anyhow::Context;
use dockfw_policy::engine::EngineError;

use crate::exit::Exit;
use crate::host::capabilities;
use crate::output::result;
use crate::records::Store;
use crate::{engines, lock, takeover};

/// Removes everything of dockfw from the kernel, whichever engine put it there, and its records.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let lock = lock::take()?;
    let store = Store::of_host();
    let is_back = takeover::put_back(&store, &lock)?;
    let was_there = engines::remove(&lock)?;
    store.remove().context("no policy is in force any more, but dockfw's records could not be deleted")?;
    drop(lock);
    let removed = "removed: no policy is in force any more: dockfw filters nothing";
    result(if was_there { removed } else { "nothing was removed: no rules of dockfw were there" });
    if is_back {
        result("the old rules, which dockfw had taken over from, are in force again");
    }
    Ok(Exit::Done)
}
