//! Packets that would show what must never be in force, not even for an instant. Pure.
//!
//! - Two policies drop it at different hooks: if a later hook relied on what the first one drops, it would come through if the one
//!   policy decides at the first hook and the other at the next.
//! - Policies decide alike about it, because of a list that has its source: if rules were in force before their lists are filled, it
//!   would be decided as if a stranger had sent it.

use std::collections::{BTreeSet, HashMap};

use dockfw_policy::walk::{Verdict, explain};

use crate::epochs::{Mask, only};
use crate::policies::TRUSTED;
use crate::sources::{STRANGERS, parsed};
use crate::streams::Stream;
use crate::verdicts::{ANY_PORT, Key, Policies, Source};

/// A packet of a stream: its source, and the port of the host that it is sent to.
pub(crate) type Shot = (Source, u16);

/// What each hook decides under each policy, as far as was asked.
pub(crate) struct Aim<'a> {
    policies: &'a Policies,
    /// One of each family that no list has.
    strangers: [Source; 2],
    known: HashMap<Key, [bool; 3]>,
}

impl<'a> Aim<'a> {
    pub(crate) fn new(policies: &'a Policies) -> Self {
        let strangers = STRANGERS.map(|address| policies.source(parsed(address)));
        Self { policies, strangers, known: HashMap::new() }
    }

    /// The best of these while the policies are those of the moment, if any would show anything: those of the first kind are rarer.
    pub(crate) fn best(
        &mut self,
        candidates: Mask,
        stream: (usize, &Stream),
        shots: &[Shot],
    ) -> Option<Shot> {
        let slips = shots.iter().copied().find(|shot| self.could_slip_through(candidates, stream, *shot));
        slips.or_else(|| shots.iter().copied().find(|shot| self.rests_on_lists(candidates, stream, *shot)))
    }

    /// Whether two of these policies drop it at different hooks.
    fn could_slip_through(&mut self, candidates: Mask, stream: (usize, &Stream), shot: Shot) -> bool {
        let passes = self.of_all(candidates, stream, shot);
        let mut dropped = passes.iter().filter(|hooks| !hooks.iter().all(|passes| *passes));
        let dropping = |hooks: &[bool; 3]| hooks.iter().position(|passes| !passes);
        let Some(one) = dropped.next() else { return false };
        dropped.any(|other| dropping(other) != dropping(one))
    }

    /// Whether all of these policies decide alike about it, and one would decide otherwise if none of its lists had the source.
    fn rests_on_lists(&mut self, candidates: Mask, stream: (usize, &Stream), (source, to): Shot) -> bool {
        let stranger = self.strangers[stream.1.family as usize];
        let mut verdicts = |source| -> BTreeSet<bool> {
            let all = self.of_all(candidates, stream, (source, to)).into_iter();
            all.map(|hooks| hooks == [true; 3]).collect()
        };
        let of_source = verdicts(source);
        of_source.len() == 1 && verdicts(stranger) != of_source
    }

    /// What each hook decides under each of these policies.
    fn of_all(&mut self, candidates: Mask, stream: (usize, &Stream), shot: Shot) -> Vec<[bool; 3]> {
        let policies = (0..self.policies.rulesets.len()).filter(|policy| candidates & only(*policy) != 0);
        policies.map(|policy| self.passes(policy, stream, shot)).collect()
    }

    /// Whether each hook on its way lets a packet pass, whatever the other does.
    fn passes(&mut self, policy: usize, (number, stream): (usize, &Stream), (source, to): Shot) -> [bool; 3] {
        let policies = self.policies;
        *self.known.entry(policies.key(policy, number, source, to)).or_insert_with(|| {
            let packet = stream.packet(source.address, ANY_PORT, to);
            let ruleset = &policies.rulesets[policy];
            packet.path.hooks().map(|hook| explain(ruleset, hook, &packet).verdict == Verdict::Pass)
        })
    }
}

trials![a_packet_that_two_policies_drop_at_different_hooks_is_found, a_packet_that_rests_on_lists_is_found,];

fn a_packet_that_two_policies_drop_at_different_hooks_is_found() {
    let policies = Policies::example();
    let (mut aim, stream) = (Aim::new(&policies), Stream::example());
    let mut could = |candidates, source: &str| {
        aim.could_slip_through(candidates, (0, &stream), (policies.source(source.parse().unwrap()), 7000))
    };
    // "closed to all", and "open, hosts blocked", which drops it before the other one would.
    assert!(could(only(0) | only(1), "10.242.0.5"));
    assert!(!could(only(0) | only(1), "198.51.100.7"));
    assert!(!could(only(1), "10.242.0.5"));
}

fn a_packet_that_rests_on_lists_is_found() {
    let policies = Policies::example();
    let (mut aim, stream) = (Aim::new(&policies), Stream::example());
    let mut does = |candidates, source: &str| {
        aim.rests_on_lists(candidates, (0, &stream), (policies.source(source.parse().unwrap()), 7000))
    };
    // Both trust it, and the first one lets nobody else in.
    assert!(does(only(0) | only(1), TRUSTED[0]));
    assert!(!does(only(1), TRUSTED[0]), "who is open to all lets it in anyway");
    assert!(does(only(1), "10.242.0.5"), "blocked, where all others come in");
    assert!(!does(only(0) | only(1), STRANGERS[0]));
}
