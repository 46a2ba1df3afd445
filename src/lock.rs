//! One change at a time: two runs of dockfw must not interleave.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use anyhow::Context;

use crate::exit::{Exit, Stop};
use crate::talk::say;

/// Where the lock lies; `/run` is there before any unit runs, and is emptied at boot.
const DIRECTORY: &str = "/run/dockfw";
const FILE: &str = "/run/dockfw/lock";

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

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
