//! One policy file, from bytes to tables.

use std::path::Path;

use toml::de::DeTable;

use super::Config;
use super::read::Reader;
use super::syntax::diagnose;
use super::values::Values;
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span};
use crate::text::{decode_line, without_mark};

/// The longest line of a policy file. People write shorter ones, and the length of a diagnostic depends on it.
const MAX_LINE: usize = 64 * 1024;

/// What is found while reading.
#[derive(Default)]
pub(crate) struct Findings {
    /// The files.
    pub(crate) sources: Sources,
    /// The errors.
    pub(crate) errors: Diagnostics,
}

/// Reads a policy file into `config`. Of a file that is not TOML, only the first syntax error is reported: what comes after
/// it, and what the rest seems to say, is likely to be a consequence.
pub(crate) fn decode(path: &Path, bytes: &[u8], config: &mut Config, findings: &mut Findings) {
    let Findings { sources, errors } = findings;
    let Some(text) = to_text(path, without_mark(bytes), sources, errors) else {
        config.is_incomplete = true;
        return;
    };
    let file = sources.add(path, text);
    let text = sources.text(file);
    match DeTable::parse(text) {
        Ok(table) => Reader { values: Values { file, errors }, config }.read(table.get_ref()),
        Err(error) => {
            config.is_incomplete = true;
            errors.push_with(|| diagnose(file, text, &error));
        }
    }
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
