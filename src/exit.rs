//! How the program ends.

use std::env;
use std::process::{ExitCode, Termination};

use dockfw_policy::engine::EngineError;
use nix::unistd::geteuid;

use crate::message::Message;

/// The exit codes: a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line or the policy is wrong. (clap uses the same code for its own errors.)
    Usage = 2,
    /// The kernel refused.
    Refused = 3,
    /// The process lacks the rights.
    NotPermitted = 4,
    /// This host does not support it.
    Unsupported = 5,
    /// Not done, for the operator's safety.
    Unsafe = 6,
    /// The policy is not in force, or another program changed it.
    NotInForce = 7,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// An error that decides how the program ends.
#[derive(Debug, thiserror::Error)]
#[error("{}", message.what())]
pub(crate) struct Stop {
    /// The exit code.
    exit: Exit,
    /// What the operator reads.
    message: Message,
    /// What is wrong with a policy, which the operator reads before that. It has headings of its own.
    diagnostics: Option<String>,
}

impl Stop {
    /// Stops with this exit code, for this reason.
    pub(crate) fn new(exit: Exit, message: Message) -> Self {
        Self { exit, message, diagnostics: None }
    }

    /// Adds what is wrong with a policy.
    pub(crate) fn with_diagnostics(self, diagnostics: String) -> Self {
        Self { diagnostics: Some(diagnostics), ..self }
    }
}

/// Returns what is wrong with a policy, if that is what the error is about.
pub(crate) fn diagnostics_of(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Stop>()?.diagnostics.as_deref()
}

/// Returns what the operator reads about an error: all known causes on one line, and then what to do.
pub(crate) fn message_of(error: &anyhow::Error) -> Message {
    let chain = format!("{error:#}");
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.message.clone().with_what(chain);
    }
    match error.downcast_ref::<EngineError>() {
        Some(EngineError::NotPermitted) => as_root(Message::new(chain)),
        Some(EngineError::Unsupported(_)) => Message::new(chain).help("to see what to install: dockfw probe"),
        Some(EngineError::NotBuiltIn(engine)) => Message::new(chain)
            .help(format!("to use the other engine: dockfw apply --backend {}", engine.other()))
            .help("or install a dockfw that has the engine, as its packages do"),
        Some(EngineError::Refused(refusals)) => {
            let list: Vec<_> = refusals.iter().map(ToString::to_string).collect();
            Message::new(chain).meaning(list.join("\n"))
        }
        Some(EngineError::Raced) => Message::new(chain).help("try again"),
        _ => Message::new(chain),
    }
}

/// Returns the same error, and what else it means for the operator.
pub(crate) fn with_meaning(error: &anyhow::Error, meaning: impl Into<String>) -> Stop {
    let diagnostics = diagnostics_of(error).map(str::to_owned);
    Stop { exit: of_error(error), message: message_of(error).meaning(meaning), diagnostics }
}

/// Adds how to get the rights that this process lacks. Root lacks them only if somebody has taken them away.
pub(crate) fn as_root(message: Message) -> Message {
    if geteuid().is_root() {
        return message
            .meaning("root has this capability, unless its container or its unit has taken it away")
            .help("for a container of Docker, add to `docker run`: --cap-add NET_ADMIN")
            .help("for a unit of systemd, add: CapabilityBoundingSet=CAP_NET_ADMIN");
    }
    let words: Vec<_> = env::args().skip(1).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:=,".contains(c);
    let is_copied = words.iter().all(|word| !word.is_empty() && word.chars().all(is_plain));
    let command = if is_copied { words.join(" ") } else { "...".into() };
    message.help(format!("to run it as root: sudo dockfw {command}"))
}

/// Returns the exit code for an error.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.exit;
    }
    match error.downcast_ref::<EngineError>() {
        Some(EngineError::NotPermitted) => Exit::NotPermitted,
        Some(EngineError::Refused(_)) => Exit::Refused,
        Some(EngineError::Unsupported(_) | EngineError::NotBuiltIn(_)) => Exit::Unsupported,
        Some(EngineError::Raced | EngineError::Io { .. } | EngineError::Protocol { .. }) | None => {
            Exit::Failed
        }
    }
}
