//! Runs programs of the host: found by an absolute path, without a shell, with limits.

mod conversation;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{AccessFlags, access};

use crate::signals::Watch;
use conversation::Conversation;

/// Where programs lie that are not in the PATH of every session.
const FALLBACK: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// How long a program that hung is not run again: a caller with many questions must not wait for each of them.
const REST: Duration = Duration::from_secs(30);

/// The limits of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// How many bytes it may write to each of stdout and stderr.
    pub output: usize,
}

impl Limits {
    /// The limits of a program that only answers a question.
    pub const QUESTION: Self = Self { time: Duration::from_secs(10), output: 64 << 20 };
}

/// What a program answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Answer {
    /// Returns its error message, for people: the first lines.
    pub fn complaint(&self) -> String {
        let said: Vec<_> =
            self.stderr.lines().map(str::trim).filter(|line| is_complaint(line)).take(4).collect();
        if said.is_empty() { format!("it ended with {}", self.status) } else { said.join("; ") }
    }
}

/// Excludes the hint at other variants that iptables prints at each run.
fn is_complaint(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// The error for a program that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {cause}")]
pub struct NoAnswer {
    /// The program, with its arguments.
    pub command: String,
    /// Why there is none.
    pub cause: Cause,
}

impl NoAnswer {
    /// Logs it. The caller may continue without an answer, but the operator should know that something is wrong with the
    /// host.
    fn log_cause(&self) {
        if matches!(self.cause, Cause::Hung(_) | Cause::Endless(_)) {
            log::warn!("{self}");
        }
    }
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It could not be started, or communication failed.
    #[error("it can't be run: {0}")]
    Io(#[from] io::Error),
    /// It did not end in this time.
    #[error("it hung, and was ended after {} s; run it by hand to see what it waits for", .0.as_secs())]
    Hung(Duration),
    /// It did not end in time a moment ago, and was not run again.
    #[error(
        "it was not run, because that program hung a moment ago; run it by hand to see what it waits for"
    )]
    HungBefore,
    /// It printed more than this many bytes.
    #[error("it was ended after it had printed {} MiB; run it by hand to see what it prints", .0 >> 20)]
    Endless(usize),
    /// A signal arrived that ends dockfw.
    #[error("it was ended, because dockfw was told to end")]
    Interrupted,
}

/// Returns the path of a program. Relative entries of PATH do not count: anybody may have put a program there.
pub fn find(program: &str) -> Option<PathBuf> {
    let mut places = directories().into_iter().map(|directory| directory.join(program));
    places.find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
}

fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    own.chain(FALLBACK.map(PathBuf::from)).collect()
}

/// Returns the PATH for programs that are run.
fn search_path() -> OsString {
    std::env::join_paths(directories()).unwrap_or_default()
}

/// Runs a program to its end, or for as long as it may run. Everything that it has started ends with it. `program` is
/// its path.
pub fn run(program: &Path, arguments: &[&str], input: &str, limits: Limits) -> Result<Answer, NoAnswer> {
    let command = format!("{} {}", program.display(), arguments.join(" ")).trim_end().to_owned();
    log::debug!("running {command}");
    let answer = if hangs(program) {
        Err(Cause::HungBefore)
    } else {
        run_once(program, arguments, input.as_bytes(), limits)
    };
    if let Err(Cause::Hung(_)) = answer {
        lock_hung().insert(program.to_owned(), Instant::now());
    }
    answer.map_err(|cause| NoAnswer { command, cause }).inspect_err(NoAnswer::log_cause)
}

fn run_once(program: &Path, arguments: &[&str], input: &[u8], limits: Limits) -> Result<Answer, Cause> {
    let watch = Watch::begin()?;
    #[allow(clippy::disallowed_methods, reason = "this is where programs are run")]
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("PATH", search_path()).process_group(0);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (status, said) = Conversation::with(child, input, limits)?.finish(&watch)?;
    let [stdout, stderr] = said.map(|said| String::from_utf8_lossy(&said).into_owned());
    Ok(Answer { status, stdout, stderr })
}

/// Asks all questions at once: starting a program takes longer than its answer.
pub fn at_once<Q: Send, A: Send>(
    questions: impl IntoIterator<Item = Q>,
    ask: impl Fn(Q) -> A + Sync,
) -> Vec<A> {
    let ask = &ask;
    thread::scope(|scope| {
        let asked: Vec<_> =
            questions.into_iter().map(|question| scope.spawn(move || ask(question))).collect();
        asked.into_iter().map(answer).collect()
    })
}

/// Does both at the same time.
pub fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        (here(), answer(beside))
    })
}

fn answer<A>(thread: thread::ScopedJoinHandle<'_, A>) -> A {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

static HUNG: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());

fn lock_hung() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, Instant>> {
    HUNG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hangs(program: &Path) -> bool {
    lock_hung().get(program).is_some_and(|since| since.elapsed() < REST)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::Not;

    use dockfw_lab::wait_until;

    use super::*;

    fn run_script(script: &str, input: &str, limits: Limits) -> Result<Answer, Cause> {
        run_once(Path::new("/bin/sh"), &["-c", script], input.as_bytes(), limits)
    }

    fn answer_of(script: &str) -> Answer {
        run_script(script, "", Limits::QUESTION).unwrap()
    }

    const SHORT: Limits = Limits { time: Duration::from_millis(300), output: 1 << 20 };

    #[test]
    fn both_streams_and_the_exit_code_are_read() {
        let answer = answer_of("echo out; echo err >&2; exit 3");
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn what_a_program_is_given_may_be_longer_than_a_pipe_holds_and_need_not_be_read() {
        let input = "0123456789".repeat(100_000);
        assert_eq!(run_script("cat", &input, Limits::QUESTION).unwrap().stdout, input);
        assert!(run_script("exit 0", &input, Limits::QUESTION).unwrap().status.success());
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        for script in
            ["sleep 1000", "exec >&- 2>&-; sleep 1000", "trap '' TERM INT HUP; while :; do sleep 1; done"]
        {
            let cause = run_script(script, "", SHORT).unwrap_err();
            assert!(matches!(cause, Cause::Hung(_)), "{script}: {cause}");
        }
    }

    #[test]
    fn a_program_that_prints_without_end_is_ended() {
        for script in ["yes", "yes >&2"] {
            let limits = Limits { output: 1 << 20, ..Limits::QUESTION };
            let cause = run_script(script, "", limits).unwrap_err();
            assert!(matches!(cause, Cause::Endless(_)), "{script}: {cause}");
        }
    }

    #[test]
    fn a_trickle_does_not_buy_time() {
        let cause = run_script("while echo x; do sleep 0.05; done", "", SHORT).unwrap_err();
        assert!(matches!(cause, Cause::Hung(_)), "{cause}");
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for_and_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let answer = answer_of(&format!("sleep 1000 & echo $! >{}; echo said", pid.display()));
        assert_eq!(answer.stdout, "said\n");
        let pid = fs::read_to_string(pid).unwrap();
        wait_until(Duration::from_secs(10), "for its end", || {
            let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            // An ended process may be there until somebody reaps it.
            state.is_ok_and(|state| !state.contains(") Z")).not().then_some(())
        })
        .unwrap();
    }

    #[test]
    fn a_program_that_hung_is_not_run_again() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("sh");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert!(matches!(run(&link, &["-c", "sleep 1000"], "", SHORT).unwrap_err().cause, Cause::Hung(_)));
        let again = run(&link, &["-c", "exit 0"], "", SHORT).unwrap_err();
        assert!(matches!(again.cause, Cause::HungBefore), "{again}");
        assert!(run(Path::new("/bin/sh"), &["-c", "exit 0"], "", Limits::QUESTION).is_ok());
    }

    #[test]
    fn only_what_can_be_run_is_found() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program"), None);
    }
}
