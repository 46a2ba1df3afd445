//! The lines of a file with one entry per line.

use std::rc::Rc;

use dockfw_policy::printable;

use super::Input;
use super::findings::{Fault, Findings, Place, quoted};

/// The longest line: a rule with the fifteen ports that multiport takes is far shorter.
const MAX_LINE: usize = 4096;

/// Returns the name of an input, safe to show.
pub(crate) fn shown_name(input: &Input) -> Rc<str> {
    printable(&input.name).into()
}

/// Returns the bytes without the byte order mark of editors of Windows.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// Returns the lines that are neither empty nor comments, without spaces at their ends. Reports those that are not
/// UTF-8.
pub(crate) fn of<'a>(input: &'a Input, findings: &mut Findings) -> Vec<(Place, &'a str)> {
    let file = shown_name(input);
    let mut found = Vec::new();
    for (index, line) in without_mark(&input.bytes).split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let place = Place::new(&file, index + 1);
        match as_text(line) {
            Ok(text) => found.push((place, text)),
            Err((what, help)) => findings.unreadable(Fault::new(&place, what, help)),
        }
    }
    found
}

fn as_text(line: &[u8]) -> Result<&str, (String, &'static str)> {
    if line.len() > MAX_LINE {
        let what = format!("this line has {} bytes", line.len());
        return Err((what, "no line of a set or of rules is as long: write one entry a line"));
    }
    match std::str::from_utf8(line) {
        Ok(text) if text.contains(|c: char| c.is_control() && c != '\t') => {
            Err((format!("a control character in {}", quoted(text)), "remove it"))
        }
        Ok(text) => Ok(text),
        Err(_) => Err(("this line is not UTF-8".into(), "save the file as UTF-8")),
    }
}
