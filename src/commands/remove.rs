//! `dockfw remove`

use anyhow::Context;
use dockfw_policy::engine::EngineError;

use crate::exit::Exit;
use crate::host::capabilities;
use crate::records::Store;
use crate::{engines, lock};

/// Takes everything of dockfw out of the kernel, whichever engine put it there, and forgets its records.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let lock = lock::take()?;
    let was_there = engines::remove(&lock)?;
    Store::of_host().remove().context("dockfw filters nothing any more, but its records are still there")?;
    let said =
        if was_there { "removed: dockfw filters nothing any more" } else { "nothing of dockfw was there" };
    println!("{said}");
    Ok(Exit::Done)
}
