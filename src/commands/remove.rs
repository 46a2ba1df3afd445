//! `dockfw remove`

use dockfw_policy::engine::{Engine, EngineError};

use crate::exit::Exit;
use crate::host::capabilities;
use crate::lock;
use crate::nftables::Nftables;

/// Takes everything of dockfw out of the kernel.
pub(crate) fn run() -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let _lock = lock::take()?;
    if Nftables::default().remove()? {
        println!("removed: dockfw filters nothing any more");
    } else {
        println!("nothing of dockfw was there");
    }
    Ok(Exit::Done)
}
