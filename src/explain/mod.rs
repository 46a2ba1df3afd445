//! What becomes of one packet on this host, and why: the facts of the host are put together to a path, which is walked
//! through the ruleset; what Docker's own rules do to what dockfw lets through comes after.
//!
//! Pure, but for the questions to routing that the caller answers.

mod docker;
mod situation;
mod target;
mod words;

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::{Hook, Match, Ruleset};
use dockfw_policy::service::Service;
use dockfw_policy::walk::{self, Decision, Packet, Sender, Verdict};
use serde::Serialize;

use crate::exposure::{Facts, Rules};
use crate::host::routes::Route;

pub(crate) use docker::Objection;
use situation::{Unclear, situation};
pub(crate) use target::{Kind, Target};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Who sends.
    pub(crate) from: IpAddr,
    /// The one port that is dialled, or the protocol.
    pub(crate) service: Service,
    /// The interface that the packet comes in by, if it was named.
    pub(crate) incoming: Option<String>,
    /// The address that is dialled, if it was named.
    pub(crate) to: Option<IpAddr>,
}

/// What else of the host is looked at where it matters. What can't be read is nothing.
pub(crate) trait Others {
    /// Whether the policy of FORWARD is DROP.
    fn forward_drops(&self, family: Family) -> Option<bool>;

    /// Whether a rule drops what is sent straight to a container's address.
    fn direct_is_dropped(&self, address: IpAddr) -> Option<bool>;

    /// The numbers of Docker's version.
    fn docker_version(&self) -> Option<Vec<u32>>;

    /// Whether Docker filters with nftables itself.
    fn docker_uses_nftables(&self) -> bool;

    /// Where routing leads; out by the interface of this index, if one is given.
    fn route(&self, to: IpAddr, by: Option<u32>) -> Option<Route>;
}

/// What becomes of the packet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    /// What dockfw decides.
    pub(crate) verdict: Verdict,
    /// The packet.
    pub(crate) packet: Asked,
    /// What is there.
    pub(crate) target: Target,
    /// What each hook decides.
    pub(crate) hooks: Vec<HookVerdict>,
    /// What others have against what dockfw lets through, Docker above all; empty where nothing is known.
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
    /// The interface that it comes in by.
    #[serde(rename = "in")]
    pub(crate) incoming: String,
    /// The interface that it goes out by; nothing where it is for the host itself.
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
    rules: Rules<'_>,
    facts: &Facts,
    others: &dyn Others,
    question: &Question,
) -> Result<Explanation, Unclear> {
    let situation = situation(question, &facts.links, others)?;
    let target = target::target(&situation, question, facts, others);
    let packet = Packet {
        sender: Sender {
            address: question.from,
            is_own: situation.from_is_own,
            reverse_path_fails: situation.reverse_path_fails,
        },
        path: target.path(&situation, question, |link| rules.interface(link)),
    };
    let decisions = walk::explain_path(rules.ruleset, &packet);
    let verdict = decisions.last().map_or(Verdict::Pass, |decision| decision.verdict);
    let objections = match verdict {
        Verdict::Pass => docker::objections(&situation, question, &target, facts, others),
        Verdict::Drop => Vec::new(),
    };
    Ok(Explanation {
        verdict,
        hooks: decisions.iter().map(|decision| told(rules.ruleset, decision, &packet)).collect(),
        packet: Asked {
            from: question.from,
            from_is_own: situation.from_is_own,
            to: situation.to,
            port: question.service,
            incoming: situation.incoming.name.clone(),
            outgoing: target.outgoing.as_ref().map(|link| link.name.clone()),
        },
        target,
        others: objections,
    })
}

fn told(ruleset: &Ruleset, decision: &Decision<'_>, packet: &Packet) -> HookVerdict {
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
