//! Reads the tables of one policy file into a [`Config`] that may already hold those of other files.

use toml::Spanned as TomlSpanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{self, ALLOW, ENGINE, GROUP, ICMP, INTERFACES, Key, LOG, SWARM, TOP, Table};
use super::syntax::single_allow;
use super::values::{Value, Values};
use super::{Allow, Config, Group, List};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, Spanned, quoted};
use crate::suggest::alternatives;

/// A key as the TOML parser gives it.
type TypedKey<'i> = TomlSpanned<DeString<'i>>;

/// Reads one file.
pub(super) struct Reader<'a> {
    pub(super) values: Values<'a>,
    pub(super) config: &'a mut Config,
}

impl Reader<'_> {
    /// Reads a whole file.
    pub(super) fn read(&mut self, file: &DeTable<'_>) {
        let unknown = self.each(file, &TOP, Self::top);
        self.config.is_incomplete |= !unknown.is_empty();
    }

    /// Passes each key that `table` knows to `read`, and reports the others. Returns what the others were probably meant to
    /// be.
    fn each<'v, 'i>(
        &mut self,
        typed: &'v DeTable<'i>,
        table: &'static Table,
        mut read: impl FnMut(&mut Self, &'static Key, &'v Value<'i>),
    ) -> Vec<Option<&'static str>> {
        let mut unknown = Vec::new();
        for (name, value) in typed.iter() {
            self.config.is_typed |= !value.get_ref().is_table();
            match table.find(name.get_ref()) {
                Some(key) => read(self, key, value),
                None if is_table(value) && table.is_top() => {
                    self.unknown_table(name, table);
                    unknown.push(None);
                }
                None => unknown.push(self.unknown_key(name, typed, table)),
            }
        }
        unknown
    }

    fn unknown_key(
        &mut self,
        name: &TypedKey<'_>,
        typed: &DeTable<'_>,
        table: &'static Table,
    ) -> Option<&'static str> {
        let span = self.values.span(name.span());
        let meant = table.closest(name.get_ref());
        self.values.errors.push_with(|| {
            let other = || misplaced(name.get_ref(), typed, table);
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => other().unwrap_or_else(|| {
                    format!("remove it; the keys of {} are {}", table.what, alternatives(&table.names()))
                }),
            };
            let message = format!("unknown key {}", quoted(name.get_ref()));
            Diagnostic::new(message).at(span).label(format!("no key of {}", table.what)).help(help)
        });
        meant
    }

    fn unknown_table(&mut self, name: &TypedKey<'_>, table: &'static Table) {
        let span = self.values.span(name.span());
        self.values.errors.push_with(|| {
            let of_another =
                || keys::any(name.get_ref()).filter(|key| key.table().is_some()).map(|key| key.path);
            let meant = table.closest(name.get_ref()).or_else(of_another);
            let help = meant.map_or_else(
                || format!("remove it with its lines; the tables of a policy: {}", keys::headers()),
                |meant| format!("did you mean `{meant}`?"),
            );
            let message = format!("{} has no table {}", table.what, quoted(name.get_ref()));
            Diagnostic::new(message).at(span).label("unknown table").help(help)
        });
    }

    fn top(&mut self, key: &'static Key, value: &Value<'_>) {
        match key.name() {
            "trusted" => add(&mut self.config.trusted, self.values.list(key, value)),
            "blocked" => add(&mut self.config.blocked, self.values.list(key, value)),
            "groups" => self.groups(key, value),
            "allow" => self.allows(key, value),
            "interfaces" => self.table(key, value, &INTERFACES, Self::interfaces),
            "icmp" => self.table(key, value, &ICMP, Self::icmp),
            "swarm" => self.table(key, value, &SWARM, Self::swarm),
            "log" => self.table(key, value, &LOG, Self::log),
            "engine" => self.table(key, value, &ENGINE, Self::engine),
            _ => self.forgotten(key, value),
        }
    }

    /// Refuses a key that is listed, but that no code reads: to ignore what was typed is worse.
    fn forgotten(&mut self, key: &'static Key, value: &Value<'_>) {
        let span = self.values.span(value.span());
        self.values.errors.push(Diagnostic::new(format!("dockfw can't read `{}` yet", key.path)).at(span));
    }

    fn table<'v, 'i>(
        &mut self,
        key: &Key,
        value: &'v Value<'i>,
        table: &'static Table,
        read: impl FnMut(&mut Self, &'static Key, &'v Value<'i>),
    ) {
        if let Some(typed) = self.values.table(key, value) {
            self.each(typed, table, read);
        }
    }

    fn interfaces(&mut self, key: &'static Key, value: &Value<'_>) {
        let interfaces = &mut self.config.interfaces;
        match key.name() {
            "filtered" => add(&mut interfaces.filtered, self.values.list(key, value)),
            "exempt" => add(&mut interfaces.exempt, self.values.list(key, value)),
            "docker" => add(&mut interfaces.docker, self.values.list(key, value)),
            "inside" => add(&mut interfaces.inside, self.values.list(key, value)),
            "crossing" => add(&mut interfaces.crossing, self.values.list(key, value)),
            _ => self.forgotten(key, value),
        }
    }

    fn icmp(&mut self, key: &'static Key, value: &Value<'_>) {
        match key.name() {
            "echo" => {
                let echo = self.values.text(key, value);
                set(&mut self.config.icmp.echo, key, echo, self.values.errors);
            }
            _ => self.forgotten(key, value),
        }
    }

    fn swarm(&mut self, key: &'static Key, value: &Value<'_>) {
        match key.name() {
            "peers" => add(&mut self.config.swarm.peers, self.values.list(key, value)),
            "data_path_port" => {
                let port = self.values.number(key, value);
                set(&mut self.config.swarm.data_path_port, key, port, self.values.errors);
            }
            _ => self.forgotten(key, value),
        }
    }

    fn log(&mut self, key: &'static Key, value: &Value<'_>) {
        match key.name() {
            "drops" => {
                let drops = self.values.boolean(key, value);
                set(&mut self.config.log.drops, key, drops, self.values.errors);
            }
            "rate" => {
                let rate = self.values.text(key, value);
                set(&mut self.config.log.rate, key, rate, self.values.errors);
            }
            _ => self.forgotten(key, value),
        }
    }

    fn engine(&mut self, key: &'static Key, value: &Value<'_>) {
        match key.name() {
            "backend" => {
                let backend = self.values.text(key, value);
                set(&mut self.config.engine.backend, key, backend, self.values.errors);
            }
            "prefilter" => {
                let prefilter = self.values.boolean(key, value);
                set(&mut self.config.engine.prefilter, key, prefilter, self.values.errors);
            }
            _ => self.forgotten(key, value),
        }
    }

    fn groups(&mut self, key: &Key, value: &Value<'_>) {
        let Some(typed) = self.values.table(key, value) else {
            self.config.is_incomplete = true;
            return;
        };
        for (name, value) in typed.iter() {
            self.config.is_typed = true;
            let span = self.values.span(name.span());
            let group = Group { span, entries: self.values.list(&GROUP, value) };
            self.group(name.get_ref(), group);
        }
    }

    fn group(&mut self, name: &str, group: Group) {
        match self.config.groups.get(name) {
            Some(first) => self.values.errors.push_with(|| {
                Diagnostic::new(format!("the group {} is defined twice", quoted(name)))
                    .at(group.span)
                    .help(format!(
                        "move its addresses to the other place, or give it another name, as in \"{}-2\"",
                        quoted(name).trim_matches('`')
                    ))
                    .note("the other is here", first.span)
            }),
            None => _ = self.config.groups.insert(name.into(), group),
        }
    }

    fn allows(&mut self, key: &Key, value: &Value<'_>) {
        let array = match value.get_ref() {
            DeValue::Array(array) => array,
            DeValue::Table(_) => {
                return self.values.errors.push(single_allow(self.values.span(value.span()), &[]));
            }
            _ => {
                self.values.wrong_type::<()>(key, value);
                return;
            }
        };
        for entry in array.iter() {
            match entry.get_ref() {
                DeValue::Table(table) => self.allow(table, self.values.span(entry.span())),
                _ => _ = self.values.wrong_type::<()>(key, entry),
            }
        }
    }

    fn allow(&mut self, typed: &DeTable<'_>, span: Span) {
        let mut allow =
            Allow { span, name: None, from: None, incoming: None, ports: None, to: None, only: None };
        let unknown = self.each(typed, &ALLOW, |reader, key, value| match key.name() {
            "name" => allow.name = reader.values.text(key, value),
            "from" => allow.from = reader.values.list(key, value),
            "in" => allow.incoming = reader.values.list(key, value),
            "ports" => allow.ports = reader.values.list(key, value),
            "to" => allow.to = reader.values.text(key, value),
            "only" => allow.only = reader.values.boolean(key, value),
            _ => reader.forgotten(key, value),
        });
        let name = format!("name = \"rule-{}\"", self.config.allow.len() + 1);
        for (key, example) in [("name", name.as_str()), ("ports", "ports = [\"443/tcp\"]")] {
            let is_there = typed.keys().any(|typed| typed.get_ref() == key);
            if !is_there && !unknown.contains(&Some(key)) {
                self.missing(key, example, span);
            }
        }
        self.config.allow.push(allow);
    }

    fn missing(&mut self, name: &str, example: &str, span: Span) {
        let diagnostic = Diagnostic::new(format!("this [[allow]] has no `{name}`")).at(span);
        self.values.errors.push(diagnostic.help(format!("add a line as {example}")));
    }
}

/// Returns whether a value is what a header begins, with brackets of either kind.
fn is_table(value: &Value<'_>) -> bool {
    match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(array) => array.iter().next().is_some_and(|first| first.get_ref().is_table()),
        _ => false,
    }
}

/// Returns where a key belongs that `table` does not have, if another one has it. Below the header of a table, keys are that
/// table's, up to the next header: so are lines that somebody adds at the end of a file.
fn misplaced(name: &str, typed: &DeTable<'_>, table: &Table) -> Option<String> {
    let is_top = table.is_top();
    let key = if is_top { keys::any(name) } else { keys::top(name).or_else(|| keys::any(name)) }?;
    match key.table() {
        Some(owner) if is_top && !typed.contains_key(owner) => Some(format!("did you mean `{}`?", key.path)),
        Some(owner) if is_top => Some(format!("move it below [{owner}]")),
        Some(owner) => Some(format!("move it below [{owner}], or write [{owner}] on the line above it")),
        None if keys::top(name).is_some() => Some("move it above the first [...] of the file".into()),
        None => None,
    }
}

/// Adds a list to those of other files.
fn add(slot: &mut Option<List>, list: Option<List>) {
    match (slot, list) {
        (_, None) => {}
        (Some(first), Some(list)) => {
            first.is_blank &= list.is_blank;
            first.entries.extend(list.entries);
        }
        (slot, list) => *slot = list,
    }
}

/// Sets a scalar, or reports that another file set it before.
fn set<T>(slot: &mut Option<Spanned<T>>, key: &Key, value: Option<Spanned<T>>, errors: &mut Diagnostics) {
    match (&slot, value) {
        (_, None) => {}
        (Some(first), Some(value)) => errors.push_with(|| {
            Diagnostic::new(format!("`{}` is set twice", key.path))
                .at(value.span)
                .help("remove one of the two; it can have one value only")
                .note("it is set here first", first.span)
        }),
        (None, value) => *slot = value,
    }
}
