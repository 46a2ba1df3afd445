//! The role of each policy. Pure: each step takes a state to the next one.

use std::path::PathBuf;
use std::time::Duration;

use dockfw_policy::engine::EngineName;
use serde::{Deserialize, Serialize};

use super::Now;

/// The role of each policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The last policy that an operator confirmed, or applied without a trial.
    pub(crate) confirmed: Option<Record>,
    /// The policy that was confirmed before it: `dockfw rollback` goes there.
    pub(crate) previous: Option<Record>,
    /// The policy that is in force and waits to be confirmed. A rollback leads to the confirmed one, or to no policy if
    /// there is none.
    pub(crate) pending: Option<Pending>,
    /// The last policy that was rolled back. As long as the policy files are these, a boot does not put them in force.
    pub(crate) rolled_back: Option<RolledBack>,
    /// Whether a policy that could not be recorded is in force, in place of all of these.
    #[serde(default)]
    pub(crate) unrecorded: bool,
}

/// A policy that was put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which apply it was.
    pub(crate) id: String,
    /// The main policy file, by its absolute name.
    pub(crate) config: PathBuf,
    /// What distinguishes its sources from others, and names them in the store.
    pub(crate) digest: String,
    /// The engine that put it in force.
    pub(crate) engine: EngineName,
    /// Whether the operator accepted what would have been refused for safety.
    pub(crate) force: bool,
    /// When, in seconds since 1970.
    pub(crate) applied_at: u64,
}

impl Record {
    /// Returns whether putting the other one in force would give the same.
    pub(crate) fn is_same_policy(&self, other: &Self) -> bool {
        let same =
            |record: &Self| (record.config.clone(), record.digest.clone(), record.engine, record.force);
        same(self) == same(other)
    }
}

/// A policy that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The policy.
    pub(crate) policy: Record,
    /// In which boot.
    pub(crate) boot_id: String,
    /// Until when, in milliseconds since that boot (`CLOCK_BOOTTIME`).
    pub(crate) deadline_ms: u64,
    /// Whether the unit is to be enabled once the policy is confirmed.
    #[serde(default)]
    pub(crate) enable: bool,
}

impl Pending {
    /// Returns how much time is left, or nothing if none is.
    pub(crate) fn time_left(&self, now: &Now) -> Option<Duration> {
        let left = Duration::from_millis(self.deadline_ms).checked_sub(now.since_boot)?;
        (self.boot_id == now.boot_id && !left.is_zero()).then_some(left)
    }
}

/// A policy that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RolledBack {
    /// The policy.
    pub(crate) policy: Record,
    /// Why, in words.
    pub(crate) why: String,
    /// When, in seconds since 1970.
    pub(crate) at: u64,
}

impl State {
    /// Returns since when this engine has had the policy of these sources in force, in seconds since 1970; nothing if there
    /// is no record of that. The boot, at `booted`, put it in force anew.
    pub(crate) fn in_force_since(&self, engine: EngineName, digest: &str, booted: u64) -> Option<u64> {
        let last = self.in_force()?;
        let is_it = last.digest == digest && last.engine == engine;
        is_it.then(|| last.applied_at.max(booted))
    }

    /// Returns the policy that was put in force last, if it could be recorded.
    pub(crate) fn in_force(&self) -> Option<&Record> {
        let pending = self.pending.as_ref().map(|pending| &pending.policy);
        pending.or(self.confirmed.as_ref()).filter(|_| !self.unrecorded)
    }

    /// Returns the state after a policy was applied by hand, permanently.
    pub(crate) fn apply(self, policy: Record) -> Self {
        let Self { confirmed, previous, .. } = self;
        match confirmed {
            Some(confirmed) if confirmed.is_same_policy(&policy) => {
                Self { confirmed: Some(confirmed), previous, ..Self::default() }
            }
            confirmed => {
                Self { previous: confirmed.or(previous), confirmed: Some(policy), ..Self::default() }
            }
        }
    }

    /// Returns the state in which a policy is about to be in force, and waits to be confirmed. The one that waited before
    /// is no longer pending.
    pub(crate) fn await_confirmation(self, pending: Pending) -> Self {
        Self { pending: Some(pending), rolled_back: None, unrecorded: false, ..self }
    }

    /// Returns the state after the operator confirmed what is pending.
    pub(crate) fn confirm(mut self) -> Self {
        match self.pending.take() {
            // Even if it is the same policy again, the record is that of the apply that was confirmed.
            Some(Pending { policy, .. }) => Self { confirmed: Some(policy.clone()), ..self.apply(policy) },
            None => self,
        }
    }

    /// Returns the state in which an unrecorded policy is in force in place of what was on trial, or rolled back.
    pub(crate) fn lose_track(self) -> Self {
        Self { pending: None, rolled_back: None, unrecorded: true, ..self }
    }

    /// Returns the state in which what is pending belongs to another apply.
    pub(crate) fn hand_over(mut self, id: &str) -> Self {
        if let Some(pending) = &mut self.pending {
            id.clone_into(&mut pending.policy.id);
        }
        self
    }

    /// Returns the state after what was pending was rolled back.
    pub(crate) fn roll_back(mut self, why: &str, at: u64) -> Self {
        if let Some(Pending { policy, .. }) = self.pending.take() {
            self.rolled_back = Some(RolledBack { policy, why: why.to_owned(), at });
        }
        self
    }

    /// Returns the policy before the one in force, if nothing is on trial.
    pub(crate) fn one_before(&self) -> Option<&Record> {
        if self.unrecorded { self.confirmed.as_ref() } else { self.previous.as_ref() }
    }

    /// Returns the state in which the [one before](Self::one_before) is in force again.
    pub(crate) fn step_back(self, why: &str, at: u64) -> Self {
        if self.unrecorded {
            return Self { unrecorded: false, ..self };
        }
        let rolled_back = self.confirmed.map(|policy| RolledBack { policy, why: why.to_owned(), at });
        Self { confirmed: self.previous, rolled_back, ..Self::default() }
    }

    /// Returns the state in which the confirmed policy is in force by this engine, if it is by any.
    pub(crate) fn in_force_by(mut self, engine: Option<EngineName>) -> Self {
        if let (Some(confirmed), Some(engine)) = (&mut self.confirmed, engine) {
            confirmed.engine = engine;
        }
        self
    }

    /// Returns the pending policy, if it is the one of this apply.
    pub(crate) fn pending_of(&self, id: &str) -> Option<&Pending> {
        self.pending.as_ref().filter(|pending| pending.policy.id == id)
    }

    /// Returns all policies that have a role.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        let pending = self.pending.iter().map(|pending| &pending.policy);
        let rolled_back = self.rolled_back.iter().map(|rolled_back| &rolled_back.policy);
        self.confirmed.iter().chain(&self.previous).chain(pending).chain(rolled_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        Record {
            id: name.to_uppercase(),
            config: "/etc/dockfw/dockfw.toml".into(),
            digest: name.into(),
            engine: EngineName::Nftables,
            force: false,
            applied_at: 1,
        }
    }

    fn pending(name: &str) -> Pending {
        Pending { policy: record(name), boot_id: "boot".into(), deadline_ms: 5000, enable: false }
    }

    /// Returns the digests: confirmed, previous, pending, rolled back.
    fn roles(state: &State) -> [Option<&str>; 4] {
        let pending = state.pending.as_ref().map(|pending| &pending.policy);
        let rolled_back = state.rolled_back.as_ref().map(|rolled_back| &rolled_back.policy);
        [state.confirmed.as_ref(), state.previous.as_ref(), pending, rolled_back]
            .map(|record| record.map(|record| record.digest.as_str()))
    }

    #[test]
    fn what_waits_leaves_the_way_back_alone_until_it_is_confirmed() {
        let state = State::default().apply(record("a")).apply(record("b")).await_confirmation(pending("c"));
        assert_eq!(roles(&state), [Some("b"), Some("a"), Some("c"), None]);
        let state = state.await_confirmation(pending("d"));
        assert_eq!(roles(&state), [Some("b"), Some("a"), Some("d"), None]);
        assert_eq!(roles(&state.clone().confirm()), [Some("d"), Some("b"), None, None]);
        assert_eq!(roles(&state.roll_back("", 1)), [Some("b"), Some("a"), None, Some("d")]);
    }

    #[test]
    fn the_same_policy_again_changes_nothing_but_the_marks() {
        let state = State::default().apply(record("a")).apply(record("b"));
        assert_eq!(state.clone().apply(Record { id: "new".into(), applied_at: 9, ..record("b") }), state);
        let marked = state.clone().await_confirmation(pending("c")).roll_back("", 1);
        assert_eq!(marked.apply(record("b")), state);
        let other_engine = Record { engine: EngineName::Iptables, ..record("b") };
        assert_eq!(roles(&state.apply(other_engine)), [Some("b"), Some("b"), None, None]);
    }

    #[test]
    fn a_step_back_marks_what_it_left() {
        let state = State::default().apply(record("a")).apply(record("b")).step_back("", 1);
        assert_eq!(roles(&state), [Some("a"), None, None, Some("b")]);
        assert_eq!(roles(&state.apply(record("b"))), [Some("b"), Some("a"), None, None]);
    }

    #[test]
    fn a_step_back_from_what_has_no_record_goes_to_the_last_that_has() {
        let state = State::default().apply(record("a")).apply(record("b"));
        let lost = state.clone().await_confirmation(pending("c")).lose_track();
        assert_eq!((roles(&lost), lost.one_before()), (roles(&state), Some(&record("b"))));
        assert_eq!(lost.clone().step_back("", 1), state);
        assert_eq!(state.one_before(), Some(&record("a")));
        for found in [state.clone().lose_track().apply(record("c")), lost.await_confirmation(pending("c"))] {
            assert!(!found.unrecorded);
        }
    }

    #[test]
    fn time_is_left_in_the_same_boot_only() {
        let now = |boot_id: &str, ms| Now { boot_id: boot_id.into(), since_boot: Duration::from_millis(ms) };
        let left = |now| pending("a").time_left(&now);
        assert_eq!(left(now("boot", 4000)), Some(Duration::from_secs(1)));
        assert_eq!([left(now("boot", 5000)), left(now("boot", 9000)), left(now("next", 10))], [None; 3]);
    }

    #[test]
    fn what_is_in_force_is_so_since_its_apply_or_the_boot() {
        let at = |seconds| Record { applied_at: seconds, ..record("a") };
        let confirmed = State { confirmed: Some(at(100)), ..State::default() };
        assert_eq!(confirmed.in_force_since(EngineName::Nftables, "a", 50), Some(100));
        assert_eq!(confirmed.in_force_since(EngineName::Nftables, "a", 200), Some(200));
        assert_eq!(confirmed.in_force_since(EngineName::Nftables, "b", 50), None, "another policy");
        assert_eq!(confirmed.in_force_since(EngineName::Iptables, "a", 50), None, "another engine");
        let unrecorded = confirmed.clone().lose_track();
        assert_eq!(unrecorded.in_force_since(EngineName::Nftables, "a", 50), None, "another one");
        let on_trial = confirmed.await_confirmation(pending("b"));
        assert_eq!(on_trial.in_force_since(EngineName::Nftables, "a", 50), None);
        assert_eq!(on_trial.in_force_since(EngineName::Nftables, "b", 0), Some(1));
    }
}
