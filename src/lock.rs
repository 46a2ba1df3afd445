//! One change at a time: two runs of dockfw must not interleave.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::exit::{Exit, Stop};
use crate::talk::say;

/// Where the lock lies; `/run` is there before any unit runs, and is emptied at boot.
const DIRECTORY: &str = "/run/dockfw";
const FILE: &str = "/run/dockfw/lock";

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// From here on, programs that are started hold the lock too, for as long as they run: one that changes rules may
    /// outlive this process when that is killed, and who comes next must wait for it.
    pub(crate) fn share(&self) -> io::Result<()> {
        fcntl(&self.0, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    }
}

/// Waits for the lock, and says so where that takes time.
pub(crate) fn take() -> anyhow::Result<Lock> {
    let file = open().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Stop::new(Exit::NotPermitted, format!("not permitted: can't write {FILE}; run dockfw as root"))
                .into()
        }
        _ => anyhow::Error::new(error).context(format!("can't open the lock {FILE}")),
    })?;
    match file.try_lock() {
        Ok(()) => return Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => say("waiting for another dockfw to finish"),
        Err(TryLockError::Error(error)) => return Err(error).context(format!("can't lock {FILE}")),
    }
    file.lock().with_context(|| format!("can't lock {FILE}"))?;
    Ok(Lock(file))
}

fn open() -> io::Result<File> {
    if !Path::new(DIRECTORY).is_dir() {
        fs::create_dir_all(DIRECTORY)?;
    }
    File::options().create(true).truncate(false).write(true).open(FILE)
}
