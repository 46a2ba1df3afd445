//! Running programs: found in PATH or where administrators' programs lie, without a shell, for a limited time.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use dockfw_policy::engine::EngineError;

/// Where programs lie that are not in the PATH of every session.
const FALLBACK: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
/// How long a program may take: loading millions of addresses stays far below it.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How long `iptables-restore` waits for the lock, and how long it is run again while it can't have it.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before the next try.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// What programs say when someone else was faster. It passes. The last is said of a set, not of a rule that names it:
/// whoever lists sets holds each one for a moment (ref_netlink in linux/net/netfilter/ipset/ip_set_core.c).
const BUSY: [&str; 4] = [
    "xtables lock",
    "Resource temporarily unavailable",
    "Device or resource busy",
    "it is in use by a kernel component",
];

/// What a program answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

impl Answer {
    /// What it said, for people: the first lines of its complaints.
    pub(crate) fn complaint(&self) -> String {
        let said: Vec<_> =
            self.stderr.lines().map(str::trim).filter(|line| is_complaint(line)).take(4).collect();
        if said.is_empty() { format!("it ended with {}", self.status) } else { said.join("; ") }
    }
}

/// Not the hint at other variants that iptables gives at each run.
fn is_complaint(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect::<Vec<_>>();
    let all = own.into_iter().chain(FALLBACK.map(PathBuf::from));
    std::env::join_paths(all).unwrap_or_default()
}

/// Where a program lies.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path()).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Asks all questions at once: to start a program takes longer than its answer.
pub(crate) fn at_once<Q: Send, A: Send>(
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
pub(crate) fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        (here(), answer(beside))
    })
}

fn answer<A>(thread: thread::ScopedJoinHandle<'_, A>) -> A {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a program to its end.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str) -> Result<Answer, EngineError> {
    log::debug!("running {} {}", program.display(), arguments.join(" "));
    let failed = |source| EngineError::Io { doing: format!("running {}", program.display()), source };
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("PATH", search_path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    talk(&mut child, input).map_err(failed)
}

/// Writes and reads at the same time: a program that waits for either must not wait for ever.
fn talk(child: &mut Child, input: &str) -> io::Result<Answer> {
    let deadline = Instant::now() + TIMEOUT;
    let stdin = child.stdin.take();
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    thread::scope(|scope| {
        // A program that does not read to the end says why on stderr.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        let said = receive(&stdout, deadline).and_then(|stdout| Ok((stdout, receive(&stderr, deadline)?)));
        if said.is_err() {
            // It may have ended by itself meanwhile.
            let _ = child.kill();
        }
        let status = child.wait()?;
        said.map(|(stdout, stderr)| Answer { status, stdout, stderr })
    })
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stream.map_or(Ok(0), |mut stream| stream.read_to_end(&mut bytes));
        // Nobody waits any more when time was up.
        let _ = sender.send(result.map(|_| bytes));
    });
    receiver
}

fn receive(receiver: &mpsc::Receiver<io::Result<Vec<u8>>>, deadline: Instant) -> io::Result<String> {
    let rest = deadline.saturating_duration_since(Instant::now());
    match receiver.recv_timeout(rest) {
        Ok(bytes) => bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Runs a program again while others hold what it needs.
pub(crate) fn patiently(
    mut attempt: impl FnMut() -> Result<Answer, EngineError>,
) -> Result<Answer, EngineError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let answer = attempt()?;
        let is_busy = BUSY.iter().any(|words| answer.stderr.contains(words));
        if !is_busy || Instant::now() >= deadline {
            return Ok(answer);
        }
        std::thread::sleep(PAUSE);
    }
}

/// What it means that a program failed: that this process may not, or else `error`.
pub(crate) fn permission_or(answer: &Answer, error: impl FnOnce() -> EngineError) -> EngineError {
    if is_denied(&answer.stderr) { EngineError::NotPermitted } else { error() }
}

/// What modprobe was denied says nothing of this process: where modules can't be loaded, root may not either.
fn is_denied(said: &str) -> bool {
    const DENIED: [&str; 3] = ["you must be root", "Operation not permitted", "Permission denied"];
    let mut lines = said.lines().filter(|line| !line.starts_with("modprobe:"));
    lines.any(|line| DENIED.iter().any(|words| line.contains(words)))
}

/// The number behind the first "line" of a message: `line 12 failed`, `Error occurred at line: 12`.
pub(crate) fn line_number(text: &str) -> Option<usize> {
    text.split("line").skip(1).find_map(|rest| {
        let digits = rest.trim_start_matches([' ', ':']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_nobody_may_load_is_no_lack_of_permission() {
        let no_module = "modprobe: ERROR: could not insert 'ip_tables': Operation not permitted\n\
                         iptables-restore: unable to initialize table 'filter'";
        assert!(!is_denied(no_module));
        assert!(is_denied(
            "iptables v1.8.9 (legacy): can't initialize: Permission denied (you must be root)"
        ));
    }

    #[test]
    fn messages_name_lines() {
        assert_eq!(line_number("iptables-restore: line 12 failed"), Some(12));
        assert_eq!(line_number("iptables-restore v1.4.21: x\nError occurred at line: 3\nTry"), Some(3));
        assert_eq!(line_number("line 5: RULE_APPEND failed (No such file): rule in chain A"), Some(5));
        assert_eq!(line_number("no line is named"), None);
        assert_eq!(line_number("ipset v6.29: Error in line 2: Set cannot be created"), Some(2));
    }
}
