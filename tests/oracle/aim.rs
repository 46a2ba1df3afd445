//! Packets that two policies drop at different hooks: if a later hook relied on what the first one drops, they would come through
//! where the one policy decides at the first hook and the other at the next. Pure.

use std::collections::HashMap;

use dockfw_policy::walk::{Verdict, explain};

use crate::epochs::{Mask, only};
use crate::streams::Stream;
use crate::verdicts::{ANY_PORT, Key, Policies, Source};

/// What each hook decides under each policy, as far as was asked.
pub(crate) struct Aim<'a> {
    policies: &'a Policies,
    known: HashMap<Key, [bool; 2]>,
}

impl<'a> Aim<'a> {
    pub(crate) fn new(policies: &'a Policies) -> Self {
        Self { policies, known: HashMap::new() }
    }

    /// Whether two of these policies drop it at different hooks.
    pub(crate) fn could_slip_through(
        &mut self,
        candidates: Mask,
        stream: (usize, &Stream),
        source: Source,
        to: u16,
    ) -> bool {
        let policies = (0..self.policies.rulesets.len()).filter(|policy| candidates & only(*policy) != 0);
        let passes: Vec<_> = policies.map(|policy| self.passes(policy, stream, source, to)).collect();
        let mut dropped = passes.iter().filter(|hooks| !hooks.iter().all(|passes| *passes));
        let is_first = |[passes, _]: &[bool; 2]| !passes;
        let Some(one) = dropped.next() else { return false };
        dropped.any(|other| is_first(other) != is_first(one))
    }

    /// Whether each hook on its way lets a packet pass, whatever the other does.
    fn passes(
        &mut self,
        policy: usize,
        (number, stream): (usize, &Stream),
        source: Source,
        to: u16,
    ) -> [bool; 2] {
        let policies = self.policies;
        *self.known.entry(policies.key(policy, number, source, to)).or_insert_with(|| {
            let packet = stream.packet(source.address, ANY_PORT, to);
            let ruleset = &policies.rulesets[policy];
            packet.path.hooks().map(|hook| explain(ruleset, hook, &packet).verdict == Verdict::Pass)
        })
    }
}

trials![a_packet_that_two_policies_drop_at_different_hooks_is_found];

fn a_packet_that_two_policies_drop_at_different_hooks_is_found() {
    let policies = Policies::example();
    let (mut aim, stream) = (Aim::new(&policies), Stream::example());
    let mut could = |candidates, source: &str| {
        aim.could_slip_through(candidates, (0, &stream), policies.source(source.parse().unwrap()), 7000)
    };
    // "closed to all", and "open, hosts blocked", which drops it before the other one would.
    assert!(could(only(0) | only(1), "10.242.0.5"));
    assert!(!could(only(0) | only(1), "198.51.100.7"));
    assert!(!could(only(1), "10.242.0.5"));
}
