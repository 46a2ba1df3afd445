//! What waiter and watcher wait for: the deadline, signals, a change of the records, and one input of their own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::timer::Timer;

/// The signals that end a trial.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// Signals that would stop a background process that reads its terminal, or sets it. If they are blocked, that is an
/// error instead (termios(3), tcsetpgrp(3)).
const STOPPING: [Signal; 2] = [Signal::SIGTTIN, Signal::SIGTTOU];

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The deadline has passed.
    Deadline,
    /// A signal that ends the trial.
    Signal(Signal),
    /// The records have changed.
    Records,
    /// The input has something to read.
    Input(PollFlags),
    /// Nobody reads the output any more.
    Unheard,
    /// None of these within the time that was asked for.
    Nothing,
}

/// The watch for events. From its beginning, signals are held until they are read, and no change of the records is
/// missed.
#[derive(Debug)]
pub(super) struct Vigil {
    timer: Timer,
    signals: SignalFd,
    records: Inotify,
}

impl Vigil {
    /// Begins to watch the records in these directories.
    pub(super) fn begin(directories: [&Path; 2]) -> io::Result<Self> {
        let ending: SigSet = ENDING.into_iter().collect();
        ending.thread_block()?;
        STOPPING.into_iter().collect::<SigSet>().thread_block()?;
        let records = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // The state is renamed to its place, and removed with its directory; any other event is damage.
        let damage =
            AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_MOVE_SELF;
        for directory in directories {
            records.add_watch(directory, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | damage)?;
        }
        Ok(Self {
            timer: Timer::new()?,
            signals: SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            records,
        })
    }

    /// Sets the deadline, in milliseconds since the boot.
    pub(super) fn set_deadline(&self, deadline_ms: u64) -> io::Result<()> {
        self.timer.set(Duration::from_millis(deadline_ms))
    }

    /// Waits for the next event. `input` is the caller's own input, and `output` where it writes, if it writes.
    pub(super) fn next(
        &self,
        input: Option<BorrowedFd<'_>>,
        output: Option<BorrowedFd<'_>>,
        timeout: PollTimeout,
    ) -> io::Result<Event> {
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds =
            vec![watch(self.signals.as_fd()), watch(self.records.as_fd()), watch(self.timer.as_fd())];
        // poll(2) reports that the other end is gone without being asked.
        fds.extend(output.map(|fd| PollFd::new(fd, PollFlags::empty())));
        fds.extend(input.map(watch));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened = |index: usize| {
            let flags = fds.get(index).and_then(PollFd::revents);
            flags.filter(|flags| !flags.is_empty())
        };
        if happened(0).is_some() {
            return Ok(self.signal()?.map_or(Event::Nothing, Event::Signal));
        }
        if happened(1).is_some() {
            self.records.read_events()?;
            return Ok(Event::Records);
        }
        if happened(2).is_some() {
            return Ok(Event::Deadline);
        }
        let of_input = 3 + usize::from(output.is_some());
        Ok(match happened(of_input) {
            Some(flags) => Event::Input(flags),
            None if output.is_some() && happened(3).is_some() => Event::Unheard,
            None => Event::Nothing,
        })
    }

    fn signal(&self) -> io::Result<Option<Signal>> {
        let number = self.signals.read_signal()?.map(|info| info.ssi_signo);
        Ok(number.and_then(|number| Signal::try_from(i32::try_from(number).ok()?).ok()))
    }
}
