//! A timer for moments since the boot, by the clock that continues while the host is suspended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;

/// The timer. It can be polled.
#[derive(Debug)]
pub(super) struct Timer {
    fd: TimerFd,
    /// Whether the kernel has no timers of that clock (before Linux 3.15), and this one stops while the host is suspended.
    /// It is right until the next suspension, and late after it.
    stands_still: bool,
}

impl Timer {
    /// Returns a timer that is not set.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        match TimerFd::new(ClockId::CLOCK_BOOTTIME, flags) {
            Err(Errno::EINVAL) => {
                let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
                Ok(Self { fd, stands_still: true })
            }
            result => Ok(Self { fd: result?, stands_still: false }),
        }
    }

    /// Sets it to a moment since the boot.
    pub(super) fn set(&self, moment: Duration) -> io::Result<()> {
        let suspended = if self.stands_still { suspended()? } else { Duration::ZERO };
        // 0 would switch the timer off.
        let moment = moment.saturating_sub(suspended).max(Duration::from_millis(1));
        let expiration = Expiration::OneShot(TimeSpec::from(moment));
        Ok(self.fd.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns how long the host was suspended since the boot.
fn suspended() -> io::Result<Duration> {
    let now = |clock: nix::time::ClockId| Ok::<_, Errno>(Duration::from(clock_gettime(clock)?));
    let awake = now(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(now(nix::time::ClockId::CLOCK_BOOTTIME)?.saturating_sub(awake))
}
