//! Rules that pass, found by their port.
//!
//! Rules that pass may be in any order among themselves. Instead of asking one after the other for the same port, a
//! verdict map leads from a port to the chain with the rules about it. These keep their order: the first that matches
//! counts.

use super::pieces::{Pieces, pieces};
use crate::ruleset::{Action, Match, PortField, Rule};
use crate::service::{PortRange, Transport};

/// From how many rules on a look-up costs a packet less than the rules, measured as `docs/architecture.md` explains.
const WORTHWHILE: usize = 6;
/// How many rules a group may become, for each rule in it: overlapping ranges repeat rules.
const MAX_GROWTH: usize = 4;

/// Rules of one hook that differ in nothing until they ask for the port.
pub(super) struct Group<'r> {
    /// What they ask before.
    pub(super) before: &'r [Match],
    /// The protocol of the port.
    pub(super) transport: Transport,
    /// Which port.
    pub(super) field: PortField,
    /// The rules, in order.
    pub(super) members: Vec<Member<'r>>,
    /// The number of their run: no rule among them drops.
    run: usize,
}

/// A rule of a group.
#[derive(Clone, Copy)]
pub(super) struct Member<'r> {
    /// Its place among the rules of its hook.
    pub(super) index: usize,
    /// The rule.
    pub(super) rule: &'r Rule,
    /// The ports that it is about.
    ranges: &'r [PortRange],
    /// What it asks besides.
    pub(super) after: &'r [Match],
}

impl<'r> Group<'r> {
    /// Returns the ports in pieces, if a look-up is worth it.
    pub(super) fn pieces(&self) -> Option<Pieces> {
        let is_worthwhile = self.members.len() >= WORTHWHILE;
        let ranges = self.members.iter().map(|member| member.ranges);
        is_worthwhile.then(|| pieces(ranges, self.members.len() * MAX_GROWTH))?
    }

    fn takes(&self, run: usize, asked: &Asked<'r>) -> bool {
        (self.run, self.before, self.transport, self.field)
            == (run, asked.before, asked.transport, asked.field)
    }
}

/// Returns the rules of a hook that ask for a port, in groups.
pub(super) fn groups(rules: &[Rule]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut run = 0;
    for (index, rule) in rules.iter().enumerate() {
        if rule.action != Action::Pass {
            run += 1;
        } else if let Some(asked) = Asked::by(rule) {
            let Asked { before, transport, field, ranges, after } = asked;
            let member = Member { index, rule, ranges, after };
            match groups.iter_mut().rev().find(|group| group.takes(run, &asked)) {
                Some(group) => group.members.push(member),
                None => groups.push(Group { before, transport, field, members: vec![member], run }),
            }
        }
    }
    groups
}

/// What a rule asks, with the port apart.
struct Asked<'r> {
    before: &'r [Match],
    transport: Transport,
    field: PortField,
    ranges: &'r [PortRange],
    after: &'r [Match],
}

impl<'r> Asked<'r> {
    /// Returns what a rule asks, if it asks for a port. A rule that is not for some interfaces has a chain of its own.
    fn by(rule: &'r Rule) -> Option<Self> {
        let is_port = |condition: &Match| matches!(condition, Match::Ports { .. });
        let is_excluding = |condition: &Match| matches!(condition, Match::NotIn(_));
        let place = rule.matches.iter().position(is_port)?;
        let (before, rest) = rule.matches.split_at(place);
        let (Match::Ports { transport, port, ranges }, after) = rest.split_first()? else { return None };
        let asked = Self { before, transport: *transport, field: *port, ranges, after };
        (!rule.matches.iter().any(is_excluding)).then_some(asked)
    }
}
