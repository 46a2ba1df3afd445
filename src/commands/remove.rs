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
    store.remove().context("dockfw filters nothing any more, but its records could not be deleted")?;
    drop(lock);
    let said =
        if was_there { "removed: dockfw filters nothing any more" } else { "nothing of dockfw was there" };
    result(said);
    if is_back {
        result("the old rules, which dockfw had taken over from, are in force again");
    }
    Ok(Exit::Done)
}
