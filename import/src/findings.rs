//! What is wrong with the files, what is not carried over, and where.

use std::fmt;
use std::rc::Rc;

use dockfw_policy::printable;

/// How many faults are kept, and how many notes; the rest are counted.
const MAX_KEPT: usize = 100;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name, safe to show.
    pub(crate) file: Rc<str>,
    /// The line, from 1; nothing for a default.
    pub(crate) line: Option<usize>,
}

impl Place {
    /// Returns a line, from 1.
    pub(crate) fn new(file: &Rc<str>, line: usize) -> Self {
        Self { file: file.clone(), line: Some(line) }
    }

    /// Returns no line: the role's default if no variable is set.
    pub(crate) fn default_of_role() -> Self {
        Self { file: "default of the role".into(), line: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// A value, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> Placed<T> {
    pub(crate) fn new(value: T, place: &Place) -> Self {
        Self { value, place: place.clone() }
    }
}

/// An error in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub help: String,
}

impl Fault {
    /// Returns a fault at a line.
    pub(crate) fn new(place: &Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: place.clone(), what: what.into(), help: help.into() }
    }
}

/// All of it, as it is found.
#[derive(Debug)]
pub struct Findings {
    lenient: bool,
    /// Whether `--lenient` would leave out some of what is wrong.
    pub lenience_helps: bool,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// How many faults were only counted.
    pub omitted: usize,
    notes: Vec<String>,
    omitted_notes: usize,
}

impl Findings {
    /// Returns no findings yet. With `lenient`, lines that can't be read are left out.
    pub(crate) fn new(lenient: bool) -> Self {
        Self { lenient, lenience_helps: false, faults: vec![], omitted: 0, notes: vec![], omitted_notes: 0 }
    }

    /// Reports a line that can't be read: what it was meant to let in is not let in.
    pub(crate) fn unreadable(&mut self, fault: Fault) {
        if self.lenient {
            self.note(format!("left out {}: {}", fault.place, fault.what));
        } else {
            self.lenience_helps = true;
            self.refuse(fault);
        }
    }

    /// Reports a fault without which the policy would let in what the old rules dropped, or would mean nothing.
    pub(crate) fn refuse(&mut self, fault: Fault) {
        if self.faults.len() < MAX_KEPT {
            self.faults.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// Notes something that is not carried over, or that the operator should know.
    pub(crate) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_KEPT {
            self.notes.push(note);
        } else {
            self.omitted_notes += 1;
        }
    }

    /// Returns the notes.
    pub(crate) fn into_notes(self) -> Vec<String> {
        let rest =
            (self.omitted_notes > 0).then(|| format!("{} more notes are not shown", self.omitted_notes));
        self.notes.into_iter().chain(rest).collect()
    }
}

/// Returns a string as it was typed, in quotes, short and printable.
pub(crate) fn quoted(text: &str) -> String {
    /// More than the longest address, and less than a line of a terminal.
    const ROOM: usize = 60;
    let shown = printable(text);
    match shown.char_indices().nth(ROOM) {
        Some((end, _)) => format!("\"{}...\"", shown.get(..end).unwrap_or_default()),
        None => format!("\"{shown}\""),
    }
}
