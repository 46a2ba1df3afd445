//! `[interfaces]`: which are filtered, which are let through, which are Docker's, and which lead to other networks of this host.

use super::{Resolver, advice};
use crate::config::List;
use crate::diagnostic::{Diagnostic, Span, Spanned, quoted};
use crate::interface::IfPattern;
use crate::policy::Interfaces;

/// A class of interfaces.
struct Class {
    key: &'static str,
    /// Where the list is, if it was typed.
    list: Option<Span>,
    patterns: Vec<Spanned<IfPattern>>,
}

impl Class {
    fn into_patterns(self) -> Vec<IfPattern> {
        self.patterns.into_iter().map(|pattern| pattern.value).collect()
    }
}

impl Resolver<'_> {
    pub(super) fn interfaces(&mut self) -> Interfaces {
        let config = &self.config.interfaces;
        let docker = self.class("docker", config.docker.as_ref());
        let exempt = self.class("exempt", config.exempt.as_ref());
        let inside = self.class("inside", config.inside.as_ref());
        let crossing = self.class("crossing", config.crossing.as_ref());
        let filtered = self.class("filtered", config.filtered.as_ref());
        self.refuse_no_filter(config.filtered.as_ref());
        // In this order an interface is looked for in the classes.
        let classes = [&docker, &exempt, &inside, &crossing, &filtered];
        for (index, first) in classes.iter().enumerate() {
            if index + 1 < classes.len() {
                self.refuse_any(first);
            }
            classes.iter().skip(index + 1).for_each(|second| self.compare(first, second));
        }
        Interfaces {
            filtered: or_default(filtered, &["*"]),
            exempt: or_default(exempt, &[]),
            docker: or_default(docker, &["docker0", "docker_gwbridge", "br-*"]),
            inside: or_default(inside, &[]),
            crossing: or_default(crossing, &[]),
        }
    }

    fn class(&mut self, key: &'static str, list: Option<&List>) -> Class {
        let mut patterns: Vec<Spanned<IfPattern>> = Vec::new();
        for entry in list.iter().flat_map(|list| &list.entries) {
            match entry.value.parse() {
                Ok(value) if patterns.iter().any(|known| known.value == value) => {}
                Ok(value) => patterns.push(Spanned { value, span: entry.span }),
                Err(error) => self.errors.push_with(|| {
                    let message = format!("{}: {error}", quoted(&entry.value));
                    Diagnostic::new(message).at(entry.span).help(advice::interface(&entry.value, error))
                }),
            }
        }
        Class { key, list: list.map(|list| list.span), patterns }
    }

    /// Only `filtered` can hold every interface: the others come before it and would leave it none.
    fn refuse_any(&mut self, class: &Class) {
        for pattern in class.patterns.iter().filter(|pattern| pattern.value.is_any()) {
            self.errors.push_with(|| {
                Diagnostic::new(format!("with `*` in `{}`, no interface would be filtered", class.key))
                    .at(pattern.span)
                    .help("write the names of interfaces, or the start of names, as in \"wg*\"")
            });
        }
    }

    fn refuse_no_filter(&mut self, filtered: Option<&List>) {
        if let Some(list) = filtered.filter(|list| list.is_blank) {
            self.errors.push_with(|| {
                Diagnostic::new("with an empty `filtered`, no interface would be filtered")
                    .at(list.span)
                    .help("take the line out to filter every interface, or name some: filtered = [\"eth0\"]")
            });
        }
    }

    /// An interface is of the first class that fits: what stands in two is a mistake, and what the first class
    /// leaves nothing to is probably one.
    fn compare(&mut self, first: &Class, second: &Class) {
        for pattern in &second.patterns {
            let same =
                first.patterns.iter().find(|other| other.value == pattern.value && !other.value.is_any());
            let covering = first.patterns.iter().find(|other| covers(&other.value, &pattern.value));
            if let Some(same) = same {
                self.errors.push_with(|| twice(pattern, second, first).note("and here", same.span));
            } else if let Some(covering) = covering.filter(|covering| !covering.value.is_any()) {
                self.warnings.push_with(|| unreached(pattern, second, covering, first));
            }
        }
    }
}

fn twice(pattern: &Spanned<IfPattern>, second: &Class, first: &Class) -> Diagnostic {
    let message = format!("`{}` is in `{}` and in `{}`", pattern.value, second.key, first.key);
    Diagnostic::new(message).at(pattern.span).help("take it out of one of the two")
}

fn unreached(
    pattern: &Spanned<IfPattern>,
    second: &Class,
    covering: &Spanned<IfPattern>,
    first: &Class,
) -> Diagnostic {
    let message = format!("`{}` in `{}` is never reached", pattern.value, second.key);
    let help = format!("`{}` comes first: name it more narrowly to leave something", first.key);
    Diagnostic::new(message).at(pattern.span).help(help).note("this takes it", covering.span)
}

/// Whether every name that fits `narrow` fits `wide`.
fn covers(wide: &IfPattern, narrow: &IfPattern) -> bool {
    match (wide, narrow) {
        (wide, IfPattern::Name(name)) => wide.matches(name),
        (IfPattern::Prefix(wide), IfPattern::Prefix(narrow)) => narrow.starts_with(wide.as_str()),
        (IfPattern::Name(_), IfPattern::Prefix(_)) => false,
    }
}

/// The patterns of a class, or those that it has where it was not typed.
fn or_default(class: Class, default: &[&str]) -> Vec<IfPattern> {
    match class.list {
        Some(_) => class.into_patterns(),
        None => default.iter().filter_map(|pattern| pattern.parse().ok()).collect(),
    }
}
