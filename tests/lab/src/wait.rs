//! Waiting, in one place: always for a condition, always with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The first pause between two looks. Short against everything that the lab waits for.
const STEP: Duration = Duration::from_millis(5);
/// The part of the time waited so far that later pauses take.
const SHARE: u32 = 20;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Polls `look` until it gives something, or fails with `what` after `deadline`.
///
/// `look` is called at least twice: once at the start, and once when the deadline has passed, so that a machine
/// that stood still for a while does not make a condition that holds look as though it did not. The pause after a look is
/// as long as that took: to look is work too, done by the machine that is waited for.
pub fn wait_until<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    let end = start + deadline * patience();
    loop {
        let now = Instant::now();
        let late = now >= end;
        if let Some(found) = look() {
            return Ok(found);
        }
        if late {
            bail!("waited {:?} in vain: {what}", deadline * patience());
        }
        let pause = STEP.max(now.elapsed()).max(start.elapsed() / SHARE).min(LONGEST);
        thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
    }
}

/// The factor by which slow machines (a virtual one without hardware support) stretch deadlines and time-outs:
/// `DOCKFW_LAB_PATIENCE` in the environment, 1 without it.
#[must_use]
pub fn patience() -> u32 {
    std::env::var("DOCKFW_LAB_PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// How long the traffic in the background of a test pauses after each step: on a machine of its own pace not at all, on a
/// slow one long enough to leave the time to what is tested.
#[must_use]
pub fn respite() -> Duration {
    Duration::from_millis(50) * (patience() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_was_found() {
        let mut calls = 0;
        let found = wait_until(Duration::from_secs(5), "three calls", || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn names_what_it_waited_for() {
        let error = wait_until(Duration::ZERO, "a miracle", || None::<()>).unwrap_err();
        assert!(error.to_string().contains("a miracle"));
    }
}
