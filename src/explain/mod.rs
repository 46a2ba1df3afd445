//! What becomes of one packet on this host, and why. The live translation rules lead it to its target. There it is
//! walked through the ruleset, and if dockfw lets it through, through the live rules of others.
//!
//! Pure, except for questions about routes and sets that the caller answers.

mod names;
mod others;
mod reason;
mod senders;
mod situation;
mod target;
mod ways;
mod words;

use std::net::IpAddr;

use dockfw_policy::Lists;
use dockfw_policy::ruleset::{Hook, Match, Ruleset};
use dockfw_policy::service::Service;
use dockfw_policy::walk::{Decision, Packet, Verdict};
use serde::Serialize;

use crate::exposure::{Facts, Rules};
use crate::host::routes::Route;

pub(crate) use names::{Inquiry, Meant, Party, meant};
pub(crate) use others::Objection;
use others::Surroundings;
pub(crate) use senders::{Exception, exceptions};
pub(crate) use situation::Unclear;
use situation::{Situation, situation};
pub(crate) use target::{Kind, Target};
use ways::Walked;
pub(crate) use ways::Way;

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Who sends.
    pub(crate) from: IpAddr,
    /// The one port that is dialled, or the protocol.
    pub(crate) service: Service,
    /// The interface that the packet arrives on, if it was named.
    pub(crate) incoming: Option<String>,
    /// The address that is dialled, if it was named.
    pub(crate) to: Option<IpAddr>,
}

/// The policy that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basis<'a> {
    /// Its rules.
    pub(crate) rules: Rules<'a>,
    /// The lists that were written in it.
    pub(crate) lists: &'a Lists,
}

/// The other questions about the host. Nothing means unknown.
pub(crate) trait Asks {
    /// Returns where routing leads; out by the interface of this index, if one is given.
    fn route(&self, to: IpAddr, by: Option<u32>) -> Option<Route>;

    /// Returns whether a set of ipset has an address.
    fn set_has(&self, set: &str, address: IpAddr) -> Option<bool>;
}

/// The answer: what becomes of the packet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    /// What dockfw decides, on the first of the ways.
    pub(crate) verdict: Verdict,
    /// Whether it decides the same on all of them, and all of them are known.
    pub(crate) is_certain: bool,
    /// Why, in a sentence.
    pub(crate) reason: String,
    /// The packet.
    pub(crate) packet: Asked,
    /// What is there.
    pub(crate) target: Target,
    /// What each hook decides.
    pub(crate) hooks: Vec<HookVerdict>,
    /// Where rules of others may lead the packet: one way, unless that is unknown.
    pub(crate) ways: Vec<Way>,
    /// What others have against what dockfw lets through, Docker above all; empty if nothing is known.
    pub(crate) others: Vec<Objection>,
}

/// The packet that was asked about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    /// Who sends it.
    pub(crate) from: IpAddr,
    /// Whether that is an address of this host.
    pub(crate) from_is_own: bool,
    /// The address that is dialled.
    pub(crate) to: IpAddr,
    /// The port that is dialled, or the protocol.
    pub(crate) port: Service,
    /// The interface that it arrives on.
    #[serde(rename = "in")]
    pub(crate) incoming: String,
    /// The interface that it leaves by; nothing if it is for the host itself.
    #[serde(rename = "out")]
    pub(crate) outgoing: Option<String>,
}

/// What a hook decides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HookVerdict {
    /// The hook.
    pub(crate) hook: Hook,
    /// What it decides.
    pub(crate) verdict: Verdict,
    /// The rule that decides; without one the packet passes.
    pub(crate) rule: Option<Decider>,
}

/// The rule that decides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Decider {
    /// Its place among the rules of its hook in the compiled policy, from 0.
    pub(crate) index: usize,
    /// The part of the policy that it comes from.
    pub(crate) origin: dockfw_policy::ruleset::Origin,
    /// What the rule asks for, as in the compiled policy.
    pub(crate) matches: Vec<Match>,
    /// Why each of its conditions holds, in words.
    pub(crate) because: Vec<String>,
}

/// Explains what becomes of a packet.
pub(crate) fn explain(
    basis: Basis<'_>,
    facts: &Facts,
    asks: &dyn Asks,
    question: &Question,
) -> Result<Explanation, Unclear> {
    let rules = basis.rules;
    let situation = situation(question, facts, asks)?;
    let surroundings = Surroundings { asks, tables: &facts.others.tables, links: &facts.links };
    let arrival = surroundings.arrival(&situation, question);
    let walk = |way| Walked::new(way, rules, facts, asks, &situation, question);
    // If it is uncertain that rules lead the packet there, a missing route is no error.
    let ways: Vec<_> = arrival.ways.iter().map(walk).collect();
    let (ways, nowhere): (Vec<_>, Vec<_>) = ways.into_iter().partition(Result::is_ok);
    let leads_nowhere = !nowhere.is_empty();
    let ways: Vec<_> = ways.into_iter().flatten().collect();
    let Some(first) = ways.first() else {
        return Err(nowhere.into_iter().find_map(Result::err).unwrap_or(Unclear::NoWayOn(situation.to)));
    };
    let verdict = first.verdict();
    let is_same = ways.iter().all(|way| way.verdict() == verdict);
    let is_known = !leads_nowhere && arrival.unknown.is_empty() && facts.others.is_whole();
    let others = match verdict {
        Verdict::Pass => {
            let read = surroundings.objections(&situation, question, &arrival, &ways);
            doubted_where_unread(read, facts, || {
                others::by_version(&situation, question, &first.target, facts)
            })
        }
        Verdict::Drop => Vec::new(),
    };
    Ok(Explanation {
        verdict,
        is_certain: is_same && is_known,
        reason: reason::reason(basis, first, question.service),
        hooks: first
            .decisions
            .iter()
            .filter(|decision| decides(decision))
            .map(|decision| in_words(rules.ruleset, decision, &first.packet))
            .collect(),
        packet: Asked::new(question, &situation, &first.target),
        target: first.target.clone(),
        ways: ways.iter().map(Walked::in_words).collect(),
        others,
    })
}

/// Makes objections uncertain if there is more than was read. If tables could not be read, adds what is known of
/// Docker's version.
fn doubted_where_unread(
    read: Vec<Objection>,
    facts: &Facts,
    by_version: impl FnOnce() -> Option<Objection>,
) -> Vec<Objection> {
    if facts.others.is_whole() {
        return read;
    }
    let by_version = if facts.others.unreadable.is_empty() { None } else { by_version() };
    read.into_iter().map(Objection::doubted).chain(by_version).collect()
}

impl Asked {
    fn new(question: &Question, situation: &Situation, target: &Target) -> Self {
        Self {
            from: question.from,
            from_is_own: situation.from_is_own,
            to: situation.to,
            port: question.service,
            incoming: situation.incoming.name.clone(),
            outgoing: target.outgoing.as_ref().map(|link| link.name.clone()),
        }
    }
}

/// Returns whether a decision is worth a line: without an early drop, there is no rule after connection tracking.
fn decides(decision: &Decision<'_>) -> bool {
    decision.hook != Hook::Tracked || decision.by.is_some()
}

fn in_words(ruleset: &Ruleset, decision: &Decision<'_>, packet: &Packet) -> HookVerdict {
    let rule = decision.by.map(|by| Decider {
        index: by.index,
        origin: by.rule.origin.clone(),
        matches: by.rule.matches.clone(),
        because: by.rule.matches.iter().map(|condition| words::why(ruleset, condition, packet)).collect(),
    });
    HookVerdict { hook: decision.hook, verdict: decision.verdict, rule }
}

#[cfg(test)]
mod tests;
