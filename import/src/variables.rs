//! Variables of Ansible: the role's, wherever they are in a YAML file.
//!
//! The file is read as a stream of events: nothing is built that the file could make bigger than itself, and every
//! value has its line. Ansible's templates can't be evaluated here.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, Span};

use super::Input;
use super::findings::{Fault, Findings, Place, Placed};
use super::kind::PREFIX;
use super::lines::{shown_name, without_mark};

/// The role's variables in one file, by their names without the common prefix. Of one that is set twice, the last
/// counts, as with Ansible.
#[derive(Debug, Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, Variable>);

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Where it is set.
    pub(crate) place: Place,
    /// Its values: those of a list, or its only one.
    pub(crate) values: Vec<Placed<String>>,
    /// Whether something in it is neither a string nor a list of strings.
    pub(crate) is_odd: bool,
}

impl Variable {
    /// Returns the template that it is, or that is among its values, if there is one.
    pub(crate) fn template(&self) -> Option<&Placed<String>> {
        self.values.iter().find(|value| value.value.contains("{{") || value.value.contains("{%"))
    }
}

/// The reader's position in the structure of the file.
enum Level {
    /// In a list.
    Sequence,
    /// In a mapping, before a key, or after the key of this name.
    Mapping(Option<String>),
}

/// Reads a file. Nothing, and a fault, if it is not YAML.
pub(crate) fn read(input: &Input, findings: &mut Findings) -> Option<Variables> {
    let file = shown_name(input);
    let place = |line: usize| Place::new(&file, line);
    let Ok(text) = std::str::from_utf8(without_mark(&input.bytes)) else {
        findings.refuse(Fault::new(&place(1), "the file is not UTF-8", "save it as UTF-8"));
        return None;
    };
    let mut reading = Reading { place: &place, levels: vec![], current: None, found: Variables::default() };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => reading.take(event, span),
            Err(error) => {
                let what = format!("this is not YAML: {}", error.info());
                findings.refuse(Fault::new(
                    &place(error.marker().line()),
                    what,
                    "correct it as Ansible would need it",
                ));
                return None;
            }
        }
    }
    Some(reading.found)
}

struct Reading<'a> {
    place: &'a dyn Fn(usize) -> Place,
    levels: Vec<Level>,
    /// The variable whose value is being read: its name, and its level.
    current: Option<(String, usize, Variable)>,
    found: Variables,
}

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let place = (self.place)(span.start.line());
        match event {
            Event::Scalar(text, ..) => self.scalar(text.into_owned(), &place),
            Event::Alias(_) => {
                self.odd();
                self.value_ends();
            }
            Event::SequenceStart(..) => self.begin(Level::Sequence),
            Event::MappingStart(..) => {
                self.odd();
                self.begin(Level::Mapping(None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.levels.pop();
                self.value_ends();
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }

    fn begin(&mut self, level: Level) {
        // A list in a list of a variable, or a key that is a list.
        let depth = self.levels.len();
        if self.current.as_ref().is_some_and(|(_, at, _)| depth > *at) {
            self.odd();
        }
        self.levels.push(level);
    }

    fn scalar(&mut self, text: String, place: &Place) {
        if let Some(Level::Mapping(key @ None)) = self.levels.last_mut() {
            *key = Some(text.clone());
            if self.current.is_none()
                && let Some(name) = text.strip_prefix(PREFIX)
            {
                let variable = Variable { place: place.clone(), values: vec![], is_odd: false };
                self.current = Some((name.into(), self.levels.len(), variable));
            }
            return;
        }
        if let Some((_, _, variable)) = &mut self.current {
            variable.values.push(Placed::new(text, place));
        }
        self.value_ends();
    }

    fn odd(&mut self) {
        if let Some((_, _, variable)) = &mut self.current {
            variable.is_odd = true;
        }
    }

    /// Ends a value: that of a key, if the level is a mapping.
    fn value_ends(&mut self) {
        let depth = self.levels.len();
        match self.levels.last_mut() {
            Some(Level::Mapping(key @ Some(_))) => *key = None,
            // A key that is not a string still has a value to come.
            Some(Level::Mapping(key @ None)) => *key = Some(String::new()),
            _ => {}
        }
        if let Some((name, _, variable)) = self.current.take_if(|(_, at, _)| *at == depth) {
            self.found.0.insert(name, variable);
        }
    }
}
