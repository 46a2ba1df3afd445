//! The clocks and identifiers that records are written with.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// A random identifier of this boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A new random identifier with each reading (random(4)).
const NEW_ID: &str = "/proc/sys/kernel/random/uuid";

/// A moment that is independent of the wall clock: a boot, and the time since, suspended or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Which boot.
    pub(crate) boot_id: String,
    /// The time since then (`CLOCK_BOOTTIME`).
    pub(crate) since_boot: Duration,
}

impl Now {
    /// Reads this moment.
    pub(crate) fn read() -> io::Result<Self> {
        let since_boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        Ok(Self { boot_id: read(BOOT_ID)?, since_boot })
    }

    /// Returns when this boot was by the wall clock, in seconds since 1970.
    pub(crate) fn booted(&self) -> u64 {
        unix_seconds().saturating_sub(self.since_boot.as_secs())
    }
}

/// Returns an identifier that no other apply has.
pub(crate) fn new_id() -> io::Result<String> {
    read(NEW_ID)
}

fn read(path: &str) -> io::Result<String> {
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("can't read {path}: {error}")))?;
    Ok(text.trim().to_owned())
}

/// Returns the wall clock's time, in seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
