//! `dockfw remove`

use dockfw_policy::engine::EngineError;

use crate::exit::Exit;
use crate::host::capabilities;
use crate::{engines, lock};

/// Takes everything of dockfw out of the kernel, whichever engine put it there.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let _lock = lock::take()?;
    let mut was_there = false;
    for engine in engines::all(false) {
        match engine.remove() {
            Ok(removed) => was_there |= removed,
            // An engine that this host can't have has left nothing here.
            Err(EngineError::Unsupported(reason)) => log::debug!("{}: {reason}", engine.name()),
            Err(error) => return Err(error.into()),
        }
    }
    let said =
        if was_there { "removed: dockfw filters nothing any more" } else { "nothing of dockfw was there" };
    println!("{said}");
    Ok(Exit::Done)
}
