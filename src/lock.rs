//! One change at a time: two runs of dockfw must not interleave.

use std::fs::{self, DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::exit::{Exit, Stop};
use crate::talk::say;

/// Where the lock lies; `/run` is there before any unit runs, and is emptied at boot.
const DIRECTORY: &str = "/run/dockfw";
const FILE: &str = "/run/dockfw/lock";
const MODE: u32 = 0o600;

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
    loop {
        let file = open().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!("not permitted: can't write {FILE}; run dockfw as root");
                Stop::new(Exit::NotPermitted, message).into()
            }
            _ => anyhow::Error::new(error).context(format!("can't open the lock {FILE}")),
        })?;
        wait_for(&file).with_context(|| format!("can't lock {FILE}"))?;
        // Whoever removed the file meanwhile left a lock that nobody else would look for.
        if is_in_place(&file) {
            return Ok(Lock(file));
        }
    }
}

fn wait_for(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            say("waiting for another dockfw to finish");
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_in_place(file: &File) -> bool {
    let same = |own: &Metadata, named: &Metadata| (own.dev(), own.ino()) == (named.dev(), named.ino());
    matches!((file.metadata(), fs::metadata(FILE)), (Ok(own), Ok(named)) if same(&own, &named))
}

/// For root alone: whoever can open the file, if only to read, can hold the lock for ever.
fn open() -> io::Result<File> {
    if !Path::new(DIRECTORY).is_dir() {
        // Whatever the caller's mask lets through.
        DirBuilder::new().recursive(true).mode(0o700).create(DIRECTORY)?;
    }
    let file = File::options().create(true).truncate(false).write(true).mode(MODE).open(FILE)?;
    if file.metadata()?.mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}
