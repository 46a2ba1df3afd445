//! `[interfaces]`: which are filtered, which are let through, which are Docker's, and which lead to other networks of this host.

use super::{Resolver, Strictness, advice};
use crate::config::List;
use crate::diagnostic::{Diagnostic, Span, Spanned, quoted};
use crate::interface::IfPattern;
use crate::policy::Interfaces;

/// The class of interfaces that are none of the others.
const FILTERED: &str = "filtered";
const INSIDE: &str = "inside";
const CROSSING: &str = "crossing";

/// A class of interfaces.
struct Class {
    key: &'static str,
    patterns: Vec<Pattern>,
}

/// A pattern of a class.
struct Pattern {
    value: IfPattern,
    /// Where it was typed; nothing if it is the class's default.
    span: Option<Span>,
}

impl Class {
    fn into_patterns(self) -> Vec<IfPattern> {
        self.patterns.into_iter().map(|pattern| pattern.value).collect()
    }

    fn typed(&self) -> impl Iterator<Item = Spanned<&IfPattern>> {
        self.patterns
            .iter()
            .filter_map(|pattern| Some(Spanned { value: &pattern.value, span: pattern.span? }))
    }
}

impl Resolver<'_> {
    pub(super) fn interfaces(&mut self) -> Interfaces {
        let config = &self.config.interfaces;
        let docker = self.class("docker", config.docker.as_ref(), &["docker0", "docker_gwbridge", "br-*"]);
        let exempt = self.class("exempt", config.exempt.as_ref(), &[]);
        let inside = self.class(INSIDE, config.inside.as_ref(), &[]);
        let crossing = self.class(CROSSING, config.crossing.as_ref(), &[]);
        let filtered = self.class(FILTERED, config.filtered.as_ref(), &["*"]);
        self.refuse_no_filter(config.filtered.as_ref());
        // The order in which an interface is looked up in the classes.
        let classes = [&docker, &exempt, &inside, &crossing, &filtered];
        for (index, first) in classes.iter().enumerate() {
            if index + 1 < classes.len() {
                self.refuse_any(first);
            }
            classes.iter().skip(index + 1).for_each(|second| self.compare(first, second));
        }
        Interfaces {
            filtered: filtered.into_patterns(),
            exempt: exempt.into_patterns(),
            docker: docker.into_patterns(),
            inside: inside.into_patterns(),
            crossing: crossing.into_patterns(),
        }
    }

    fn class(&mut self, key: &'static str, list: Option<&List>, default: &[&str]) -> Class {
        let Some(list) = list else {
            let patterns = default.iter().filter_map(|pattern| pattern.parse().ok());
            return Class { key, patterns: patterns.map(|value| Pattern { value, span: None }).collect() };
        };
        let patterns = self.patterns(list).into_iter();
        let patterns = patterns.map(|pattern| Pattern { value: pattern.value, span: Some(pattern.span) });
        Class { key, patterns: patterns.collect() }
    }

    /// Returns the patterns of a list, each once.
    pub(super) fn patterns(&mut self, list: &List) -> Vec<Spanned<IfPattern>> {
        let mut patterns: Vec<Spanned<IfPattern>> = Vec::new();
        for entry in &list.entries {
            match entry.value.parse() {
                Ok(value) if patterns.iter().any(|known| known.value == value) => {}
                Ok(value) => patterns.push(Spanned { value, span: entry.span }),
                Err(error) => self.errors.push_with(|| {
                    let message = format!("{}: {error}", quoted(&entry.value));
                    Diagnostic::new(message).at(entry.span).help(advice::interface(&entry.value, error))
                }),
            }
        }
        patterns
    }

    /// Refuses `*` in all classes but `filtered`: the others come before it and would leave it none.
    fn refuse_any(&mut self, class: &Class) {
        for pattern in class.typed().filter(|pattern| pattern.value.is_any()) {
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
                    .help("remove the line to filter every interface, or list some: filtered = [\"eth0\"]")
            });
        }
    }

    /// Compares two classes. An interface is of the first class that matches it. A pattern that is in two classes is a
    /// mistake. So probably is a pattern that the first class leaves nothing to. If a class has rules of its own, its
    /// patterns may match nothing of another class: its rules would hold for that too.
    fn compare(&mut self, first: &Class, second: &Class) {
        for pattern in second.typed().filter(|pattern| !pattern.value.is_any()) {
            let mut others = first.patterns.iter().filter(|other| !other.value.is_any());
            let Some(other) = others.find(|other| meet(&other.value, pattern.value)) else { continue };
            if other.value == *pattern.value {
                self.errors.push_with(|| noted(twice(&pattern, second, first), "and here", other));
            } else if other.value.covers(pattern.value) {
                let diagnostic = || noted(unreached(&pattern, second, first), "this matches it first", other);
                match second.key {
                    INSIDE | CROSSING => self.errors.push_with(diagnostic),
                    _ => self.warnings.push_with(diagnostic),
                }
            } else if second.key != FILTERED {
                let diagnostic = || noted(takes_in(&pattern, second, other, first), "of this class", other);
                match self.strictness {
                    Strictness::Strict | Strictness::Forced => self.errors.push_with(diagnostic),
                    // A policy that was confirmed is put in force even if it would be refused by now.
                    Strictness::Confirmed => self.warnings.push_with(diagnostic),
                }
            }
        }
    }
}

/// Returns whether some name matches both.
fn meet(one: &IfPattern, other: &IfPattern) -> bool {
    one.covers(other) || other.covers(one)
}

fn noted(diagnostic: Diagnostic, note: &str, pattern: &Pattern) -> Diagnostic {
    match pattern.span {
        Some(span) => diagnostic.note(note, span),
        None => diagnostic,
    }
}

fn twice(pattern: &Spanned<&IfPattern>, second: &Class, first: &Class) -> Diagnostic {
    let message = format!("`{}` is in `{}` and in `{}`", pattern.value, second.key, first.key);
    Diagnostic::new(message).at(pattern.span).help("remove it from one of the two")
}

fn takes_in(pattern: &Spanned<&IfPattern>, second: &Class, other: &Pattern, first: &Class) -> Diagnostic {
    let message = format!(
        "`{}` in `{}` also matches `{}`, which is in `{}`",
        pattern.value, second.key, other.value, first.key
    );
    let help = "remove it, or list the interfaces by name: an interface has one class";
    Diagnostic::new(message).at(pattern.span).help(help)
}

fn unreached(pattern: &Spanned<&IfPattern>, second: &Class, first: &Class) -> Diagnostic {
    let message = format!("`{}` in `{}` is never reached", pattern.value, second.key);
    let help = format!("remove it, or use a narrower pattern in `{0}`: `{0}` comes first", first.key);
    Diagnostic::new(message).at(pattern.span).help(help)
}
