//! The watcher: a process in a session of its own, which survives the end of a terminal, of a session or of the waiting
//! process.
//!
//! It is this program, started again. It has a pipe from the waiting process, which reports on it that the record is
//! there, and that the watcher is on its own. If the other end is closed without that, the waiting process is gone. The
//! watcher reports on its stdout that it is ready, and then that it watches.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use super::rollback::Rollback;
use super::vigil::{Event, Vigil};
use super::{Outcome, TIME_OUT, is_in_time, outcome, roll_back_pending};
use crate::enact;
use crate::exit::Exit;
use crate::lock;
use crate::records::{RecordError, Store};

/// The subcommand by which the program is started as a watcher.
const VERB: &str = "watch";
/// This program, even if its file was replaced meanwhile (proc_pid_exe(5)).
const PROGRAM: &str = "/proc/self/exe";
/// What lists of processes show for it.
const NAME: &str = "dockfw";
/// Where a process writes its name, which would otherwise be that of the link (proc_pid_comm(5)).
const OWN_NAME: &str = "/proc/self/comm";

/// The descriptors that a process has open (proc_pid_fd(5)).
const OPEN: &str = "/proc/self/fd";
/// The last of the three that every program has (stderr(3)).
const STDERR: RawFd = 2;

/// What the watcher sends when it is ready.
const READY: u8 = b'r';
/// What it sends when it knows how to roll back, and watches.
const WATCHING: u8 = b'w';
/// What it receives when the record is there.
const ARMED: u8 = b'a';
/// What it receives when it is on its own.
const DETACHED: u8 = b'd';

/// How long the watcher waits before it tries again, if it could not roll a policy back.
const PAUSE: Duration = Duration::from_secs(2);

/// The watcher, as the waiting process sees it. If this is dropped, the watcher rolls the policy back.
#[derive(Debug)]
pub(super) struct Watcher {
    send: ChildStdin,
    hear: ChildStdout,
}

impl Watcher {
    /// Starts the watcher of this apply, and waits until it is ready.
    pub(super) fn start(id: &str) -> io::Result<Self> {
        #[allow(clippy::disallowed_methods, reason = "it is to outlive this process, and has no limits")]
        let mut command = Command::new(PROGRAM);
        command.arg0(NAME).args([VERB, id]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (Some(send), Some(hear)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut watcher = Self { send, hear };
        watcher.must_say(READY)?;
        Ok(watcher)
    }

    /// Reports that the record of the trial is there. Waits until the watcher watches it.
    pub(super) fn arm(&mut self) -> io::Result<()> {
        self.send.write_all(&[ARMED])?;
        self.must_say(WATCHING)
    }

    fn must_say(&mut self, word: u8) -> io::Result<()> {
        let mut said = [0];
        self.hear.read_exact(&mut said).map_err(|_| io::Error::other("the watcher ended at once"))?;
        if said == [word] { Ok(()) } else { Err(io::Error::other("the watcher is none")) }
    }

    /// Leaves the trial to the watcher alone.
    pub(super) fn detach(mut self) {
        // If it is gone, there was nothing left to watch.
        let _ = self.send.write_all(&[DETACHED]);
    }
}

/// Why a watcher rolls a policy back.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The time is over.
    TimeOut,
    /// The waiting process is gone.
    Alone,
    /// The records are gone, or damaged.
    Lost,
    /// The watcher can't go on watching.
    Blind,
    /// The watcher itself is told to end.
    Signal(Signal),
}

impl Cause {
    fn words(self) -> String {
        match self {
            Self::TimeOut => TIME_OUT.into(),
            Self::Alone => "dockfw apply ended before it was confirmed".into(),
            Self::Lost => "its record was damaged".into(),
            Self::Blind => "its watcher could not go on".into(),
            Self::Signal(signal) => format!("its watcher was ended by {signal}"),
        }
    }
}

/// Runs a watcher.
pub(crate) fn run(id: &str) -> anyhow::Result<Exit> {
    close_inherited();
    // Somebody who starts it by hand may be the leader of a group, which can't leave its session.
    let _ = nix::unistd::setsid();
    let _ = fs::write(OWN_NAME, NAME);
    let store = Store::of_host();
    let vigil = Vigil::begin(store.make_directories()?).context("can't prepare to watch")?;
    let mut lifeline = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    send(READY)?;
    // Until the record is there, the record may be that of another trial.
    let is_armed = received(&mut lifeline) == Some(ARMED);
    let mut watch = Watch { rollback: Rollback::read(&store)?, store, vigil, lifeline: Some(lifeline), id };
    if !is_armed {
        watch.insist(Cause::Alone);
        return Ok(Exit::Done);
    }
    // If nobody reads that, the pipe to this process is closed too, which is noticed next.
    let _ = send(WATCHING);
    while let Some(cause) = watch.wait().unwrap_or(Some(Cause::Blind)) {
        if watch.insist(cause).is_some() {
            break;
        }
    }
    watch.finish_move();
    Ok(Exit::Done)
}

#[allow(clippy::disallowed_methods, reason = "a pipe to the one who waits, not output")]
fn send(word: u8) -> io::Result<()> {
    io::stdout().write_all(&[word]).and_then(|()| io::stdout().flush())
}

/// Closes what the waiting process inherited: for example, a lock of somebody else is not to be held until the end of
/// the trial. The watcher itself has only stdin, stdout and stderr open so far.
fn close_inherited() {
    let names: Vec<_> =
        fs::read_dir(OPEN).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > STDERR) {
        // One of them was the directory itself, which is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// What the watcher looks at.
struct Watch<'a> {
    store: Store,
    rollback: Rollback,
    vigil: Vigil,
    /// The pipe from the waiting process, until that leaves the watcher on its own.
    lifeline: Option<File>,
    /// Which apply it was.
    id: &'a str,
}

impl Watch<'_> {
    /// Waits for a cause to roll the policy back. There is none if the policy is no longer on trial.
    fn wait(&mut self) -> anyhow::Result<Option<Cause>> {
        loop {
            match self.store.find() {
                Ok(Some(state)) => {
                    let Some(pending) = state.pending_of(self.id) else { return Ok(None) };
                    self.vigil.set_deadline(pending.deadline_ms)?;
                    self.rollback.update(state);
                }
                Ok(None) | Err(RecordError::Damaged { .. }) => return Ok(Some(Cause::Lost)),
                // If a disk can't be read now, that is no argument against the trial: the deadline stays as it was.
                Err(error) => log::warn!("{error}"),
            }
            let lifeline = self.lifeline.as_ref().map(File::as_fd);
            match self.vigil.next(lifeline, None, PollTimeout::NONE)? {
                Event::Deadline => return Ok(Some(Cause::TimeOut)),
                Event::Signal(signal) => return Ok(Some(Cause::Signal(signal))),
                Event::Input(_) if self.lifeline.take().as_mut().and_then(received) != Some(DETACHED) => {
                    return Ok(Some(Cause::Alone));
                }
                Event::Input(_) | Event::Records | Event::Unheard | Event::Nothing => {}
            }
        }
    }

    /// Rolls the policy back, and tries again for as long as that fails.
    fn insist(&self, cause: Cause) -> Option<Outcome> {
        loop {
            match self.roll_back_pending(cause) {
                Ok(outcome) => return outcome,
                Err(error) => log::error!("can't roll the policy back: {error:#}"),
            }
            thread::sleep(PAUSE);
        }
    }

    fn roll_back_pending(&self, cause: Cause) -> anyhow::Result<Option<Outcome>> {
        let lock = lock::take()?;
        let state = self.rollback.state(&self.store)?;
        if matches!(cause, Cause::TimeOut) && is_in_time(&state, self.id)? {
            return Ok(None);
        }
        roll_back_pending(&self.store, state, self.id, &cause.words(), &lock)
    }

    /// Removes what a finished trial has left of the other engine. If its rules shut the operator out, nobody else may come
    /// to do it. Tries again for as long as that fails, unless somebody has put something else in force.
    fn finish_move(&self) {
        while let Err(error) = self.try_to_finish_move() {
            log::error!("{error:#}");
            thread::sleep(PAUSE);
        }
    }

    fn try_to_finish_move(&self) -> anyhow::Result<()> {
        let lock = lock::take()?;
        let Ok(state) = self.store.read() else { return Ok(()) };
        match (outcome(&state, self.id), &state.confirmed) {
            (Some(Outcome::Confirmed { .. } | Outcome::RolledBack(_)), Some(confirmed)) => {
                Ok(enact::finish_move(confirmed, &lock)?)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the next byte that the watcher receives, or nothing if nobody is there to send it.
fn received(lifeline: &mut File) -> Option<u8> {
    let mut told = [0];
    lifeline.read_exact(&mut told).ok().map(|()| told[0])
}
