//! Diagnostics as strings for a terminal.
//!
//! What a policy holds is shown, but never trusted: characters that could control a terminal are replaced, and a line
//! is only shown as far as it fits a screen.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::sources::Line;
use super::{Diagnostic, Diagnostics, Sources, Span};

/// How many characters wide the output may get, except for messages.
const WIDTH: usize = 120;
/// How many characters of the exact place are shown.
const SHOWN_SPOT: usize = 60;
/// How many characters are shown after it.
const SHOWN_AFTER: usize = 60;
/// How many characters of what was typed are quoted in a message.
const QUOTED: usize = 80;
/// How long a message or a file's name may be.
const MAX_TEXT: usize = 500;

/// Diagnostics of one kind, with everything that is needed to show them.
#[derive(Clone, Debug)]
pub struct Report {
    kind: Kind,
    sources: Sources,
    diagnostics: Diagnostics,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Errors,
    Warnings,
}

impl Kind {
    fn level(self) -> Level<'static> {
        match self {
            Self::Errors => Level::ERROR,
            Self::Warnings => Level::WARNING,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Warnings => "warnings",
        }
    }
}

impl Report {
    /// Returns a report of errors, in the order of the files.
    pub fn errors(sources: Sources, diagnostics: Diagnostics) -> Self {
        Self::new(Kind::Errors, sources, diagnostics)
    }

    /// Returns a report of warnings, in the order of the files.
    pub fn warnings(sources: Sources, diagnostics: Diagnostics) -> Self {
        Self::new(Kind::Warnings, sources, diagnostics)
    }

    fn new(kind: Kind, sources: Sources, mut diagnostics: Diagnostics) -> Self {
        diagnostics.sort();
        Self { kind, sources, diagnostics }
    }

    /// Returns the diagnostics.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Returns the files that they point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Returns the diagnostics as a string, each with a blank line after it.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
        let mut text = String::new();
        for diagnostic in self.diagnostics.iter() {
            text += &renderer.render(&self.groups(diagnostic));
            text += "\n\n";
        }
        if self.diagnostics.omitted() > 0 {
            text += &format!("and {} more {}\n", self.diagnostics.omitted(), self.kind.plural());
        }
        text
    }

    /// Returns the diagnostic, and after it each place that is related to it.
    fn groups(&self, diagnostic: &Diagnostic) -> Vec<Group<'_>> {
        let title = self.kind.level().primary_title(printable(&diagnostic.message, MAX_TEXT));
        let mut main = Group::with_title(title);
        if let Some(span) = diagnostic.span {
            main = main.element(self.place(span, diagnostic.label.as_deref()));
        }
        if let Some(help) = &diagnostic.help {
            let lines: Vec<_> = help.lines().map(|line| printable(line, MAX_TEXT)).collect();
            main = main.element(Level::HELP.message(lines.join("\n")));
        }
        let notes = diagnostic.notes.iter().map(|note| {
            let title = Level::NOTE.secondary_title(printable(&note.message, MAX_TEXT));
            Group::with_title(title).element(self.place(note.span, None))
        });
        std::iter::once(main).chain(notes).collect()
    }

    /// Returns file, line and column of a place, and the line itself.
    fn place(&self, span: Span, label: Option<&str>) -> Element<'_> {
        let location = self.sources.locate(span);
        let path = printable(&location.file, MAX_TEXT);
        let shown = Shown::of(&self.sources.line(span));
        if shown.text.trim().is_empty() {
            return Origin::path(path).line(location.line).char_column(location.column).into();
        }
        let mut mark = AnnotationKind::Primary.span(shown.start..shown.end);
        if let Some(label) = label {
            mark = mark.label(printable(label, QUOTED));
        }
        Snippet::source(shown.text).path(path).line_start(location.line).annotation(mark).into()
    }
}

/// A line as the renderer gets it: printable, and without most of what comes after the exact place. What comes before
/// has to stay, because the renderer counts columns in it; the renderer itself does not show all of it.
struct Shown {
    text: String,
    start: usize,
    end: usize,
}

impl Shown {
    fn of(line: &Line<'_>) -> Self {
        let before = line.text.get(..line.start).unwrap_or("");
        let spot = line.text.get(line.start..line.end).unwrap_or("");
        let after = line.text.get(line.end..).unwrap_or("");
        let mut text: String = before.chars().map(printable_character).collect();
        let start = text.len();
        text += &printable(spot, SHOWN_SPOT);
        let end = text.len();
        text += &printable(after, SHOWN_AFTER);
        Self { text, start, end }
    }
}

/// Returns what was typed, in backticks, printable and not too long.
pub fn quoted(text: &str) -> String {
    format!("`{}`", printable(text, QUOTED))
}

/// Returns the first `room` characters of a string, all of them printable.
fn printable(text: &str, room: usize) -> String {
    let mut shown: String = text.chars().take(room).map(printable_character).collect();
    if text.chars().nth(room).is_some() {
        shown += "...";
    }
    shown
}

/// Returns the character, or a replacement if it could control the terminal or hide something: control characters,
/// characters that change the direction of writing, and invisible ones.
fn printable_character(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' => char::REPLACEMENT_CHARACTER,
        '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Returns whether a character shows as itself, and can be trusted in a name.
pub(crate) fn is_printable(c: char) -> bool {
    c != '\t' && c != char::REPLACEMENT_CHARACTER && printable_character(c) == c
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
