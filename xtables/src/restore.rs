//! The input of one run of `iptables-restore`. Pure code.

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Origin;

/// One run of `iptables-restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The family.
    pub family: Family,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub text: String,
    /// The part of the policy that it is for.
    pub origin: Option<Origin>,
}

impl Line {
    /// Returns a line that is for no part of the policy.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), origin: None }
    }
}

impl Restore {
    /// Returns a run with lines that are for no part of the policy.
    pub fn plain(family: Family, lines: impl IntoIterator<Item = String>) -> Self {
        Self { family, lines: lines.into_iter().map(Line::plain).collect() }
    }

    /// Returns a run that changes nothing, but needs the tables.
    pub(crate) fn of_nothing(family: Family) -> Self {
        Self::plain(family, ["*mangle", "COMMIT", "*filter", "COMMIT"].map(String::from))
    }

    /// Returns the input as a string.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }
}
