//! What is wrong with the texts, what is not carried over, and where.

use std::fmt;
use std::rc::Rc;

use dockfw_policy::printable;

use crate::message::Message;

/// How many faults are kept, and how many notes; the rest are counted.
const MAX_KEPT: usize = 100;

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The text's name, which can be shown.
    pub(super) file: Rc<str>,
    /// The line, from 1; nothing for what no line says.
    pub(super) line: Option<usize>,
}

impl Place {
    /// A line, from 1.
    pub(super) fn new(file: &Rc<str>, line: usize) -> Self {
        Self { file: file.clone(), line: Some(line) }
    }

    /// No line: what the role does where no variable says otherwise.
    pub(super) fn default_of_role() -> Self {
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

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, place: &Place) -> Self {
        Self { value, place: place.clone() }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub(super) place: Place,
    /// What.
    pub(super) what: String,
    /// What would be right.
    pub(super) help: String,
}

impl Fault {
    /// A fault at a line.
    pub(super) fn new(place: &Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: place.clone(), what: what.into(), help: help.into() }
    }
}

impl Fault {
    /// What the operator is told.
    fn message(&self) -> Message {
        Message::new(format!("{}: {}", self.place, self.what)).help(&self.help)
    }
}

/// All of it, as it is found.
#[derive(Debug)]
pub(crate) struct Findings {
    lenient: bool,
    /// Whether some of what is wrong would only be left out with `--lenient`.
    pub(crate) lenience_helps: bool,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// How many faults were only counted.
    pub(crate) omitted: usize,
    notes: Vec<String>,
    omitted_notes: usize,
}

impl Findings {
    /// Nothing yet. With `lenient`, lines that can't be read are left out.
    pub(super) fn new(lenient: bool) -> Self {
        Self { lenient, lenience_helps: false, faults: vec![], omitted: 0, notes: vec![], omitted_notes: 0 }
    }

    /// A line that can't be read: what it was to let in is not let in.
    pub(super) fn unreadable(&mut self, fault: Fault) {
        if self.lenient {
            self.note(format!("left out {}: {}", fault.place, fault.what));
        } else {
            self.lenience_helps = true;
            self.refuse(fault);
        }
    }

    /// Something without which the policy would let in what the old rules dropped, or would mean nothing.
    pub(super) fn refuse(&mut self, fault: Fault) {
        if self.faults.len() < MAX_KEPT {
            self.faults.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// Something that is not carried over, or that the operator should know.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MAX_KEPT {
            self.notes.push(note);
        } else {
            self.omitted_notes += 1;
        }
    }

    /// What is wrong, as the operator is told.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message> {
        let rest =
            (self.omitted > 0).then(|| Message::new(format!("{} more mistakes are not shown", self.omitted)));
        self.faults.iter().map(Fault::message).chain(rest)
    }

    /// The notes.
    pub(super) fn into_notes(self) -> Vec<String> {
        let rest =
            (self.omitted_notes > 0).then(|| format!("{} more notes are not shown", self.omitted_notes));
        self.notes.into_iter().chain(rest).collect()
    }
}

/// A text as it was typed, in quotes, short and printable.
pub(super) fn quoted(text: &str) -> String {
    /// More than the longest address, and less than a line of a terminal.
    const ROOM: usize = 60;
    let shown = printable(text);
    match shown.char_indices().nth(ROOM) {
        Some((end, _)) => format!("\"{}...\"", shown.get(..end).unwrap_or_default()),
        None => format!("\"{shown}\""),
    }
}
