//! `dockfw status --watch`: the report again and again, in place, until the operator ends it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dockfw_policy::engine::Count;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use super::text::View;
use super::{Report, text};
use crate::exit::Exit;
use crate::output::write;

/// The time between two reports.
const PERIOD: Duration = Duration::from_secs(1);
/// Moves to the upper left corner, and clears what is below (ECMA-48, CUP and ED).
const HOME: &str = "\x1b[H\x1b[J";
/// The width of names of counters; most names of rules have room in it.
const WIDTH: usize = 24;
/// The height if a terminal does not report its size: the smallest that is common.
const LINES: usize = 24;

/// Counters, and when they were read.
struct Sample {
    at: Instant,
    counters: Vec<Count>,
}

/// Shows the report until a signal asks to end. The exit code is that of the last report.
pub(super) fn run(
    look: impl Fn() -> anyhow::Result<Report>,
    strict: bool,
    view: View,
) -> anyhow::Result<Exit> {
    let signals = Signals::catch()?;
    let mut before: Option<Sample> = None;
    let mut exit = Exit::Failed;
    loop {
        let report = match look() {
            Ok(report) => report,
            // Ctrl-C also ends the programs that dockfw has started.
            Err(_) if signals.came_within(Duration::ZERO)? => return Ok(exit),
            Err(error) => return Err(error),
        };
        let at = Instant::now();
        let lines: Vec<_> = report
            .counters
            .iter()
            .map(|count| counter(&report.label(&count.name), count, before.as_ref(), at))
            .collect();
        write(format!("{HOME}{}", cut(&text::watched(&report, &lines, view), height())));
        exit = report.exit(strict);
        before = Some(Sample { at, counters: report.counters });
        if signals.came_within(PERIOD)? {
            return Ok(exit);
        }
    }
}

/// Returns a counter's line, with its rates since the report before.
fn counter(name: &str, count: &Count, before: Option<&Sample>, at: Instant) -> String {
    let line = text::counted(name, WIDTH, count);
    let earlier = before.and_then(|before| {
        let same = before.counters.iter().find(|other| other.name == count.name)?;
        Some((same, at.duration_since(before.at)))
    });
    let Some((earlier, time)) = earlier else { return line };
    let packets = per_second(earlier.packets, count.packets, time);
    let bytes = per_second(earlier.bytes, count.bytes, time);
    format!("{line} {packets:>10.1} packets/s {bytes:>12.0} bytes/s")
}

/// A counter that is lower than before was reset.
fn per_second(before: u64, now: u64, time: Duration) -> f64 {
    now.saturating_sub(before) as f64 / time.as_secs_f64().max(f64::EPSILON)
}

/// Returns as much of a string as the terminal has room for: a line too many would scroll it away.
fn cut(text: &str, height: usize) -> String {
    let count = text.lines().count();
    let room = height.saturating_sub(1);
    if count <= room {
        return text.to_owned();
    }
    let shown = room.saturating_sub(1);
    let mut lines: Vec<_> = text.lines().take(shown).map(str::to_owned).collect();
    lines.push(format!("… {} lines more: see `dockfw status`", count - shown));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn height() -> usize {
    terminal_size::terminal_size().map_or(LINES, |(_, height)| height.0.into())
}

/// The signals that ask to end, held until they are read.
struct Signals(SignalFd);

impl Signals {
    fn catch() -> io::Result<Self> {
        let wanted: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        wanted.thread_block()?;
        Ok(Self(SignalFd::new(&wanted)?))
    }

    fn came_within(&self, time: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => Ok(ready > 0),
            // For example, the terminal's size has changed.
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(packets: u64, bytes: u64) -> Count {
        Count { name: "drop_input".into(), packets, bytes }
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let start = Instant::now();
        let before = Sample { at: start, counters: vec![count(10, 1000)] };
        let at = start + Duration::from_secs(2);
        let line = counter("drop_input", &count(30, 5000), Some(&before), at);
        assert!(line.ends_with("10.0 packets/s         2000 bytes/s"), "{line}");
        let anew = counter("drop_input", &count(1, 40), Some(&before), at);
        assert!(anew.ends_with(" 0.0 packets/s            0 bytes/s"), "{anew}");
        assert!(counter("drop_input", &count(1, 40), None, at).ends_with("40 bytes"));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_and_says_so() {
        let text = "1\n2\n3\n4\n5\n";
        assert_eq!(cut(text, 6), text);
        assert_eq!(cut(text, 5), "1\n2\n3\n… 2 lines more: see `dockfw status`\n");
        assert!(cut(text, 0).starts_with("… 5 lines"));
    }
}
