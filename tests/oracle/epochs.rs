//! Which policies may be in force: spans of time, each with a number that packets are sent under. Pure.
//!
//! Before an apply starts, the driver opens an epoch in which both policies may be in force, and waits until of every sender's every
//! stream a packet was heard that was sent under its number. A sender sends a stream's packets one after the other, from one
//! processor, whose queue keeps their order: all that it sent under an earlier number has been judged by then, when the old policy
//! alone was in force. After the process has exited, the driver opens an epoch of the new policy alone: what is sent under that
//! number is sent later, and so judged later. So the number that a sender reads before it sends tells what may decide, whatever
//! happens while it sends.

/// A set of policies by their numbers; the last bit stands for none at all, when everything passes.
pub(crate) type Mask = u32;

/// No policy is in force.
pub(crate) const WITHOUT: Mask = 1 << 31;

/// Only this one.
pub(crate) fn only(policy: usize) -> Mask {
    1 << policy
}

/// A span of time.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    /// What may be in force, for each family.
    pub(crate) candidates: [Mask; 2],
    /// What may still be, after all that was seen; nothing while an apply runs, for then it changes.
    left: Option<[Mask; 2]>,
    /// Whether both families are switched at once.
    joint: bool,
    /// Whether a mixture was found: then nothing can be concluded from what was seen.
    is_mixed: bool,
}

/// What a packet's fate says about an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A policy that may be in force decides so.
    Fine,
    /// No policy that may be in force decides so.
    Neither,
    /// One does, but one that decided all the packets before of the same epoch does not.
    Mixture,
}

impl Epoch {
    /// An apply runs.
    pub(crate) fn changing(candidates: [Mask; 2]) -> Self {
        Self { candidates, left: None, joint: false, is_mixed: false }
    }

    /// No apply runs: one policy is in force, for both families where they are `joint`, and else for each.
    pub(crate) fn settled(candidates: [Mask; 2], joint: bool) -> Self {
        Self { candidates, left: Some(candidates), joint, is_mixed: false }
    }

    /// Holds a packet's fate against it: `agreeing` are the policies that decide so about a packet of this family.
    pub(crate) fn hold(&mut self, v: usize, agreeing: Mask) -> Finding {
        if self.candidates[v] & agreeing == 0 {
            return Finding::Neither;
        }
        let Some(left) = &mut self.left else { return Finding::Fine };
        if left[v] & agreeing == 0 {
            self.is_mixed = true;
            return Finding::Mixture;
        }
        for (family, mask) in left.iter_mut().enumerate() {
            if self.joint || family == v {
                *mask &= agreeing;
            }
        }
        Finding::Fine
    }

    /// Whether an apply runs.
    pub(crate) fn is_changing(&self) -> bool {
        self.left.is_none()
    }

    /// What decided all packets so far of a family, if that is less than what may have been in force.
    pub(crate) fn decided(&self, v: usize) -> Option<Mask> {
        self.left.map(|left| left[v]).filter(|left| *left != self.candidates[v])
    }

    /// What may be in force at its end.
    pub(crate) fn left(&self) -> [Mask; 2] {
        self.left.filter(|_| !self.is_mixed).unwrap_or(self.candidates)
    }
}

trials![
    either_policy_may_decide_while_an_apply_runs,
    one_policy_decides_everything_after_a_kill,
    families_that_are_switched_apart_have_one_each,
    what_no_candidate_decides_is_wrong,
];

fn either_policy_may_decide_while_an_apply_runs() {
    let mut epoch = Epoch::changing([0b11; 2]);
    assert_eq!([0b01, 0b10, 0b01].map(|agreeing| epoch.hold(0, agreeing)), [Finding::Fine; 3]);
    assert_eq!(epoch.left(), [0b11; 2]);
}

fn one_policy_decides_everything_after_a_kill() {
    let mut epoch = Epoch::settled([0b11; 2], true);
    assert_eq!(epoch.hold(0, 0b11), Finding::Fine);
    assert_eq!(epoch.left(), [0b11; 2]);
    let found = [(0, 0b11), (0, 0b101), (1, 0b10), (1, 0b01)].map(|(v, agreeing)| epoch.hold(v, agreeing));
    assert_eq!(found, [Finding::Fine, Finding::Fine, Finding::Mixture, Finding::Fine]);
    assert_eq!((epoch.decided(1), epoch.left()), (Some(0b01), [0b11; 2]));
}

fn families_that_are_switched_apart_have_one_each() {
    let mut epoch = Epoch::settled([0b11; 2], false);
    let found = [(0, 0b01), (1, 0b10), (0, 0b10)].map(|(v, agreeing)| epoch.hold(v, agreeing));
    assert_eq!(found, [Finding::Fine, Finding::Fine, Finding::Mixture]);
    assert_eq!([0, 1].map(|v| epoch.decided(v)), [Some(0b01), Some(0b10)]);
}

fn what_no_candidate_decides_is_wrong() {
    let mut epoch = Epoch::settled([only(3); 2], true);
    let found = [only(2) | WITHOUT, only(3)].map(|agreeing| epoch.hold(0, agreeing));
    assert_eq!(found, [Finding::Neither, Finding::Fine]);
}
