//! What becomes of a packet.

use dockfw_policy::walk::Translation;

use super::Answer;

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whether its conditions match the packet.
    pub(crate) holds: Answer,
    /// Whether it excludes the packet from connection tracking.
    pub(crate) untracks: Answer,
    /// What becomes of the packet if they match: one of these.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next rule decides.
    Continue,
    /// It is let through by this chain.
    Accept,
    /// It is gone, with or without an answer.
    Drop,
    /// The chain that led here decides.
    Return,
    /// The rules of another chain decide, and then the next rule.
    Jump(String),
    /// The rules of another chain decide, and then the chain that led here.
    Goto(String),
    /// Its destination is translated.
    Translate(Translation),
    /// Its destination is translated to something unknown here.
    TranslateSomewhere,
    /// Something else decides: a program, or a target that is unknown here.
    Unknown,
}
