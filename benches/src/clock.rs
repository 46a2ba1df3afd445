//! One processor, and the time that is spent on it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps this thread on one processor, the first that it may have.
pub fn stay_on_one_processor() -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut processors = (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap_or_default());
    let mut own = CpuSet::new();
    own.set(processors.next().context("no processor")?)?;
    sched_setaffinity(Pid::from_raw(0), &own).context("cannot stay on one processor")
}

/// Measures the time for which this thread has a processor, with all that the kernel does there meanwhile.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    waited: Duration,
}

impl Clock {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), waited: waited() }
    }

    /// Not the thread's own time: some kernels leave out of it what they do for packets (`CONFIG_IRQ_TIME_ACCOUNTING`).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed().saturating_sub(waited().saturating_sub(self.waited))
    }

    /// All the time since the start.
    #[must_use]
    pub fn on_the_wall(&self) -> Duration {
        self.start.elapsed()
    }
}

/// How long the thread has waited for a processor; none where the kernel does not count it.
fn waited() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat").ok().and_then(|text| second(&text)).unwrap_or_default()
}

/// Time on a processor, time in its queue, number of turns (Documentation/scheduler/sched-stats.rst).
fn second(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_the_queue_is_read() {
        assert_eq!(second("5000 1500 12\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(second(""), None);
    }
}
