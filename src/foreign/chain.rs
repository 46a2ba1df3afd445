//! A packet's walk through one chain that is hooked in, and the chains that it leads to.
//!
//! If it is unknown whether the packet meets a rule, the rule may decide, and so may those behind it: all possible
//! outcomes are collected. An outcome is certain if it is the only one. A rule's other effects are certain if the
//! packet certainly reaches the rule.

use dockfw_policy::walk::Translation;

use super::{Answer, View};
use super::{Chain, Hooked, Place, Rule, Step, Table, Verdict};

/// The depth of chains, which no packet exceeds (`NFT_JUMP_STACK_SIZE`, net/netfilter/nf_tables.h, is 16; iptables has
/// no such limit).
const DEPTH: usize = 64;
/// The most rules that are asked about a packet. If conditions are unknown, one walk becomes many.
const RULES: usize = 1_000_000;

/// The outcome of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Dropped,
    Led(Translation),
    /// It is led to an unknown place.
    LedSomewhere,
    /// Something unknown decides.
    Unknown,
}

/// The outcomes for a packet in a chain.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// All outcomes that are possible, each with the first place where it is decided.
    pub(super) outcomes: Vec<(Outcome, Place)>,
    /// Where it is excluded from connection tracking.
    pub(super) untracked: Untracked,
}

/// Whether a packet is excluded from connection tracking, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Untracked(Option<(Answer, Place)>);

impl Untracked {
    /// Returns whether it is excluded.
    pub(super) fn answer(&self) -> Answer {
        self.0.as_ref().map_or(Answer::No, |(answer, _)| *answer)
    }

    /// Returns where it is, or may be, excluded.
    pub(super) fn place(self) -> Option<Place> {
        self.0.map(|(_, place)| place)
    }

    /// Returns the same if it may come too late.
    pub(super) fn doubted(self) -> Self {
        Self(self.0.map(|(_, place)| (Answer::Unknown, place)))
    }

    /// Returns the more certain of both; if both are equally certain, the first.
    pub(super) fn or(self, later: Self) -> Self {
        match (self.answer(), later.answer()) {
            (Answer::No, _) | (Answer::Unknown, Answer::Yes) => later,
            _ => self,
        }
    }
}

/// A chain that is hooked in.
pub(super) struct Based<'a> {
    pub(super) table: &'a Table,
    pub(super) name: &'a str,
    pub(super) chain: &'a Chain,
    pub(super) hooked: Hooked,
}

impl Based<'_> {
    /// Returns the outcomes for a packet.
    pub(super) fn walk(&self, view: &View<'_>) -> Walked {
        self.ended(Walk::new(self.table, view))
    }

    /// Returns where it drops a packet that no rule certainly matches. `follows`: whether other chains are followed.
    pub(super) fn drops_by_default(&self, view: &View<'_>, follows: bool) -> Option<Place> {
        let walked = self.ended(Walk { is_sure: true, follows, ..Walk::new(self.table, view) });
        let first = walked.outcomes.into_iter().next();
        first.filter(|(outcome, _)| *outcome == Outcome::Dropped).map(|(_, place)| place)
    }

    fn ended(&self, mut walk: Walk<'_>) -> Walked {
        if walk.through(self.name, self.chain, 0, true) == End::Open {
            let outcome = if self.hooked.drops { Outcome::Dropped } else { Outcome::Passed };
            walk.found(outcome, self.name, None);
        }
        walk.walked
    }
}

/// Whether a chain has certainly decided about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Decided,
    Open,
}

/// What a verdict ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Nothing: the next rule is asked.
    Not,
    /// The chain.
    Chain,
    /// All chains of the table's hook: the packet is decided.
    Decided,
}

struct Walk<'a> {
    table: &'a Table,
    view: &'a View<'a>,
    /// How many rules may still be asked.
    rules: usize,
    /// Whether only those rules count that certainly match the packet.
    is_sure: bool,
    /// Whether other chains are followed.
    follows: bool,
    walked: Walked,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, view: &'a View<'a>) -> Self {
        Self { table, view, rules: RULES, is_sure: false, follows: true, walked: Walked::default() }
    }

    /// Asks the rules of a chain. `is_reached`: whether the packet certainly reaches it.
    fn through(&mut self, name: &str, chain: &Chain, depth: usize, mut is_reached: bool) -> End {
        for rule in &chain.rules {
            self.rules = self.rules.saturating_sub(1);
            if self.rules == 0 || depth > DEPTH {
                self.found(Outcome::Unknown, name, Some(rule));
                return End::Open;
            }
            let Step { holds, untracks, verdicts } = rule.step(self.table, self.view);
            self.untrack(untracks, is_reached, name, rule);
            if holds == Answer::No || self.is_sure && holds == Answer::Unknown {
                continue;
            }
            let is_certain = holds == Answer::Yes && verdicts.len() == 1;
            let leads_on = is_reached && is_certain;
            let leaves = verdicts.iter().map(|verdict| self.follow(verdict, rule, name, depth, leads_on));
            // Any of them may be the one.
            let leaves: Vec<_> = leaves.collect();
            match leaves.first() {
                Some(Leave::Decided) if is_certain => return End::Decided,
                Some(Leave::Chain) if is_certain => return End::Open,
                Some(Leave::Decided)
                    if holds == Answer::Yes && leaves.iter().all(|one| *one == Leave::Decided) =>
                {
                    return End::Decided;
                }
                _ => {}
            }
            // The packet may have left the chain, or be decided.
            is_reached &= !leaves.contains(&Leave::Chain) && self.walked.outcomes.is_empty();
        }
        End::Open
    }

    /// Notes the outcome of a verdict, and returns what it ends. `is_reached`: whether the verdict is certainly the one.
    fn follow(
        &mut self,
        verdict: &Verdict,
        rule: &Rule,
        name: &str,
        depth: usize,
        is_reached: bool,
    ) -> Leave {
        match verdict {
            Verdict::Continue => return Leave::Not,
            Verdict::Return => return Leave::Chain,
            Verdict::Jump(_) | Verdict::Goto(_) if !self.follows => return Leave::Not,
            Verdict::Jump(chain) | Verdict::Goto(chain) => {
                if let Some(next) = self.table.chains.get(chain) {
                    return match (self.through(chain, next, depth + 1, is_reached), verdict) {
                        (End::Decided, _) => Leave::Decided,
                        (End::Open, Verdict::Goto(_)) => Leave::Chain,
                        (End::Open, _) => Leave::Not,
                    };
                }
                self.found(Outcome::Unknown, name, Some(rule));
                return Leave::Not;
            }
            Verdict::Accept => self.found(Outcome::Passed, name, Some(rule)),
            Verdict::Drop => self.found(Outcome::Dropped, name, Some(rule)),
            Verdict::Translate(to) => self.found(Outcome::Led(*to), name, Some(rule)),
            Verdict::TranslateSomewhere => self.found(Outcome::LedSomewhere, name, Some(rule)),
            Verdict::Unknown => {
                self.found(Outcome::Unknown, name, Some(rule));
                return Leave::Not;
            }
        }
        Leave::Decided
    }

    fn found(&mut self, outcome: Outcome, chain: &str, rule: Option<&Rule>) {
        if self.walked.outcomes.iter().all(|(known, _)| *known != outcome) {
            let place = self.place(chain, rule);
            self.walked.outcomes.push((outcome, place));
        }
    }

    fn untrack(&mut self, answer: Answer, is_reached: bool, chain: &str, rule: &Rule) {
        let answer = if is_reached { answer } else { answer.and(Answer::Unknown) };
        if answer != Answer::No {
            let here = Untracked(Some((answer, self.place(chain, Some(rule)))));
            self.walked.untracked = std::mem::take(&mut self.walked.untracked).or(here);
        }
    }

    fn place(&self, chain: &str, rule: Option<&Rule>) -> Place {
        let (table, chain) = (self.table.name.clone(), chain.to_owned());
        Place { table, chain, rule: rule.map(ToString::to_string) }
    }
}
