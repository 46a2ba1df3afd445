//! A message to the operator, in up to three parts: what happened, what it means, and what to do.
//!
//! Invariant: only strings. [`output`](crate::output) writes them.

use std::fmt;

/// What an operator does after an edit of the policy file.
pub(crate) const TRY: &str =
    "to put the policy file in force on trial (Enter keeps it): dockfw apply --confirm 60s";

/// How far the lines after the first are indented.
const INDENT: &str = "  ";

/// A message. Each part is a sentence or two without a full stop; a part may have several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    what: String,
    meaning: Option<String>,
    help: Vec<String>,
}

impl Message {
    /// Returns a message with what happened. That stands alone: it names the file, port, chain or container, and holds no
    /// advice.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), meaning: None, help: Vec::new() }
    }

    /// Adds what that means for the operator. Further calls add more lines.
    pub(crate) fn meaning(self, meaning: impl Into<String>) -> Self {
        let lines: Vec<_> = self.meaning.into_iter().chain([meaning.into()]).collect();
        Self { meaning: Some(lines.join("\n")), ..self }
    }

    /// Adds what to do: a few words, and a command or lines of a policy, which come last. Further calls add more.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Returns the same with another first part.
    pub(crate) fn with_what(self, what: impl Into<String>) -> Self {
        Self { what: what.into(), ..self }
    }

    /// Returns what happened, for places that have one line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(meaning) = &self.meaning {
            write!(f, "\n{INDENT}{}", meaning.replace('\n', &format!("\n{INDENT}")))?;
        }
        let lines = format!("\n{INDENT}{INDENT}");
        self.help.iter().try_for_each(|help| write!(f, "\n{INDENT}help: {}", help.replace('\n', &lines)))
    }
}

/// Returns the first of several names, and how many more there are.
pub(crate) fn shortened(names: impl ExactSizeIterator<Item = String>, shown: usize) -> String {
    let more = names.len().saturating_sub(shown);
    let first = names.take(shown).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_first_are_shown() {
        let shown = |count: u8| shortened((0..count).map(|number| number.to_string()), 2);
        assert_eq!([shown(1), shown(2), shown(4)], ["0", "0, 1", "0, 1 and 2 more"]);
    }

    #[test]
    fn each_part_has_its_line() {
        let message =
            Message::new("`docker0` is no bridge").meaning("it would let others in").help("rename it");
        assert_eq!(
            message.to_string(),
            "`docker0` is no bridge\n  it would let others in\n  help: rename it"
        );
        let lines = Message::new("closed").help("open it:\ntrusted = []").help("or leave it");
        assert_eq!(lines.to_string(), "closed\n  help: open it:\n    trusted = []\n  help: or leave it");
        assert_eq!(Message::new("a").meaning("b").meaning("c").to_string(), "a\n  b\n  c");
    }
}
