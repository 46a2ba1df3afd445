//! Runs the programs of xtables: how long they may take, and what their errors mean.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use dockfw_policy::engine::EngineError;
use dockfw_system::programs::{self, Answer, Limits, NoAnswer};

/// The limits of a program that loads rules or sets: millions of addresses stay far below them.
pub(crate) const LOAD: Limits = Limits { time: Duration::from_secs(300), ..Limits::QUESTION };
/// The limits of `ipset save`, which lists all elements of all sets: a million takes a second or two, and some 40 MB.
pub(crate) const SETS: Limits = Limits { time: Duration::from_secs(60), output: 512 << 20 };

/// How long `iptables-restore` waits for the lock, and how long it is run again while it can't get it.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before the next try.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// What programs print if someone else was faster. It is temporary. The last is about a set, not about a rule that
/// names it: a program that lists sets holds each one for a moment (ref_netlink in
/// linux/net/netfilter/ipset/ip_set_core.c).
const BUSY: [&str; 4] = [
    "xtables lock",
    "Resource temporarily unavailable",
    "Device or resource busy",
    "it is in use by a kernel component",
];

/// Runs a program to its end.
pub(crate) fn run(
    program: &Path,
    arguments: &[&str],
    input: &str,
    limits: Limits,
) -> Result<Answer, EngineError> {
    programs::run(program, arguments, input, limits).map_err(no_answer)
}

/// Asks a program, which must succeed. Returns what it prints.
pub(crate) fn ask(program: &Path, arguments: &[&str]) -> Result<String, EngineError> {
    let answer = run(program, arguments, "", Limits::QUESTION)?;
    if answer.status.success() { Ok(answer.stdout) } else { Err(failed(program, &answer)) }
}

fn no_answer(NoAnswer { command, cause }: NoAnswer) -> EngineError {
    EngineError::Io { doing: format!("can't run {command}"), source: io::Error::other(cause) }
}

/// Returns the error for a program that was only asked, and failed.
pub(crate) fn failed(program: &Path, answer: &Answer) -> EngineError {
    permission_or(answer, || EngineError::Protocol {
        doing: format!("asking {}", program.display()),
        answer: answer.complaint(),
    })
}

/// Runs a program again as long as others hold what it needs.
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

/// Returns what a program's failure means: that this process lacks the rights, or else `error`.
pub(crate) fn permission_or(answer: &Answer, error: impl FnOnce() -> EngineError) -> EngineError {
    if is_denied(&answer.stderr) { EngineError::NotPermitted } else { error() }
}

/// If modprobe was denied something, that shows nothing about this process: where modules can't be loaded, even root
/// may not.
fn is_denied(said: &str) -> bool {
    const DENIED: [&str; 3] = ["you must be root", "Operation not permitted", "Permission denied"];
    let mut lines = said.lines().filter(|line| !line.starts_with("modprobe:"));
    lines.any(|line| DENIED.iter().any(|words| line.contains(words)))
}

/// Returns the number after the first "line" of a message: `line 12 failed`, `Error occurred at line: 12`.
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
