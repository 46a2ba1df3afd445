//! A packet's way through one chain that is hooked in, and those that it leads to.
//!
//! A rule of which it is unknown whether the packet meets it may decide, and so may the ones behind it: the outcomes that are possible
//! are collected. What is the only one is certain. What a rule does besides is certain if the packet surely comes to it.

use dockfw_policy::walk::Translation;

use super::{Answer, View};
use super::{Chain, Hooked, Place, Rule, Step, Table, Verdict};

/// No packet goes through more chains at once (`NFT_JUMP_STACK_SIZE`, net/netfilter/nf_tables.h, is 16; iptables has no such limit).
const DEPTH: usize = 64;
/// No packet is asked about by more rules. Where conditions are unknown, one way becomes many.
const RULES: usize = 1_000_000;

/// What comes of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Dropped,
    Led(Translation),
    /// It is led where nobody knows here.
    LedSomewhere,
    /// Someone decides who is not known here.
    Unknown,
}

/// What comes of a packet in a chain.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// All outcomes that are possible, each with the first place where it is decided.
    pub(super) outcomes: Vec<(Outcome, Place)>,
    /// Where it is taken out of connection tracking.
    pub(super) untracked: Untracked,
}

/// Whether a packet is taken out of connection tracking, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Untracked(Option<(Answer, Place)>);

impl Untracked {
    /// Whether it is.
    pub(super) fn answer(&self) -> Answer {
        self.0.as_ref().map_or(Answer::No, |(answer, _)| *answer)
    }

    /// Where, or where it may be.
    pub(super) fn place(self) -> Option<Place> {
        self.0.map(|(_, place)| place)
    }

    /// The same where it may come too late.
    pub(super) fn doubted(self) -> Self {
        Self(self.0.map(|(_, place)| (Answer::Unknown, place)))
    }

    /// The surer of both; of two alike the one that comes first.
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
    /// What comes of a packet.
    pub(super) fn walk(&self, view: &View<'_>) -> Walked {
        self.ended(Walk::new(self.table, view))
    }

    /// Where it drops a packet that no rule is sure to be about. Whether it `follows` to other chains.
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

/// Whether a chain has surely decided about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Decided,
    Open,
}

/// What a verdict leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Nothing: the next rule is asked.
    Not,
    /// The chain.
    Chain,
    /// All chains of the table's hook: it is decided.
    Decided,
}

struct Walk<'a> {
    table: &'a Table,
    view: &'a View<'a>,
    /// So many rules may be asked yet.
    rules: usize,
    /// Whether only those rules count that the packet surely meets.
    is_sure: bool,
    /// Whether it goes on to other chains.
    follows: bool,
    walked: Walked,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, view: &'a View<'a>) -> Self {
        Self { table, view, rules: RULES, is_sure: false, follows: true, walked: Walked::default() }
    }

    /// Asks the rules of a chain. `is_reached`: whether the packet surely comes to it.
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
            // Each of several may be the one.
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
            // It may have left the chain, or have been decided about.
            is_reached &= !leaves.contains(&Leave::Chain) && self.walked.outcomes.is_empty();
        }
        End::Open
    }

    /// Notes what comes of a verdict, and tells whether the next rule is asked. `is_reached`: whether the verdict surely is the one.
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
