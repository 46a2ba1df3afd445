//! The summary of the records for an operator.

use std::time::{Duration, UNIX_EPOCH};

use dockfw_policy::printable;
use serde::Serialize;

use super::{Now, Pending, Record, RolledBack, State};

/// What `status` shows of the records; a contract with scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// When the confirmed policy was applied, in seconds since 1970.
    confirmed_at: Option<u64>,
    /// When the one before it was applied, to which `dockfw rollback` goes from it.
    previous_at: Option<u64>,
    /// The policy that waits to be confirmed.
    pending: Option<PendingSummary>,
    /// The last policy that was rolled back, until another one is applied.
    rolled_back: Option<RolledBackSummary>,
    /// Whether an unrecorded policy is in force, from which `dockfw rollback` goes to the confirmed one.
    unrecorded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PendingSummary {
    /// When it was applied, in seconds since 1970.
    applied_at: u64,
    /// How much time is left to confirm it; 0 if it should have been rolled back already.
    seconds_left: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct RolledBackSummary {
    /// When, in seconds since 1970.
    at: u64,
    why: String,
}

impl Summary {
    /// Returns the summary at this moment.
    pub(crate) fn of(state: &State, now: &Now) -> Self {
        let applied_at = |record: &Option<Record>| record.as_ref().map(|record| record.applied_at);
        let pending = |pending: &Pending| PendingSummary {
            applied_at: pending.policy.applied_at,
            seconds_left: pending.time_left(now).map_or(0, |left| left.as_secs().max(1)),
        };
        let rolled_back = |rolled_back: &RolledBack| RolledBackSummary {
            at: rolled_back.at,
            why: printable(&rolled_back.why),
        };
        Self {
            confirmed_at: applied_at(&state.confirmed),
            previous_at: applied_at(&state.previous),
            pending: state.pending.as_ref().map(pending),
            rolled_back: state.rolled_back.as_ref().map(rolled_back),
            unrecorded: state.unrecorded,
        }
    }

    /// Returns what an operator has to know: nothing if all is as usual.
    pub(crate) fn lines(&self) -> Vec<String> {
        let pending = self.pending.as_ref().map(|pending| match pending.seconds_left {
            0 => "on trial, and its time is over, but nothing rolled it back: run `dockfw rollback`".into(),
            left => {
                format!("on trial, {left} s left: `dockfw confirm` keeps it, `dockfw rollback` undoes it")
            }
        });
        let rolled_back = self.rolled_back.as_ref().map(|RolledBackSummary { at, why }| {
            let at = wall_time(*at);
            format!(
                "a policy was rolled back at {at} ({why}); `dockfw boot` leaves it out, `dockfw apply` does not"
            )
        });
        let unrecorded = self.unrecorded.then(|| "the policy in force could not be recorded".to_owned());
        pending.into_iter().chain(rolled_back).chain(unrecorded).collect()
    }
}

/// Returns a moment of the wall clock, in seconds since 1970, for people.
pub(crate) fn wall_time(seconds: u64) -> String {
    /// The end of the year 9999; later times have no such form.
    const END: u64 = 253_402_300_800;
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).filter(|_| seconds < END);
    time.map_or("an unknown time".into(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_can_be_written() {
        assert_eq!(wall_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(wall_time(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!([wall_time(253_402_300_800), wall_time(u64::MAX)], ["an unknown time", "an unknown time"]);
    }
}
