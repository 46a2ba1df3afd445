//! Lists of addresses in files of their own, one entry per line: `file:PATH`, and `feed:PATH` for what others publish.
//!
//! They may have millions of lines, so only the addresses are kept, and the first few lines in error.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Resolver;
use super::lines::{self, BadLine};
use crate::address::AddressSet;
use crate::diagnostic::{Diagnostic, Span, quoted};
use crate::files::{Unread, read};
use crate::text::without_mark;

/// The biggest list.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

/// What happens to lines that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BadLines {
    /// Each is an error.
    Refused,
    /// They are left out and counted: the list belongs to somebody else, nobody here can correct it, and most of it is
    /// good.
    Skipped,
}

impl BadLines {
    /// Returns how an entry begins that names such a list.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Refused => "file:",
            Self::Skipped => "feed:",
        }
    }

    /// Returns the list that an entry names, if it names one.
    pub(super) fn of(entry: &str) -> Option<(Self, &str)> {
        let path = |kind: Self| Some((kind, entry.strip_prefix(kind.prefix())?));
        path(Self::Refused).or_else(|| path(Self::Skipped))
    }
}

/// The files read so far, by the handling of their bad lines; nothing for those that could not be read.
pub(crate) type Lists = HashMap<(PathBuf, BadLines), Option<AddressSet>>;

impl Resolver<'_> {
    /// Returns the addresses of a file that the entry at `span` names, unless it can't be read. Each file is read once.
    pub(super) fn list_file(&mut self, typed: &str, bad: BadLines, span: Span) -> Option<AddressSet> {
        if typed.is_empty() {
            let prefix = bad.prefix();
            let error = Diagnostic::new(format!("`{prefix}` without a file")).at(span);
            self.errors.push(error.help(format!("write a path after it, as in \"{prefix}lists/vpn.txt\"")));
            return None;
        }
        let path = self.sources.directory(span.file).join(typed);
        let key = (path, bad);
        if let Some(known) = self.lists.get(&key) {
            return known.clone();
        }
        let list = match read(self.files, &key.0, MAX_SIZE) {
            Ok(bytes) => Some(self.list(&key.0, &bytes, bad, span)),
            Err(unread) => {
                self.errors.push_with(|| unreadable(&key.0, typed, &unread).at(span));
                None
            }
        };
        self.lists.insert(key, list.clone());
        list
    }

    fn list(&mut self, path: &Path, bytes: &[u8], bad: BadLines, span: Span) -> AddressSet {
        let errors_before = self.errors.len();
        let mut tally = Tally::default();
        let lines = without_mark(bytes).split(|byte| *byte == b'\n').enumerate();
        let read = |(index, line): (usize, &[u8])| match lines::parse(line) {
            Ok(range) => {
                tally.good += usize::from(range.is_some());
                range
            }
            Err(fault) => {
                self.note(fault, bad, (path, index + 1, line), &mut tally);
                None
            }
        };
        let addresses: AddressSet = lines.filter_map(read).collect();
        self.judge(&tally, path, span);
        if addresses.is_empty() && tally.first.is_none() && self.errors.len() == errors_before {
            self.warnings.push_with(|| {
                Diagnostic::new(format!("{} holds no address", shown(path)))
                    .at(span)
                    .help("if it should hold some: write one address or network per line")
            });
        }
        addresses
    }

    fn note(
        &mut self,
        fault: BadLine,
        bad: BadLines,
        (path, number, line): (&Path, usize, &[u8]),
        tally: &mut Tally,
    ) {
        let sources = &mut *self.sources;
        match bad {
            BadLines::Refused => {
                self.errors.push_with(|| fault.diagnostic(path, number, line, sources));
            }
            BadLines::Skipped => {
                tally.skipped += 1;
                let first = || fault.diagnostic(path, number, line, sources);
                tally.first.get_or_insert_with(first);
            }
        }
    }

    /// Judges the lines that can't be read. A few of them are a warning. If most are bad, what was fetched is no list.
    fn judge(&mut self, tally: &Tally, path: &Path, span: Span) {
        let Some(first) = &tally.first else { return };
        let (skipped, all) = (tally.skipped, tally.skipped + tally.good);
        let said = |message: String, help: String| {
            let diagnostic = Diagnostic::new(message).at(first.span.unwrap_or(span)).help(help);
            diagnostic.note("the list is named here", span)
        };
        if skipped > tally.good {
            self.errors.push_with(|| {
                let message = format!(
                    "{} of {all} lines of {} can't be read: this is no list of addresses",
                    skipped,
                    shown(path)
                );
                said(
                    message,
                    "look what the file holds; what was fetched may be a page that says why there is no list"
                        .into(),
                )
            });
        } else {
            self.warnings.push_with(|| {
                let message =
                    format!("{skipped} of {all} lines of {} can't be read, and were skipped", shown(path));
                said(message, format!("the first of them: {}", first.message))
            });
        }
    }
}

/// The counts of a list's lines.
#[derive(Default)]
struct Tally {
    good: usize,
    skipped: usize,
    /// What is wrong with the first of those that were skipped.
    first: Option<Diagnostic>,
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn unreadable(path: &Path, typed: &str, unread: &Unread) -> Diagnostic {
    let help: &str = match unread {
        Unread::TooBig(_) => "split the list, or write networks instead of single addresses",
        Unread::Failed(_) if Path::new(typed).is_absolute() => "the file must be there and readable",
        Unread::Failed(_) => "paths start from the directory of the policy file that names them",
    };
    Diagnostic::new(unread.message(path)).help(help)
}
