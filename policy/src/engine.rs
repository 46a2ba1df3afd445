//! An engine, as the rest of the program sees it: it puts a [`Ruleset`] in force, and never decides policy.

use std::fmt;

use serde::Serialize;

use crate::difference::{Difference, DifferenceKind, Part};
use crate::ruleset::{Origin, Ruleset};

pub use crate::engine_name::EngineName;

/// Puts rulesets in force on this host, in the network namespace of the process.
pub trait Engine {
    /// Returns which engine it is.
    fn name(&self) -> EngineName;

    /// Returns what the engine needs of this host, and whether it is there. Changes nothing.
    fn probe(&self) -> Result<Vec<Requirement>, EngineError>;

    /// Fails if the engine can't work on this host: with [`EngineError::Unsupported`] if that is not temporary. It checks
    /// less than [`probe`](Self::probe): what is in force shows the rest.
    fn must_be_fit(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Lets the kernel judge the ruleset without putting it in force.
    fn check(&self, ruleset: &Ruleset) -> Result<(), EngineError>;

    /// Puts the ruleset in force, all or nothing. What is in force already stays as it is. Returns the differences that
    /// this removed; none: all of it was in force.
    fn apply(&self, ruleset: &Ruleset) -> Result<Vec<Difference>, EngineError>;

    /// Returns what of this engine is on the host, compared with `ruleset`: the differences are those that an apply would
    /// remove. Without a ruleset, the result only has to contain how much is there.
    fn read(&self, ruleset: Option<&Ruleset>) -> Result<State, EngineError>;

    /// Removes everything of this engine. Returns whether there was anything.
    fn remove(&self) -> Result<bool, EngineError>;
}

/// One thing that an engine needs, and what was found of it on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// What is needed.
    pub what: String,
    /// Where that was read.
    pub source: String,
    /// Nothing if it is there; otherwise what the host answered.
    pub missing: Option<String>,
    /// Whether the engine can do without it, with less precision.
    pub optional: bool,
}

/// What of an engine is on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// How much of the engine is there.
    pub presence: Presence,
    /// How what is there differs from the ruleset that it was compared with; empty: not at all.
    pub differences: Vec<Difference>,
    /// Why packets do not reach what is there, if so.
    pub unfit: Option<String>,
    /// The counters.
    pub counters: Vec<Count>,
    /// The sets.
    pub sets: Vec<SetState>,
}

impl State {
    /// Returns whether packets meet the ruleset that it was compared with.
    pub fn is_in_force(&self) -> bool {
        self.presence == Presence::Rules
            && self.unfit.is_none()
            && self.differences.iter().all(Difference::is_harmless)
    }
}

/// How much of an engine is on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Nothing at all.
    #[default]
    Nothing,
    /// Only what affects no packet: sets that an interrupted apply left, and no rules.
    Leftovers,
    /// Rules.
    Rules,
}

impl Presence {
    /// Returns all of an engine as one difference, if anything of it is there: if another engine is wanted, all of it is
    /// unwanted.
    pub fn as_difference(self, engine: EngineName) -> Option<Difference> {
        let kind = match self {
            Self::Nothing => return None,
            Self::Leftovers => DifferenceKind::Leftover,
            Self::Rules => DifferenceKind::Foreign,
        };
        Some(Difference::new(kind, Part::Engine { name: engine }))
    }
}

/// A counter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The counter's name in the ruleset.
    pub name: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A set that is on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetState {
    /// The set's name in the kernel.
    pub name: String,
    /// How many elements it was loaded with; nothing if that is not recorded.
    pub elements: Option<u64>,
}

/// Why an engine could not do what it was asked for. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The process lacks the rights.
    #[error("not permitted: dockfw needs the capability CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel refused.
    #[error("the kernel refused the ruleset; the one before is still in force")]
    Refused(Vec<Refusal>),
    /// The engine, or something it needs, is not available on this host.
    #[error("not supported on this host: {0}")]
    Unsupported(String),
    /// This program was built without the engine.
    #[error("this dockfw was built without the {0} engine")]
    NotBuiltIn(EngineName),
    /// The kernel's ruleset was changed by others faster than dockfw could read it.
    #[error("the host's ruleset kept changing while dockfw read it; try again")]
    Raced,
    /// Talking to the kernel or to a program failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The kernel or a program answered something that dockfw does not understand.
    #[error("{doing}: dockfw does not understand the answer: {answer}")]
    Protocol {
        /// What was being done.
        doing: String,
        /// What is unexpected in the answer.
        answer: String,
    },
}

impl EngineError {
    /// Returns the error with all of its reasons.
    pub fn in_full(&self) -> String {
        match self {
            Self::Io { doing, source } => format!("{doing}: {}", chain(source)),
            Self::Refused(refusals) => {
                refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            error => error.to_string(),
        }
    }

    /// Returns the same error for the case that something has changed already: no reason may claim that nothing was
    /// changed. `doing` is what has changed, and what failed.
    pub fn after_the_fact(self, doing: impl Into<String>) -> Self {
        Self::Io { doing: doing.into(), source: std::io::Error::other(self.in_full()) }
    }
}

/// Returns an error's message, and those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One refusal by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the kernel was asked to do, as in `add rule to chain input`.
    pub operation: String,
    /// The part of the policy that asked for it, if any did.
    pub origin: Option<Origin>,
    /// The kernel's reason.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.reason)?;
        self.origin.as_ref().map_or(Ok(()), |origin| write!(f, "; from {origin}"))
    }
}
