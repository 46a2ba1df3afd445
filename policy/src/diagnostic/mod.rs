//! What is wrong with a policy, and where: errors and warnings that point into the files that were read.
//!
//! Nothing here stops at the first mistake: code that reads a policy adds to [`Diagnostics`] and continues. So an
//! operator sees everything that needs correction at once.

mod render;
mod sources;

pub(crate) use render::is_printable;
pub use render::{Report, quoted};
pub use sources::{FileId, Location, Sources};

/// How many diagnostics are kept; the rest are only counted. Nobody reads more, and a broken list of a million lines
/// must not fill the memory with errors.
pub const MAX_KEPT: usize = 100;

/// Some bytes of one of the files of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A value, and where it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was typed.
    pub span: Span,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one line.
    pub message: String,
    /// Where it is wrong; nothing if the problem is not in any file.
    pub span: Option<Span>,
    /// A few words at the exact place.
    pub label: Option<String>,
    /// What would be right.
    pub help: Option<String>,
    /// Other places that are related to it.
    pub notes: Vec<Note>,
}

/// Another place that is related to a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is there.
    pub message: String,
    /// Where it is.
    pub span: Span,
}

impl Diagnostic {
    /// Returns a diagnostic without a place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, label: None, help: None, notes: Vec::new() }
    }

    /// Adds the place `span`.
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds a few words at the exact place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what would be right.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds one more place.
    pub fn note(mut self, message: impl Into<String>, span: Span) -> Self {
        self.notes.push(Note { message: message.into(), span });
        self
    }
}

/// Diagnostics as they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// Adds one, or counts it if there are too many already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(|| diagnostic);
    }

    /// Adds what `make` returns. `make` is not called if there are too many already.
    pub(crate) fn push_with(&mut self, make: impl FnOnce() -> Diagnostic) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(make());
        } else {
            self.omitted += 1;
        }
    }

    /// Returns those that were kept, in the order of [`Diagnostics::sort`] or in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// Returns how many were only counted.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Returns how many there are, kept or not.
    pub fn len(&self) -> usize {
        self.kept.len() + self.omitted
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Sorts them by the files and lines that they point at. Those without a place come first.
    pub fn sort(&mut self) {
        self.kept.sort_by_key(|diagnostic| diagnostic.span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_never_made() {
        let mut diagnostics = Diagnostics::default();
        for number in 0..MAX_KEPT + 7 {
            diagnostics.push_with(|| {
                assert!(number < MAX_KEPT);
                Diagnostic::new(number.to_string())
            });
        }
        assert_eq!((diagnostics.iter().count(), diagnostics.omitted()), (MAX_KEPT, 7));
        assert_eq!(diagnostics.len(), MAX_KEPT + 7);
    }
}
