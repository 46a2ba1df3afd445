//! What programs cost: time and memory.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

/// What one run of a program took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Milliseconds on the wall, in the program, and in the kernel on its behalf.
    pub(crate) wall: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// The most memory that it had, in MiB.
    pub(crate) memory: f64,
}

impl Cost {
    /// Time on the wall, in the program and in the kernel, and memory.
    pub(crate) fn parts(self) -> [f64; 4] {
        [self.wall, self.user, self.system, self.memory]
    }
}

/// A command, and whether it is measured or only prepares for what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: Vec<String>,
    pub(crate) is_measured: bool,
}

/// The option by which this program runs between the bench and a program that is measured.
pub(crate) const ROLE: &str = "--measure";
/// The kernel takes a namespace apart in the background, on one of the processors that the next run needs.
const REST: Duration = Duration::from_millis(1500);

/// Runs commands in a network namespace of their own, with records of their own, and returns what those cost that are measured.
pub(crate) fn apart(path: &OsString, steps: &[Step]) -> Result<Vec<Cost>> {
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "sh", "-c", &script(&own, steps)]).env("PATH", path);
    let printed = dockfw_lab::run(&mut unshare)?;
    std::thread::sleep(REST);
    printed.lines().map(|line| parse(line).with_context(|| format!("not a cost: {line}"))).collect()
}

/// What the shell in the namespace does.
fn script(own: &str, steps: &[Step]) -> String {
    let measured = [own, ROLE].map(String::from);
    let line = |step: &Step| {
        let role: &[String] = if step.is_measured { &measured } else { &[] };
        let words: Vec<_> = role.iter().chain(&step.command).map(|word| quoted(word)).collect();
        let silence = if step.is_measured { "" } else { " >/dev/null" };
        format!("{}{silence}\n", words.join(" "))
    };
    "set -e\nmount -t tmpfs none /var/lib\nip link set lo up\n".to_owned()
        + &steps.iter().map(line).collect::<String>()
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a command, and prints what it cost. This process has no other child, or it would not know the child's memory.
pub(crate) fn measure(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let wall = start.elapsed().as_secs_f64() * 1000.0;
    // dockfw tells by 7 that something differs.
    ensure!(status.success() || status.code() == Some(7), "{program}: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let [user, system] = [usage.user_time(), usage.system_time()].map(milliseconds);
    println!("{wall} {user} {system} {}", usage.max_rss() as f64 / 1024.0);
    Ok(())
}

fn milliseconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1000.0
}

fn parse(line: &str) -> Option<Cost> {
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [wall, user, system, memory] = numbers.try_into().ok()?;
    Some(Cost { wall, user, system, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_four_numbers() {
        assert_eq!(parse("12.5 3 4 1.5"), Some(Cost { wall: 12.5, user: 3.0, system: 4.0, memory: 1.5 }));
        assert_eq!(parse("12.5 3 4"), None);
    }

    #[test]
    fn only_what_is_measured_is_run_in_the_role() {
        let step = |word: &str, is_measured| Step { command: vec!["it's".into(), word.into()], is_measured };
        let script = script("/bench", &[step("before", false), step("now", true)]);
        let lines: Vec<_> = script.lines().rev().take(2).collect();
        assert_eq!(lines, [r"'/bench' '--measure' 'it'\''s' 'now'", r"'it'\''s' 'before' >/dev/null"]);
    }
}
