//! One policy file, from bytes to tables.

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::{DeTable, Error};

use super::Config;
use super::read::Reader;
use super::values::Values;
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Sources, Span};
use crate::text::{decode_line, without_mark};

/// The longest line of a policy file. People write shorter ones, and the length of a diagnostic depends on it.
const MAX_LINE: usize = 64 * 1024;

/// From this size on only the first syntax error of a file is reported: the parser can't be stopped at
/// [`MAX_KEPT`](crate::diagnostic::MAX_KEPT), and each of its errors costs memory.
const MAX_RECOVERED: usize = 1024 * 1024;

/// What is found while reading.
#[derive(Default)]
pub(crate) struct Findings {
    /// The files.
    pub(crate) sources: Sources,
    /// Lines that are not UTF-8 text or not TOML.
    pub(crate) syntax: Diagnostics,
    /// Other errors.
    pub(crate) errors: Diagnostics,
}

impl Findings {
    /// Returns all errors. For a line with a syntax error, it returns only that one: the others are consequences of it.
    pub(crate) fn all(self) -> (Sources, Diagnostics) {
        let Self { sources, mut syntax, errors } = self;
        let line = |span: Span| (span.file, sources.locate(span).line);
        let broken: BTreeSet<_> = syntax.iter().filter_map(|error| error.span).map(line).collect();
        syntax.append(errors, |error| error.span.is_none_or(|span| !broken.contains(&line(span))));
        (sources, syntax)
    }
}

/// Reads a policy file into `config`.
pub(crate) fn decode(path: &Path, bytes: &[u8], config: &mut Config, findings: &mut Findings) {
    let Findings { sources, syntax, errors } = findings;
    let Some(text) = to_text(path, without_mark(bytes), sources, syntax) else {
        config.is_incomplete = true;
        return;
    };
    let file = sources.add(path, text);
    let (table, broken) = parse(sources.text(file));
    let is_broken = !broken.is_empty();
    config.is_incomplete |= is_broken;
    if let Some(table) = table {
        Reader { values: Values { file, errors }, config, is_broken }.read(&table);
    }
    report(file, &broken, sources, syntax);
}

/// Returns the tables of a file as far as they are clear, and its syntax errors.
fn parse(text: &str) -> (Option<DeTable<'_>>, Vec<Error>) {
    if text.len() <= MAX_RECOVERED {
        let (table, errors) = DeTable::parse_recoverable(text);
        return (Some(table.into_inner()), errors);
    }
    match DeTable::parse(text) {
        Ok(table) => (Some(table.into_inner()), Vec::new()),
        Err(error) => (None, vec![error]),
    }
}

/// Reports the syntax errors of a file, one for each line.
fn report(file: FileId, broken: &[Error], sources: &Sources, syntax: &mut Diagnostics) {
    let mut lines = BTreeSet::new();
    for error in broken {
        let range = error.span().unwrap_or(0..0);
        let span = Span { file, start: range.start, end: range.end };
        if lines.insert(sources.locate(span).line) {
            syntax.push_with(|| syntax_error(error.message(), span));
        }
    }
}

/// Returns the parser's message, its "expected ..." as help.
fn syntax_error(message: &str, span: Span) -> Diagnostic {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let help = match (message, expected) {
        ("duplicate key", _) => "write each key once".into(),
        (_, "" | "nothing") | ("string values must be quoted", _) => {
            "texts, addresses among them, stand in quotes, lists in brackets: [\"203.0.113.7\"]".into()
        }
        (_, expected) => format!("here should be {expected}"),
    };
    Diagnostic::new(format!("not TOML: {message}")).at(span).help(help)
}

/// Returns the file as a string, if all its lines are text.
fn to_text(path: &Path, bytes: &[u8], sources: &mut Sources, errors: &mut Diagnostics) -> Option<String> {
    let before = errors.len();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.len() > MAX_LINE {
            errors.push_with(|| too_long(path, index + 1, line, sources));
        } else if let Err(fault) = decode_line(line) {
            errors.push_with(|| fault.diagnostic(path, index + 1, line, sources));
        }
    }
    (errors.len() == before).then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn too_long(path: &Path, number: usize, line: &[u8], sources: &mut Sources) -> Diagnostic {
    let shown = String::from_utf8_lossy(line.get(..MAX_LINE.min(200)).unwrap_or(line)).into_owned();
    let span = Span { file: sources.add_line(path, number, shown), start: 0, end: 0 };
    Diagnostic::new(format!("this line has {} bytes; a line of a policy may have {MAX_LINE}", line.len()))
        .at(span)
        .help("write lists over several lines, or put them into a file of their own: \"file:lists/vpn.txt\"")
}
