//! Killing a program at its n-th system call.
//!
//! The program, and all that it starts, is traced by ptrace(2). What is counted are entries of system calls: whoever is killed there has
//! made all calls before, and not this one. Some things about it are easily missed:
//!
//! - Who starts a program by vfork stands still until that has come to its execve. So the tracer never waits for one of them
//!   alone, and lets each go on as soon as it has stopped.
//! - A thread has a number of its own, and may stop for the first time before the one that started it has said so. Which process a number
//!   belongs to is asked of `/proc`.
//! - A thread stops when a call begins and when it ends, and nothing in how it stops says which of the two it is. To take turns goes
//!   wrong, for the first stop of some is an end: of the call that started them. So the kernel is asked each time.
//! - From the moment of the death on, nobody that is to die is let go on. Each of them comes to the end of the call that it is in, and
//!   no further, so that all of them die at one instant.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::call::Call;
use crate::netns::in_thread;
use crate::programs::find;
use crate::wait::patience;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// What is run first: nobody can be traced from before its first instruction on without a moment to wait in.
const WAIT: &str = "read -r _ && exec \"$@\" </dev/null";

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dies {
    /// The program alone, at its own n-th call, whichever thread makes it. What it has started goes on to its end.
    Program,
    /// The program and all that it has started, at the n-th call of any of them.
    Everything,
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All of them.
    Every,
    /// Those [that tell](Call::is_telling).
    Telling,
}

/// A program that is to die.
#[derive(Clone, Copy, Debug)]
pub struct Trap<'a> {
    /// The program: the calls from its start on are counted. Not the shell, by which all begins.
    pub program: &'a Path,
    /// Who dies.
    pub dies: Dies,
    /// What is counted.
    pub counted: Counted,
    /// The number of the call at which they die, from 1 on; nobody dies without one.
    pub at: Option<usize>,
}

/// What came of it. Nobody of those that were traced is alive any more.
#[derive(Clone, Debug)]
pub struct Traced {
    /// How many calls were counted.
    pub calls: usize,
    /// The call at which they died, if they did.
    pub death: Option<Call>,
    /// The program's exit code, if it came to its end.
    pub code: Option<i32>,
}

impl Trap<'_> {
    /// Whether this machine lets programs be traced: an error is a reason to skip.
    pub fn check() -> Result<()> {
        let (program, output) = (&fs::canonicalize(find("true")?)?, &File::create("/dev/null")?);
        let trap = Trap { program, dies: Dies::Everything, counted: Counted::Telling, at: None };
        trap.run(&Command::new(program), output).map(drop)
    }

    /// Runs a command that comes to the program by way of execve alone. What it says goes to `output`.
    pub fn run(&self, command: &Command, output: &File) -> Result<Traced> {
        // Of a thread of their own are all children that it waits for.
        in_thread(|| self.run_here(command, output))
    }

    fn run_here(&self, command: &Command, output: &File) -> Result<Traced> {
        let mut child = by_shell(command, output)?.spawn().context("cannot start sh")?;
        let first = Pid::from_raw(i32::try_from(child.id())?);
        ptrace::seize(first, options()).context("no tracing here")?;
        writeln!(child.stdin.take().context("no way in")?)?;
        let mut tracing = Tracing::new(self);
        thread::scope(|scope| {
            let (done, is_done) = channel();
            let in_time = scope.spawn(move || in_time(&is_done, first));
            let outcome = tracing.run();
            drop(done);
            ensure!(in_time.join().unwrap_or(false), "the program did not come to its end in {DEADLINE:?}");
            outcome
        })?;
        Ok(Traced { calls: tracing.calls, death: tracing.death, code: tracing.code })
    }
}

/// The same command, begun by a shell that waits for a word.
fn by_shell(command: &Command, output: &File) -> Result<Command> {
    let mut shell = Command::new("sh");
    shell.args(["-c", WAIT, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    Ok(shell)
}

fn options() -> Options {
    Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
}

/// Whether it is done before the deadline. Otherwise it is ended.
fn in_time(is_done: &Receiver<()>, first: Pid) -> bool {
    let late = is_done.recv_timeout(DEADLINE * patience()) == Err(RecvTimeoutError::Timeout);
    if late {
        // It may have ended by itself meanwhile.
        let _ = kill(first, Signal::SIGKILL);
    }
    !late
}

struct Tracing<'a> {
    trap: &'a Trap<'a>,
    /// The process of the program, once it has begun.
    program: Option<Pid>,
    /// The process of each thread.
    processes: BTreeMap<Pid, Pid>,
    calls: usize,
    death: Option<Call>,
    code: Option<i32>,
}

impl<'a> Tracing<'a> {
    fn new(trap: &'a Trap<'a>) -> Self {
        Self { trap, program: None, processes: BTreeMap::new(), calls: 0, death: None, code: None }
    }

    /// Until nobody is left.
    fn run(&mut self) -> Result<()> {
        let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(own)) {
                Ok(status) => self.meet(status)?,
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn meet(&mut self, status: WaitStatus) -> Result<()> {
        match status {
            WaitStatus::Exited(thread, code) => {
                self.forget(thread);
                if self.program == Some(thread) {
                    self.code = Some(code);
                }
            }
            WaitStatus::Signaled(thread, ..) => self.forget(thread),
            WaitStatus::PtraceSyscall(thread) => return self.meet_call(thread),
            WaitStatus::PtraceEvent(thread, _, event) => {
                if event == Event::PTRACE_EVENT_EXEC as i32 {
                    self.meet_program(thread);
                }
                return self.go_on(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => return self.go_on(thread, Some(signal)),
            _ => {}
        }
        Ok(())
    }

    fn forget(&mut self, thread: Pid) {
        self.processes.remove(&thread);
    }

    fn meet_program(&mut self, thread: Pid) {
        let runs = fs::read_link(format!("/proc/{thread}/exe"));
        if self.program.is_none() && runs.is_ok_and(|runs| runs == self.trap.program) {
            self.program = Some(thread);
        }
    }

    fn meet_call(&mut self, thread: Pid) -> Result<()> {
        if self.is_counted(thread) && is_entry(thread)? {
            let every = self.trap.counted == Counted::Every;
            if every || Call::of(thread).is_some_and(|call| call.is_telling()) {
                self.calls += 1;
            }
            if self.trap.at == Some(self.calls) {
                return self.die(thread);
            }
        }
        self.go_on(thread, None)
    }

    fn die(&mut self, thread: Pid) -> Result<()> {
        self.death = Call::of(thread).map(|call| call.signed(thread));
        ensure!(self.death.is_some(), "the call at which to die can't be read");
        match self.trap.dies {
            Dies::Program => self.program.map_or(Ok(()), end),
            Dies::Everything => self.processes.values().try_for_each(|process| end(*process)),
        }
    }

    fn go_on(&mut self, thread: Pid, signal: Option<Signal>) -> Result<()> {
        // Whoever has just been started may not have been known at the moment of the death.
        if self.death.is_some() && self.trap.dies == Dies::Everything {
            return end(thread);
        }
        let resumed = match self.is_counted(thread) {
            true => ptrace::syscall(thread, signal),
            false => ptrace::cont(thread, signal),
        };
        unless_gone(resumed)
    }

    /// Whether calls of this thread are counted now.
    fn is_counted(&mut self, thread: Pid) -> bool {
        let process = *self.processes.entry(thread).or_insert_with(|| process_of(thread).unwrap_or(thread));
        let begun = self.program.is_some() && self.death.is_none();
        begun && (self.trap.dies == Dies::Everything || self.program == Some(process))
    }
}

fn is_entry(thread: Pid) -> Result<bool> {
    match ptrace::syscall_info(thread) {
        Ok(info) => Ok(info.op == libc::PTRACE_SYSCALL_INFO_ENTRY),
        Err(Errno::ESRCH) => Ok(false),
        Err(error) => Err(error).context("the kernel does not tell of calls (Linux 5.3 does)"),
    }
}

/// The process that a thread belongs to (proc(5), `Tgid` in `/proc/PID/status`).
fn process_of(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let number = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    Some(Pid::from_raw(number.trim().parse().ok()?))
}

fn end(process: Pid) -> Result<()> {
    unless_gone(kill(process, Signal::SIGKILL))
}

/// Whoever was killed may be gone already.
fn unless_gone(result: nix::Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// What the program starts: not at once the whole of what is said.
    const SCRIPT: &str = "/bin/echo one; echo two";
    const WHOLE: &str = "one\ntwo\n";

    /// A program that starts others and waits for them. Not a shell, which is what it is started by.
    fn run(dies: Dies, counted: Counted, at: Option<usize>) -> (Traced, String) {
        let program = &find("timeout").and_then(|path| Ok(fs::canonicalize(path)?)).unwrap();
        let mut options = File::options();
        let mut output = options.read(true).write(true).custom_flags(libc::O_TMPFILE).open("/tmp").unwrap();
        let mut command = Command::new("env");
        command.arg(program).args(["60", "sh", "-c", SCRIPT]);
        let traced = Trap { program, dies, counted, at }.run(&command, &output).unwrap();
        let mut said = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut said).unwrap();
        (traced, said)
    }

    #[test]
    fn without_a_number_all_come_to_their_end() {
        for counted in [Counted::Every, Counted::Telling] {
            let (alone, said) = run(Dies::Program, counted, None);
            assert_eq!((said.as_str(), alone.code), (WHOLE, Some(0)));
            let (all, _) = run(Dies::Everything, counted, None);
            assert!(alone.calls > 0 && all.calls > alone.calls, "{} and {}", alone.calls, all.calls);
        }
    }

    #[test]
    fn everything_dies_at_the_call_and_not_later() {
        let (whole, _) = run(Dies::Everything, Counted::Telling, None);
        let mut said_by_dead = Vec::new();
        for at in 1..=whole.calls + 3 {
            let (traced, said) = run(Dies::Everything, Counted::Telling, Some(at));
            assert!(WHOLE.starts_with(&said) && !said.ends_with("e"), "{said:?}");
            match traced.death {
                Some(_) => said_by_dead.push(said),
                None => assert_eq!(said, WHOLE),
            }
        }
        assert!(said_by_dead.contains(&String::new()) && said_by_dead.contains(&"one\n".into()));
    }

    #[test]
    fn what_the_program_has_started_outlives_it() {
        let (whole, _) = run(Dies::Program, Counted::Telling, None);
        let deaths = (1..=whole.calls).map(|at| run(Dies::Program, Counted::Telling, Some(at)));
        let outlived = deaths.filter(|(traced, _)| traced.death.is_some()).map(|(_, said)| said);
        let outlived: Vec<_> = outlived.collect();
        assert!(outlived.iter().all(|said| said.is_empty() || said == WHOLE), "{outlived:?}");
        assert!(outlived.contains(&WHOLE.into()) && outlived.contains(&String::new()), "{outlived:?}");
    }
}
