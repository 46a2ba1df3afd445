//! One change at a time: two runs of dockfw must not interleave.

use std::fs::{self, DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc::O_NONBLOCK;

use crate::exit::{self, Exit, Stop};
use crate::host::processes;
use crate::message::Message;
use crate::output::note;

/// Where the lock lies. `/run` exists before any unit runs, and is emptied at boot.
const DIRECTORY: &str = "/run/dockfw";
const FILE: &str = "/run/dockfw/lock";
const MODE: u32 = 0o600;

/// How long to wait for the lock. Its holder may be loading rules and sets, for which a program has five minutes.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock, held until this is dropped or the process ends, for whatever reason.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Lets programs that are started from here on hold the lock too, for as long as they run. A program that changes rules
    /// may outlive this process if this process is killed, and the next one must wait for it.
    pub(crate) fn share(&self) -> io::Result<()> {
        fcntl(&self.0, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    }
}

/// Waits for the lock, and reports it if that takes time.
pub(crate) fn take() -> anyhow::Result<Lock> {
    loop {
        let file = open().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = Message::new(format!("not permitted: can't write {FILE}"));
                Stop::new(Exit::NotPermitted, exit::as_root(message)).into()
            }
            _ => anyhow::Error::new(error).context(format!("can't open the lock {FILE}")),
        })?;
        wait_for(&file, PATIENCE)?;
        // If somebody removed the file meanwhile, this lock is on a file that nobody else would look for.
        if is_in_place(&file) {
            return Ok(Lock(file));
        }
    }
}

fn wait_for(file: &File, patience: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut is_said = false;
    while !try_lock(file)? {
        if !is_said {
            note(format_args!("waiting for another dockfw to finish{}", holders()));
            is_said = true;
        }
        if begun.elapsed() >= patience {
            let minutes = patience.as_secs() / 60;
            let message = Message::new(format!(
                "another dockfw does not finish: it has held the lock {FILE} for {minutes} minutes{}",
                holders()
            ));
            return Err(Stop::new(Exit::Failed, message.help("see what it waits for, or end it")).into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn try_lock(file: &File) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {FILE}")),
    }
}

/// Returns who holds the lock, as words to append: dockfw, or a program that it ran. Empty if that is unknown.
fn holders() -> String {
    let holders = processes::with_lock_on(Path::new(FILE));
    let holders: Vec<_> = holders.iter().map(|(pid, name)| format!("{name}, process {pid}")).collect();
    if holders.is_empty() { String::new() } else { format!(" ({})", holders.join("; ")) }
}

fn is_in_place(file: &File) -> bool {
    let same = |own: &Metadata, named: &Metadata| (own.dev(), own.ino()) == (named.dev(), named.ino());
    matches!((file.metadata(), fs::metadata(FILE)), (Ok(own), Ok(named)) if same(&own, &named))
}

/// Opens the lock. It is for root alone: whoever can open the file, even for reading only, can hold the lock for ever.
fn open() -> io::Result<File> {
    if !Path::new(DIRECTORY).is_dir() {
        // The caller's umask may take some of these rights away.
        DirBuilder::new().recursive(true).mode(0o700).create(DIRECTORY)?;
    }
    // With O_NONBLOCK, opening a pipe is an error, instead of a wait for a reader.
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(MODE).custom_flags(O_NONBLOCK);
    let file = options.open(FILE)?;
    if file.metadata()?.mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_given_back_is_not_waited_for_without_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let holder = file.reopen().unwrap();
        holder.lock().unwrap();
        let waiter = file.reopen().unwrap();
        let error = wait_for(&waiter, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("another dockfw does not finish"), "{error}");
        holder.unlock().unwrap();
        wait_for(&waiter, Duration::from_millis(50)).unwrap();
    }
}
