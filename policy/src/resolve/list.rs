//! `file:PATH`: lists of addresses in files of their own, one entry a line, `#` for comments.
//!
//! They may have millions of lines, so nothing is kept of them but the addresses, and of lines in error the first
//! few.

use std::path::Path;
use std::rc::Rc;

use super::{Resolver, advice};
use crate::address::{AddressRange, AddressSet};
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span, quoted};
use crate::load::{Unread, read};
use crate::text::{decode_line, without_mark};

/// The longest line of a list: two IPv6 addresses and a comment fit.
const MAX_LINE: usize = 256;

/// The biggest list.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

impl Resolver<'_> {
    /// The addresses of a file that the entry at `span` names, unless it can't be read. Each file is read once.
    pub(super) fn list_file(&mut self, typed: &str, span: Span) -> Option<Rc<AddressSet>> {
        if typed.is_empty() {
            let error = Diagnostic::new("`file:` without a file").at(span);
            self.errors.push(error.help("write a path after it, as in \"file:lists/vpn.txt\""));
            return None;
        }
        let path = self.sources.directory(span.file).join(typed);
        if let Some(known) = self.lists.get(&path) {
            return known.clone();
        }
        let list = match read(self.files, &path, MAX_SIZE) {
            Ok(bytes) => Some(Rc::new(self.list(&path, &bytes, span))),
            Err(unread) => {
                self.errors.push_with(|| unreadable(&path, typed, &unread).at(span));
                None
            }
        };
        self.lists.insert(path, list.clone());
        list
    }

    fn list(&mut self, path: &Path, bytes: &[u8], span: Span) -> AddressSet {
        let errors_before = self.errors.len();
        let addresses = parse(path, bytes, self.sources, self.errors);
        if addresses.is_empty() && self.errors.len() == errors_before {
            self.warnings.push_with(|| {
                Diagnostic::new(format!("{} holds no address", quoted(&path.display().to_string())))
                    .at(span)
                    .help("if it should: write one address or network a line")
            });
        }
        addresses
    }
}

fn unreadable(path: &Path, typed: &str, unread: &Unread) -> Diagnostic {
    let help: &str = match unread {
        Unread::TooBig(_) => "split the list, or write networks instead of single addresses",
        Unread::Failed(_) if Path::new(typed).is_absolute() => "the file must be there and readable",
        Unread::Failed(_) => "paths start from the directory of the policy file that names them",
    };
    Diagnostic::new(unread.message(path)).help(help)
}

/// The addresses of a list; what is wrong with its lines goes to `errors`.
fn parse(path: &Path, bytes: &[u8], sources: &mut Sources, errors: &mut Diagnostics) -> AddressSet {
    let lines = without_mark(bytes).split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| match parse_line(line) {
            Ok(range) => range,
            Err(make) => {
                errors.push_with(|| make.diagnostic(path, index + 1, line, sources));
                None
            }
        })
        .collect()
}

/// A line in error. What is to be said about it is only worked out for the first few.
struct BadLine;

/// The address of a line, if it has one.
fn parse_line(line: &[u8]) -> Result<Option<AddressRange>, BadLine> {
    if line.len() > MAX_LINE {
        return Err(BadLine);
    }
    let text = decode_line(line).map_err(|_| BadLine)?;
    match entry(text) {
        "" => Ok(None),
        entry => entry.parse().map(Some).map_err(|_| BadLine),
    }
}

/// The line without comment and blanks.
fn entry(line: &str) -> &str {
    line.split('#').next().unwrap_or("").trim()
}

impl BadLine {
    fn diagnostic(&self, path: &Path, number: usize, line: &[u8], sources: &mut Sources) -> Diagnostic {
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
    Diagnostic::new(format!("this line has {} bytes; one of a list may have {MAX_LINE}", line.len()))
        .at(span)
        .help("write one address or network a line")
}

fn bad_entry(path: &Path, number: usize, line: &str, sources: &mut Sources) -> Diagnostic {
    let entry = entry(line);
    let start = line.find(entry).unwrap_or(0);
    let span = Span { file: sources.add_line(path, number, line.into()), start, end: start + entry.len() };
    match entry.parse::<AddressRange>() {
        Err(error) => {
            let diagnostic = Diagnostic::new(format!("{}: {error}", quoted(entry))).at(span);
            diagnostic.help(advice::address(entry, &error))
        }
        Ok(_) => Diagnostic::new("this line can't be read").at(span),
    }
}
