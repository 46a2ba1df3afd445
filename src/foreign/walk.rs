//! A packet's way through the chains of others.
//!
//! A rule of which it is unknown whether the packet meets it may decide, and so may the ones behind it: the outcomes that are possible
//! are collected. What is the only one is certain.

use dockfw_policy::walk::Translation;

use super::table::{Chain, Hooked, Place, Rule, Step, Table, Tables, Verdict};
use super::{Answer, Hook, Packet, View};
use crate::host::links::Link;

/// Translations of destinations come here (`NF_IP_PRI_NAT_DST`, linux/netfilter_ipv4.h).
const TRANSLATION: i32 = -100;
/// And those of sources here (`NF_IP_PRI_NAT_SRC`).
const TRANSLATION_OF_SOURCES: i32 = 100;
/// No packet goes through more chains at once (`NFT_JUMP_STACK_SIZE`, net/netfilter/nf_tables.h, is 16; iptables has no such limit).
const DEPTH: usize = 64;
/// No packet is asked about by more rules. Where conditions are unknown, one way becomes many.
const RULES: usize = 1_000_000;

/// That a rule drops a packet, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    /// Where.
    pub(crate) place: Place,
    /// Whether it surely does.
    pub(crate) is_certain: bool,
}

/// Where a packet is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where its destination is translated to, if it is.
    pub(crate) translated: Option<Translation>,
    /// By which rule.
    pub(crate) by: Option<Place>,
}

/// What becomes of a packet until it is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Where it may be led: one of these, and never none.
    pub(crate) ways: Vec<Way>,
    /// Whether connection tracking knows it.
    pub(crate) is_tracked: Answer,
    /// Who drops it before it is translated.
    pub(crate) objections: Vec<Objection>,
    /// Rules that may lead it where nobody knows here.
    pub(crate) unknown: Vec<Place>,
}

impl Tables {
    /// What becomes of a packet that comes in, until it is routed.
    pub(crate) fn arrival(&self, packet: &Packet<'_>) -> Arrival {
        let mut view = self.view(packet, Hook::Prerouting);
        let before = self.hooked(&view, |hooked| !hooked.translates && hooked.priority < TRANSLATION);
        let (objections, untracked) = filtered(&before, &view);
        view.is_tracked = untracked.negated(true);
        let chains = self.hooked(&view, |hooked| hooked.translates);
        let not_led = Way { translated: None, by: None };
        let (led, unknown) = ways(&chains, &view);
        let ways = match view.is_tracked {
            Answer::No => vec![not_led],
            Answer::Yes => led,
            Answer::Unknown => led.into_iter().chain([not_led]).collect(),
        };
        Arrival { ways: without_repetition(ways), is_tracked: view.is_tracked, objections, unknown }
    }

    /// Who drops a packet once it was translated, and goes on to the host itself or out by an interface.
    pub(crate) fn objections(
        &self,
        packet: &Packet<'_>,
        is_tracked: Answer,
        translated: Option<Translation>,
        outgoing: Option<&Link>,
    ) -> Vec<Objection> {
        let here = View { is_tracked, translated, ..self.view(packet, Hook::Prerouting) };
        let behind = self.hooked(&here, |hooked| !hooked.translates && hooked.priority >= TRANSLATION);
        let hook = if outgoing.is_some() { Hook::Forward } else { Hook::Input };
        let later = View { hook, outgoing, ..here };
        let chains = self.hooked(&later, |hooked| !hooked.translates);
        let leaving = if outgoing.is_some() { self.leaving(&later) } else { Vec::new() };
        [filtered(&behind, &here).0, filtered(&chains, &later).0, leaving].concat()
    }

    /// Who drops a packet that is passed on, on its way out. Once its source may have been translated, it is not known.
    fn leaving(&self, forwarded: &View<'_>) -> Vec<Objection> {
        let own = View { hook: Hook::Postrouting, ..*forwarded };
        let before =
            self.hooked(&own, |hooked| !hooked.translates && hooked.priority < TRANSLATION_OF_SOURCES);
        let of_someone = Packet { source: None, ..*forwarded.packet };
        let translated = View { packet: &of_someone, ..own };
        let behind =
            self.hooked(&own, |hooked| !hooked.translates && hooked.priority >= TRANSLATION_OF_SOURCES);
        [filtered(&before, &own).0, filtered(&behind, &translated).0].concat()
    }

    /// Where a chain drops a packet that no rule is sure to be about. Whether it `follows` to other chains.
    pub(super) fn default_outcome(
        &self,
        packet: &Packet<'_>,
        table: &Table,
        name: &str,
        hooked: Hooked,
        follows: bool,
    ) -> Option<Place> {
        let view = self.view(packet, hooked.hook);
        let chain = table.chains.get(name)?;
        let mut walk = Walk { is_sure: true, follows, ..Walk::new(table, &view) };
        if walk.through(name, chain, 0) == End::Open && hooked.drops {
            walk.found(Outcome::Dropped, name, None);
        }
        let first = walk.walked.outcomes.into_iter().next();
        first.filter(|(outcome, _)| *outcome == Outcome::Dropped).map(|(_, place)| place)
    }

    fn view<'a>(&self, packet: &'a Packet<'a>, hook: Hook) -> View<'a> {
        let may_be_marked = self.mark();
        View { packet, hook, translated: None, is_tracked: Answer::Yes, outgoing: None, may_be_marked }
    }

    /// The chains of a hook that a packet meets, in the order of their priorities.
    fn hooked(&self, view: &View<'_>, wanted: impl Fn(&Hooked) -> bool) -> Vec<Based<'_>> {
        let chains = self
            .of(view.family())
            .flat_map(|table| table.chains.iter().map(move |(name, chain)| (table, name, chain)));
        let mut found: Vec<_> = chains
            .filter_map(|(table, name, chain)| {
                let hooked = chain.hooked.filter(|hooked| hooked.hook == view.hook && wanted(hooked))?;
                Some(Based { table, name, chain, hooked })
            })
            .collect();
        found.sort_by_key(|based| based.hooked.priority);
        found
    }
}

/// A chain that is hooked in.
struct Based<'a> {
    table: &'a Table,
    name: &'a str,
    chain: &'a Chain,
    hooked: Hooked,
}

impl<'a> Based<'a> {
    /// All outcomes that are possible.
    fn outcomes(&self, view: &'a View<'a>) -> Walked {
        let mut walk = Walk::new(self.table, view);
        if walk.through(self.name, self.chain, 0) == End::Open {
            let outcome = if self.hooked.drops { Outcome::Dropped } else { Outcome::Passed };
            walk.found(outcome, self.name, None);
        }
        walk.walked
    }
}

/// Who drops a packet on its way through these chains, and whether one of them takes it out of connection tracking.
fn filtered<'a>(chains: &[Based<'a>], view: &'a View<'a>) -> (Vec<Objection>, Answer) {
    let (mut objections, mut untracked) = (Vec::new(), Answer::No);
    for chain in chains {
        let walked = chain.outcomes(view);
        if walked.untracked != Answer::No && untracked != Answer::Yes {
            untracked = walked.untracked;
        }
        let is_certain = walked.outcomes.iter().all(|(outcome, _)| *outcome == Outcome::Dropped);
        let drops = walked.outcomes.into_iter().find(|(outcome, _)| *outcome != Outcome::Passed);
        objections.extend(drops.map(|(_, place)| Objection { place, is_certain }));
    }
    (objections, untracked)
}

/// Where the chains that translate may lead a packet, and the rules that may lead it anywhere. The first chain that leads decides; those
/// of equal priority have no order.
fn ways<'a>(chains: &[Based<'a>], view: &'a View<'a>) -> (Vec<Way>, Vec<Place>) {
    let (mut ways, mut unknown) = (Vec::new(), Vec::new());
    let mut settled: Option<i32> = None;
    for chain in chains {
        if settled.is_some_and(|priority| priority < chain.hooked.priority) {
            return (ways, unknown);
        }
        let walked = chain.outcomes(view);
        let is_led = walked.outcomes.iter().all(|(outcome, _)| matches!(outcome, Outcome::Led(_)));
        for (outcome, by) in walked.outcomes {
            match outcome {
                Outcome::Led(to) => ways.push(Way { translated: Some(to), by: Some(by) }),
                Outcome::Unknown => unknown.push(by),
                Outcome::Passed | Outcome::Dropped => {}
            }
        }
        if is_led {
            settled = Some(chain.hooked.priority);
        }
    }
    if settled.is_none() {
        ways.push(Way { translated: None, by: None });
    }
    (ways, unknown)
}

/// Each destination once, with the first rule that leads there.
fn without_repetition(ways: Vec<Way>) -> Vec<Way> {
    let mut kept: Vec<Way> = Vec::new();
    for way in ways {
        if !kept.iter().any(|other| other.translated == way.translated) {
            kept.push(way);
        }
    }
    kept
}

/// What comes of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Dropped,
    Led(Translation),
    /// Someone decides who is not known here.
    Unknown,
}

/// All outcomes that are possible, each with the first place where it is decided.
#[derive(Debug)]
struct Walked {
    outcomes: Vec<(Outcome, Place)>,
    untracked: Answer,
}

impl Default for Walked {
    fn default() -> Self {
        Self { outcomes: Vec::new(), untracked: Answer::No }
    }
}

/// Whether a chain has surely decided about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Decided,
    Open,
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

    fn through(&mut self, name: &str, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            self.rules = self.rules.saturating_sub(1);
            if self.rules == 0 || depth > DEPTH {
                self.found(Outcome::Unknown, name, Some(rule));
                return End::Open;
            }
            let Step { holds, verdicts } = rule.step(self.table, self.view);
            if holds == Answer::No || self.is_sure && holds == Answer::Unknown {
                continue;
            }
            let is_certain = holds == Answer::Yes && verdicts.len() == 1;
            let leaves = verdicts.iter().map(|verdict| self.follow(verdict, is_certain, rule, name, depth));
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
        }
        End::Open
    }

    /// Notes what comes of a verdict, and tells whether the next rule is asked.
    fn follow(
        &mut self,
        verdict: &Verdict,
        is_certain: bool,
        rule: &Rule,
        name: &str,
        depth: usize,
    ) -> Leave {
        match verdict {
            Verdict::Continue => return Leave::Not,
            Verdict::Return => return Leave::Chain,
            Verdict::Untrack => {
                let known = self.walked.untracked == Answer::Yes || is_certain;
                self.walked.untracked = if known { Answer::Yes } else { Answer::Unknown };
                return Leave::Not;
            }
            Verdict::Jump(_) | Verdict::Goto(_) if !self.follows => return Leave::Not,
            Verdict::Jump(chain) | Verdict::Goto(chain) => {
                if let Some(next) = self.table.chains.get(chain) {
                    return match (self.through(chain, next, depth + 1), verdict) {
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
            Verdict::Unknown => {
                self.found(Outcome::Unknown, name, Some(rule));
                return Leave::Not;
            }
        }
        Leave::Decided
    }

    fn found(&mut self, outcome: Outcome, chain: &str, rule: Option<&Rule>) {
        if self.walked.outcomes.iter().all(|(known, _)| *known != outcome) {
            let (table, chain) = (self.table.name.clone(), chain.to_owned());
            self.walked.outcomes.push((outcome, Place { table, chain, rule: rule.map(ToString::to_string) }));
        }
    }
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
