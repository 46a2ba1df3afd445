//! What becomes of a packet.

use dockfw_policy::walk::Translation;

use super::Answer;

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whether the packet meets its conditions.
    pub(crate) holds: Answer,
    /// Whether it takes the packet out of connection tracking.
    pub(crate) untracks: Answer,
    /// What becomes of the packet if it meets them: one of these.
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
    /// Its destination is translated, nobody knows here to what.
    TranslateSomewhere,
    /// Someone else decides: a program, or a target that is not known here.
    Unknown,
}
