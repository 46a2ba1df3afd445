//! Lines of files as strings: the rules for every file that dockfw reads.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Sources, Span};

/// The byte order mark that some editors of Windows write at the start of a file.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a line is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// From this byte on it is not UTF-8.
    Encoding(usize),
    /// This byte is a control character.
    Control(usize),
}

/// Returns the file without the byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Returns a line as a string, without the `\r` of a line end of Windows.
pub(crate) fn decode_line(line: &[u8]) -> Result<&str, Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|error| Fault::Encoding(error.valid_up_to()))?;
    match line.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t') {
        Some(position) => Err(Fault::Control(position)),
        None => Ok(text),
    }
}

impl Fault {
    /// Returns the diagnostic about it. The line must be a short one.
    pub(crate) fn diagnostic(
        self,
        path: &Path,
        number: usize,
        line: &[u8],
        sources: &mut Sources,
    ) -> Diagnostic {
        let position = match self {
            Self::Encoding(position) | Self::Control(position) => position,
        };
        let text = String::from_utf8_lossy(line).into_owned();
        let wrong = text.get(position..).and_then(|rest| rest.chars().next());
        let end = position + wrong.map_or(0, char::len_utf8);
        let span = Span { file: sources.add_line(path, number, text), start: position, end };
        let byte = line.get(position).copied().unwrap_or(0);
        let diagnostic = match self {
            Self::Encoding(_) => Diagnostic::new("the text is not UTF-8").help("save the file as UTF-8"),
            Self::Control(_) => Diagnostic::new("a control character").help("remove it"),
        };
        diagnostic.at(span).label(format!("byte 0x{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_style_and_hold_no_control_characters() {
        assert_eq!(decode_line(b"a\tb\r"), Ok("a\tb"));
        assert_eq!(decode_line(b"a\rb"), Err(Fault::Control(1)));
        assert_eq!(decode_line(b"a\0"), Err(Fault::Control(1)));
        assert_eq!(decode_line(b"ab\xff"), Err(Fault::Encoding(2)));
        assert_eq!(without_mark(b"\xef\xbb\xbfa"), b"a");
    }
}
