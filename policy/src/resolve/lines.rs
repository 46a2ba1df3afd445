//! The lines of list files, in the forms in which people and publishers of lists write them.

use std::path::Path;

use super::advice;
use super::notation::is_host_name;
use crate::address::{AddressError, AddressRange};
use crate::diagnostic::{Diagnostic, Sources, Span, quoted};
use crate::text::decode_line;

/// The longest line of a list: two IPv6 addresses and a comment have room.
const MAX_LINE: usize = 256;
/// The characters that begin a comment; the second is Spamhaus's.
const COMMENTS: [char; 2] = ['#', ';'];

/// A line in error. The diagnostic is only created for the first few.
pub(super) struct BadLine;

/// Returns the address of a line, if it has one.
pub(super) fn parse(line: &[u8]) -> Result<Option<AddressRange>, BadLine> {
    if line.len() > MAX_LINE {
        return Err(BadLine);
    }
    let text = decode_line(line).map_err(|_| BadLine)?.trim();
    if text.starts_with('{') {
        return of_json(text);
    }
    match entry(text) {
        "" => Ok(None),
        entry => entry.parse().map(Some).map_err(|_| BadLine),
    }
}

/// Parses an object of JSON that has a network as `cidr`, as in Spamhaus's lists; the object with their date has none.
fn of_json(text: &str) -> Result<Option<AddressRange>, BadLine> {
    let object: serde_json::Value = serde_json::from_str(text).map_err(|_| BadLine)?;
    match object.get("cidr").and_then(serde_json::Value::as_str) {
        Some(network) => network.parse().map(Some).map_err(|_| BadLine),
        None if object.get("type").is_some_and(|kind| kind == "metadata") => Ok(None),
        None => Err(BadLine),
    }
}

/// Returns the line without comment and spaces, and without a number at its end, with which some lists count how often
/// they met an address.
fn entry(line: &str) -> &str {
    let entry = line.split(COMMENTS).next().unwrap_or("").trim();
    match entry.rsplit_once(char::is_whitespace) {
        Some((address, number)) if is_number(number) && !address.ends_with('-') => address.trim_end(),
        _ => entry,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl BadLine {
    /// Returns the diagnostic about a line, by its number in the file.
    pub(super) fn diagnostic(
        &self,
        path: &Path,
        number: usize,
        line: &[u8],
        sources: &mut Sources,
    ) -> Diagnostic {
        if line.len() > MAX_LINE {
            return too_long(path, number, line, sources);
        }
        match decode_line(line) {
            Err(fault) => fault.diagnostic(path, number, line, sources),
            Ok(text) => bad_entry(path, number, text, sources),
        }
    }
}

fn too_long(path: &Path, number: usize, line: &[u8], sources: &mut Sources) -> Diagnostic {
    let shown = String::from_utf8_lossy(line.get(..MAX_LINE).unwrap_or(line)).into_owned();
    let span = Span { file: sources.add_line(path, number, shown), start: 0, end: 0 };
    Diagnostic::new(format!("this line has {} bytes; a line of a list may have {MAX_LINE}", line.len()))
        .at(span)
        .help("write one address or network per line")
}

fn bad_entry(path: &Path, number: usize, line: &str, sources: &mut Sources) -> Diagnostic {
    let trimmed = line.trim();
    let entry = if trimmed.starts_with('{') { trimmed } else { entry(trimmed) };
    let start = line.find(entry).unwrap_or(0);
    let span = Span { file: sources.add_line(path, number, line.into()), start, end: start + entry.len() };
    match entry.parse::<AddressRange>() {
        Err(error) => {
            let diagnostic = Diagnostic::new(format!("{}: {error}", quoted(entry))).at(span);
            diagnostic.help(line_advice(entry, &error))
        }
        Ok(_) => Diagnostic::new("this line can't be read").at(span),
    }
}

/// Returns what to write instead of a line's entry.
fn line_advice(entry: &str, error: &AddressError) -> String {
    let is_address = |text: &str| text.parse::<AddressRange>().is_ok();
    if entry.starts_with('{') {
        return "a line of JSON needs a network as its `cidr`".into();
    }
    if let Some((_, address)) = entry.rsplit_once(':').filter(|(_, address)| is_address(address.trim())) {
        return format!("remove what is before it: {}", address.trim());
    }
    if let Some((address, _)) = entry.split_once(char::is_whitespace).filter(|(first, _)| is_address(first)) {
        return format!("write a # before what does not belong to the address: {address} # ...");
    }
    if is_host_name(entry) {
        return "host names are not looked up; write addresses".into();
    }
    advice::address(entry, error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(line: &str) -> Option<Option<String>> {
        parse(line.as_bytes()).ok().map(|range| range.map(|range| range.to_string()))
    }

    #[test]
    fn lines_are_read_as_they_are_published() {
        for (line, expected) in [
            ("1.10.16.0/20 ; SBL256894", "1.10.16.0/20"),
            ("203.0.113.7 # the office", "203.0.113.7"),
            ("203.0.113.7#the office", "203.0.113.7"),
            ("1.2.3.4\t8", "1.2.3.4"),
            ("  2001:db8::/32\t 12 \r", "2001:db8::/32"),
            ("203.0.113.0/255.255.255.0", "203.0.113.0/24"),
            ("203.0.113.20-30", "203.0.113.20-203.0.113.30"),
            ("203.0.113.20 - 203.0.113.30", "203.0.113.20-203.0.113.30"),
            (r#"{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}"#, "1.10.16.0/20"),
        ] {
            assert_eq!(read(line), Some(Some(expected.into())), "{line}");
        }
        for nothing in ["", "# all", "; Spamhaus DROP List", r#"{"type":"metadata","timestamp":1764288000}"#]
        {
            assert_eq!(read(nothing), Some(None), "{nothing}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_told_what_would_be_right() {
        for (line, advice) in [
            ("Bogon:1.2.3.0-1.2.3.255", "remove what is before it: 1.2.3.0-1.2.3.255"),
            ("home.example.net", "host names are not looked up"),
            ("1.2.3.4 office", "1.2.3.4 # ..."),
            (r#"{"ip":"1.2.3.4"}"#, "`cidr`"),
            ("010.001.002.003", "\"10.1.2.3\""),
            ("203.0.113.0/255.0.255.0", "prefix length"),
        ] {
            assert_eq!(read(line), None, "{line}");
            let said = BadLine.diagnostic(Path::new("l"), 1, line.as_bytes(), &mut Sources::default());
            assert!(said.help.as_ref().unwrap().contains(advice), "{line}: {said:?}");
        }
    }
}
