//! A packet on one of the ways that rules of others may lead it.

use std::net::SocketAddr;

use dockfw_policy::walk::{self, Decision, Packet, Sender, USUAL_HOP_LIMIT, Verdict};
use serde::Serialize;

use super::situation::{Situation, Unclear};
use super::target::{self, Target};
use super::{Asks, Question};
use crate::exposure::{Facts, Rules};
use crate::foreign;

/// A way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Way {
    /// Where the packet is led; nothing if its destination stays as it was dialled.
    pub(crate) to: Option<SocketAddr>,
    /// Whether connection tracking knows it; otherwise a rule of others has excluded it from that.
    pub(crate) is_tracked: bool,
    /// The rule that does, or may.
    pub(crate) rule: Option<String>,
    /// The table of that rule.
    pub(crate) table: Option<String>,
    /// What dockfw decides about the packet on this way.
    pub(crate) verdict: Verdict,
}

/// The packet on a way, walked through the ruleset.
pub(super) struct Walked<'a> {
    pub(super) way: &'a foreign::Way,
    pub(super) target: Target,
    pub(super) packet: Packet,
    pub(super) decisions: Vec<Decision<'a>>,
}

impl<'a> Walked<'a> {
    pub(super) fn new(
        way: &'a foreign::Way,
        rules: Rules<'a>,
        facts: &Facts,
        asks: &dyn Asks,
        situation: &Situation,
        question: &Question,
    ) -> Result<Self, Unclear> {
        let target = target::target(way.translated, situation, question, facts, asks)?;
        let path = walk::Path {
            destination: situation.to,
            payload: target::payload(question.service, situation.to),
            hop_limit: USUAL_HOP_LIMIT,
            translated: way.translated,
            incoming: rules.interface(&situation.incoming),
            outgoing: target.outgoing.as_ref().map(|link| rules.interface(link)),
            connection: way.connection(),
        };
        let sender = Sender {
            address: question.from,
            is_own: situation.from_is_own,
            reverse_path_fails: situation.reverse_path_fails,
        };
        let packet = Packet { sender, path };
        let decisions = walk::explain_path(rules.ruleset, &packet);
        Ok(Self { way, target, packet, decisions })
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.decisions.last().map_or(Verdict::Pass, |decision| decision.verdict)
    }

    /// Returns the way as it is reported.
    pub(super) fn in_words(&self) -> Way {
        Way {
            to: self.way.translated.map(|to| SocketAddr::new(to.address, to.port)),
            is_tracked: self.way.is_tracked,
            rule: self.way.by.as_ref().map(ToString::to_string),
            table: self.way.by.as_ref().map(|by| by.table.clone()),
            verdict: self.verdict(),
        }
    }
}
