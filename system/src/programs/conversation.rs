//! The exchange between dockfw and a program that it runs, until the program ends, or has to be ended.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::{Cause, Limits};
use crate::signals::Watch;

/// How long to wait for streams before checking whether the program has ended, and whether a signal has arrived.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait at first for the end of a program that has closed its streams: as a rule, the end comes next.
const NAP: Duration = Duration::from_micros(100);
/// How long a killed program may take to end. A program that waits for a device in the kernel does not end.
const DEATH: Duration = Duration::from_secs(1);
/// How much is read at once: the size of a pipe (pipe(7)).
const CHUNK: usize = 64 * 1024;

/// A program that runs, in a process group of its own.
pub(crate) struct Conversation<'a> {
    child: Child,
    input: Input<'a>,
    output: [Output; 2],
    limits: Limits,
}

impl<'a> Conversation<'a> {
    /// Returns the conversation with a program whose streams are pipes. The program gets this input.
    pub(crate) fn with(mut child: Child, input: &'a [u8], limits: Limits) -> io::Result<Self> {
        let stdin = child.stdin.take().map(|pipe| pipe_of(pipe.into())).transpose()?;
        let stdout = child.stdout.take().map(|pipe| pipe_of(pipe.into())).transpose()?;
        let stderr = child.stderr.take().map(|pipe| pipe_of(pipe.into())).transpose()?;
        let output = [stdout, stderr].map(|pipe| Output { pipe, said: Vec::new() });
        Ok(Self { child, input: Input { pipe: stdin, rest: input }, output, limits })
    }

    /// Lets the program run to its end. None of it is left running, however it ends. Returns how it ended, and what it
    /// wrote to stdout and to stderr.
    pub(crate) fn finish(mut self, watch: &Watch) -> Result<(ExitStatus, [Vec<u8>; 2]), Cause> {
        let ended = self.converse(watch);
        // Not reaped yet, so that its PID still is that of its group.
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let status = self.reap();
        ended?;
        Ok((status?, self.output.map(|output| output.said)))
    }

    /// Exchanges data until the program ends. Time in which dockfw itself is stopped (Ctrl-Z, a host without enough
    /// processors) does not count.
    fn converse(&mut self, watch: &Watch) -> Result<(), Cause> {
        let (mut left, mut nap) = (self.limits.time, NAP);
        loop {
            let before = Instant::now();
            self.wait(TICK.min(left), &mut nap)?;
            let has_ended = has_ended(&self.child);
            self.exchange()?;
            if has_ended {
                return Ok(());
            }
            if watch.has_come() {
                return Err(Cause::Interrupted);
            }
            left = left.saturating_sub(before.elapsed().min(TICK * 2));
            if left.is_zero() {
                return Err(Cause::Hung(self.limits.time));
            }
        }
    }

    /// Waits until there is something to read or to write.
    fn wait(&self, time: Duration, nap: &mut Duration) -> io::Result<()> {
        let reads = self.output.iter().filter_map(|output| output.pipe.as_ref());
        let mut pipes: Vec<_> = reads.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        pipes.extend(self.input.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        if pipes.is_empty() {
            thread::sleep(time.min(*nap));
            *nap = (*nap * 2).min(TICK);
            return Ok(());
        }
        match poll(&mut pipes, PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads and writes what is possible without waiting.
    fn exchange(&mut self) -> Result<(), Cause> {
        self.input.write();
        self.output.iter_mut().try_for_each(|output| output.read(self.limits.output))
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        let (begun, mut nap) = (Instant::now(), NAP);
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(status),
                None if begun.elapsed() > DEATH => return Err(io::ErrorKind::TimedOut.into()),
                None => thread::sleep(nap),
            }
            nap = (nap * 2).min(TICK);
        }
    }
}

/// Leaves it to be reaped: until then, nobody else can have its PID.
fn has_ended(child: &Child) -> bool {
    let id = Id::Pid(Pid::from_raw(child.id().cast_signed()));
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(id, flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

fn pipe_of(end: OwnedFd) -> io::Result<File> {
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(end.into())
}

/// The input that the program still has to read.
struct Input<'a> {
    pipe: Option<File>,
    rest: &'a [u8],
}

impl Input<'_> {
    /// Writes input. If a program does not read to the end, it prints the reason on stderr.
    fn write(&mut self) {
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.rest.is_empty()) {
            match pipe.write(self.rest) {
                Ok(count) => self.rest = self.rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.pipe = None;
    }
}

/// The output of the program on one of its streams.
struct Output {
    pipe: Option<File>,
    said: Vec<u8>,
}

impl Output {
    fn read(&mut self, limit: usize) -> Result<(), Cause> {
        while let Some(pipe) = &mut self.pipe {
            let mut chunk = [0; CHUNK];
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.said.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if self.said.len() > limit {
                return Err(Cause::Endless(limit));
            }
        }
        Ok(())
    }
}
