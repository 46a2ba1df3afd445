//! Packets that would show it if two policies decided about one packet, the one at the first hook and the other at the next: what
//! comes of them so is what comes of them under neither. Pure.

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

    /// Whether two of these policies could come to such a verdict between them.
    pub(crate) fn is_torn(
        &mut self,
        candidates: Mask,
        stream: (usize, &Stream),
        source: Source,
        to: u16,
    ) -> bool {
        let policies = (0..self.policies.rulesets.len()).filter(|policy| candidates & only(*policy) != 0);
        let passes: Vec<_> = policies.map(|policy| self.passes(policy, stream, source, to)).collect();
        let torn = |[a, b]: [bool; 2], [c, d]: [bool; 2]| {
            let (one, other) = (a && b, c && d);
            one == other && [a && d, c && b].iter().any(|mixed| *mixed != one)
        };
        passes.iter().any(|one| passes.iter().any(|other| torn(*one, *other)))
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

trials![a_packet_between_two_policies_is_found];

fn a_packet_between_two_policies_is_found() {
    let policies = Policies::example();
    let (mut aim, stream) = (Aim::new(&policies), Stream::example());
    let mut is_torn = |candidates, source: &str| {
        aim.is_torn(candidates, (0, &stream), policies.source(source.parse().unwrap()), 7000)
    };
    // "closed to all", and "open, hosts blocked", which drops it before the other one would.
    assert!(is_torn(only(0) | only(1), "10.242.0.5"));
    assert!(!is_torn(only(0) | only(1), "198.51.100.7"));
    assert!(!is_torn(only(1), "10.242.0.5"));
}
