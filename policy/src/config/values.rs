//! Values of a policy file by type. A value of another type is reported with what is wanted, and left out.

use std::ops::Range;

use toml::Spanned as TomlSpanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::keys::{BOOLEAN, Key, LIST, NUMBER, TABLE, TEXT};
use super::{List, repair};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Span, Spanned, quoted};
use crate::service::Service;

/// A value as the TOML parser gives it.
pub(super) type Value<'i> = TomlSpanned<DeValue<'i>>;

/// Reads values from one file, and notes what is wrong with them.
pub(super) struct Values<'a> {
    pub(super) file: FileId,
    pub(super) errors: &'a mut Diagnostics,
}

impl Values<'_> {
    /// Returns a place in the file.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, start: range.start, end: range.end }
    }

    fn spanned<T>(&self, value: T, range: Range<usize>) -> Spanned<T> {
        Spanned { value, span: self.span(range) }
    }

    /// Reads a string.
    pub(super) fn text(&mut self, key: &Key, value: &Value<'_>) -> Option<Spanned<String>> {
        match value.get_ref() {
            DeValue::String(text) => Some(self.spanned(text.clone().into_owned(), value.span())),
            _ => self.wrong_type(key, value),
        }
    }

    /// Reads a boolean.
    pub(super) fn boolean(&mut self, key: &Key, value: &Value<'_>) -> Option<Spanned<bool>> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(self.spanned(*boolean, value.span())),
            _ => self.wrong_type(key, value),
        }
    }

    /// Reads a whole number; one that is too big for any use becomes the biggest.
    pub(super) fn number(&mut self, key: &Key, value: &Value<'_>) -> Option<Spanned<i64>> {
        match value.get_ref() {
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX);
                Some(self.spanned(number, value.span()))
            }
            _ => self.wrong_type(key, value),
        }
    }

    /// Reads a table.
    pub(super) fn table<'v, 'i>(&mut self, key: &Key, value: &'v Value<'i>) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(key, value),
        }
    }

    /// Reads a list of strings. Entries of other types are reported one by one.
    pub(super) fn list(&mut self, key: &Key, value: &Value<'_>) -> Option<List> {
        let DeValue::Array(array) = value.get_ref() else { return self.wrong_type(key, value) };
        let mut list =
            List { span: self.span(value.span()), entries: Vec::new(), is_blank: array.is_empty() };
        for entry in array.iter() {
            match entry.get_ref() {
                DeValue::String(text) => {
                    list.entries.push(self.spanned(text.clone().into_owned(), entry.span()));
                }
                DeValue::Integer(number) if key.name() == "ports" && is_plain(number) => {
                    list.entries.push(self.spanned(number.as_str().into(), entry.span()));
                }
                _ => self.wrong_entry(key, entry),
            }
        }
        Some(list)
    }

    /// Notes that a value is of another type than its key wants. Returns nothing, so that the caller can return it.
    pub(super) fn wrong_type<T>(&mut self, key: &Key, value: &Value<'_>) -> Option<T> {
        let span = self.span(value.span());
        self.errors.push_with(|| {
            Diagnostic::new(format!("`{}` must be {}", key.path, key.wanted))
                .at(span)
                .label(format!("this is {}", type_name(value.get_ref())))
                .help(correction(key, value.get_ref()))
        });
        None
    }

    fn wrong_entry(&mut self, key: &Key, value: &Value<'_>) {
        let span = self.span(value.span());
        self.errors.push_with(|| {
            Diagnostic::new(format!("the entries of `{}` must be strings", key.path))
                .at(span)
                .label(format!("this is {}", type_name(value.get_ref())))
                .help(format!("write each in quotes, as in {}", key.example))
        });
    }
}

/// Returns whether a number was typed with digits only. Such a number in `ports` gets the advice for a port without its
/// protocol, which is better than the advice for a wrong type.
fn is_plain(number: &DeInteger<'_>) -> bool {
    number.radix() == 10 && number.as_str().bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the correct form of what was typed, if that is clear, or an example.
fn correction(key: &Key, value: &DeValue<'_>) -> String {
    let name = key.name();
    match (key.wanted, value) {
        (TABLE, DeValue::Array(array)) if array.iter().all(|entry| entry.get_ref().is_table()) => {
            format!("write [{name}] with single brackets")
        }
        (TABLE, _) => {
            let line = key.example.split_once('.').map_or(key.example, |(_, line)| line);
            format!("write {}, or below a line [{name}]: {line}", key.example)
        }
        (LIST, DeValue::String(text)) => {
            let entries: Vec<_> = text.split(',').map(|entry| text_of(entry.trim())).collect();
            format!("write it in brackets: {name} = [{}]", entries.join(", "))
        }
        (BOOLEAN | NUMBER, DeValue::String(text)) if repair::right_value(name, text).is_some() => {
            let right = repair::right_value(name, text).unwrap_or_default();
            format!("write it without quotes: {name} = {right}")
        }
        (TEXT, DeValue::Array(array))
            if array.len() == 1 && array.iter().all(|entry| entry.get_ref().is_str()) =>
        {
            let text = array.iter().find_map(|entry| entry.get_ref().as_str()).unwrap_or_default();
            format!("write it without brackets: {name} = {}", text_of(text))
        }
        _ if name == "allow" => {
            format!(
                "remove it, and write at the end of the file:\n[[allow]]\nname = \"web\"\nports = {}",
                ports(value)
            )
        }
        _ => format!("write {}", key.example),
    }
}

/// Returns the ports that somebody wrote where rules are wanted, or an example.
fn ports(value: &DeValue<'_>) -> String {
    let texts = match value {
        DeValue::String(text) => vec![text.as_ref()],
        DeValue::Array(array) => array.iter().filter_map(|entry| entry.get_ref().as_str()).collect(),
        _ => Vec::new(),
    };
    let services: Vec<_> =
        texts.into_iter().filter(|text| text.parse::<Service>().is_ok()).map(text_of).collect();
    if services.is_empty() { "[\"80/tcp\"]".into() } else { format!("[{}]", services.join(", ")) }
}

/// Returns a string in quotes.
fn text_of(text: &str) -> String {
    format!("\"{}\"", quoted(text).trim_matches('`'))
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
