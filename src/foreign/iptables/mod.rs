//! Rules of iptables.

mod condition;
mod parse;
mod target;

use dockfw_policy::printable;
use dockfw_xtables::words::words;

use super::{Answer, Step, Tracking, Verdict, View, translation};
use condition::Negatable;
use target::Target;

/// The chains of packets that the host itself sends, or that leave.
const OUTWARD: [&str; 2] = ["OUTPUT", "POSTROUTING"];

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The rule as iptables writes it.
    pub(super) text: String,
    /// Whether it gives packets a mark.
    pub(super) marks: bool,
    /// Whether it gives connections a helper of connection tracking.
    pub(super) helps: bool,
    conditions: Vec<Negatable>,
    target: Target,
}

impl Rule {
    /// Returns the rule in a line, with its chain; nothing if the line has none.
    pub(super) fn parse(line: &str) -> Option<(String, Self)> {
        let words = words(line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ["-A", chain, rest @ ..] = words.as_slice() else { return None };
        let (conditions, target) = parse::parse(rest);
        let helps = matches!(target, ["-j", "CT", ..]) && target.contains(&"--helper");
        let target = Target::parse(target);
        let marks = target.marks() && !OUTWARD.contains(chain);
        let rule = Self { text: printable(line), marks, helps, conditions, target };
        Some(((*chain).to_owned(), rule))
    }

    /// Returns what it does with a packet.
    pub(super) fn step(&self, view: &View<'_>) -> Step {
        let mut holds = Answer::Yes;
        for condition in &self.conditions {
            holds = holds.and(condition.holds(view));
            if holds == Answer::No {
                return Step { holds, untracks: holds, verdicts: vec![] };
            }
        }
        let untracks = if self.untracks() { holds } else { Answer::No };
        Step { holds, untracks, verdicts: self.target.verdicts(view) }
    }

    /// Returns the ports that it asks the dialled one to be of.
    pub(super) fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        self.conditions.iter().flat_map(Negatable::ports)
    }

    /// Returns the single addresses that it asks the destination to be.
    pub(super) fn destinations(&self) -> impl Iterator<Item = std::net::IpAddr> {
        self.conditions.iter().filter_map(Negatable::destination)
    }

    /// Returns whether it leads packets elsewhere.
    pub(super) fn translates(&self) -> bool {
        self.target.translates()
    }

    /// Returns whether it excludes packets from connection tracking.
    pub(super) fn untracks(&self) -> bool {
        matches!(self.target, Target::Untrack)
    }

    /// Returns the chain that it leads to, if it does.
    pub(super) fn chain(&self) -> Option<&str> {
        match &self.target {
            Target::Chain { name, .. } => Some(name),
            _ => None,
        }
    }
}
