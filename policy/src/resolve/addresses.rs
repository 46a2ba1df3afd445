//! Lists of addresses: single ones, networks, ranges, groups, files and `"containers"`.

use std::rc::Rc;

use super::{Resolver, advice};
use crate::address::{AddressError, AddressRange, AddressSet};
use crate::config::List;
use crate::diagnostic::{Diagnostic, Span, Spanned, quoted};
use crate::suggest::closest;

/// How an entry starts that names a file.
pub(super) const FILE: &str = "file:";
/// The name that is built in for what comes in by Docker's bridges.
pub(super) const CONTAINERS: &str = "containers";

/// Where a list stands, for what is said of it, and whether it may name the containers.
#[derive(Clone, Copy)]
pub(super) struct Use {
    pub(super) key: &'static str,
    pub(super) takes_containers: bool,
}

/// What a list names. Of groups only the names: their addresses are gathered where they are used.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub(super) ranges: Vec<AddressRange>,
    pub(super) files: Vec<Rc<AddressSet>>,
    pub(super) groups: Vec<(&'a str, Span)>,
    pub(super) containers: bool,
    /// Whether some entry was in error.
    pub(super) is_broken: bool,
}

impl<'a> Resolver<'a> {
    /// What a list names; what is wrong in it is reported.
    pub(super) fn members(&mut self, list: &'a List, place: Use) -> Members<'a> {
        let mut members = Members::default();
        for entry in &list.entries {
            self.member(entry, place, &mut members);
        }
        members
    }

    fn member(&mut self, entry: &'a Spanned<String>, place: Use, members: &mut Members<'a>) {
        let text = entry.value.as_str();
        if let Some(path) = text.strip_prefix(FILE) {
            match self.list_file(path, entry.span) {
                Some(addresses) => members.files.push(addresses),
                None => members.is_broken = true,
            }
        } else if text == CONTAINERS {
            members.containers = place.takes_containers;
            members.is_broken |= !place.takes_containers;
            self.refuse_containers(entry.span, place);
        } else if self.config.groups.contains_key(text) {
            members.groups.push((text, entry.span));
        } else {
            self.range(entry, members);
        }
    }

    fn refuse_containers(&mut self, span: Span, place: Use) {
        if !place.takes_containers {
            self.errors.push_with(|| {
                Diagnostic::new(format!("`containers` can't stand in `{}`", place.key))
                    .at(span)
                    .help(r#"only an [[allow]] can have it: from = ["containers"]"#)
            });
        }
    }

    fn range(&mut self, entry: &Spanned<String>, members: &mut Members<'_>) {
        match entry.value.parse() {
            Ok(range) => return members.ranges.push(range),
            Err(AddressError::Unreadable) if may_be_name(&entry.value) => self.unknown_group(entry),
            Err(error) => self.errors.push_with(|| {
                let message = format!("{}: {error}", quoted(&entry.value));
                Diagnostic::new(message).at(entry.span).help(advice::address(&entry.value, &error))
            }),
        }
        members.is_broken = true;
    }

    fn unknown_group(&mut self, entry: &Spanned<String>) {
        let groups = &self.config.groups;
        self.missing(|| {
            let help = match closest(&entry.value, groups.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if entry.value.contains('.') => "host names are not looked up; write addresses".into(),
                None => format!("write an address, or add it to [groups]: {} = [...]", short(&entry.value)),
            };
            Diagnostic::new(format!("no group is called {}", quoted(&entry.value))).at(entry.span).help(help)
        });
    }

    /// The addresses of all that is named, groups included.
    pub(super) fn gather(&self, members: &Members<'a>) -> AddressSet {
        let reached = self.reachable(members);
        let all: Vec<&Members<'a>> = std::iter::once(members).chain(reached).collect();
        if let Some(only) = only_file(&all) {
            return only.clone();
        }
        let typed = all.iter().flat_map(|members| members.ranges.iter().copied());
        let read = all.iter().flat_map(|members| &members.files).flat_map(|file| file.ranges());
        typed.chain(read).collect()
    }

    /// Refuses a list that holds all addresses of a family, and says which of its entries does that.
    pub(super) fn refuse_everyone(
        &mut self,
        list: &'a List,
        key: &str,
        advice: &str,
        addresses: &AddressSet,
    ) {
        let Some(everyone) = everyone(addresses) else { return };
        let alone = list.entries.iter().find(|entry| self.is_everyone(entry));
        let span = alone.map_or(list.span, |entry| entry.span);
        let message = format!("`{key}` holds {everyone}, which is everyone");
        self.errors.push_with(|| Diagnostic::new(message).at(span).help(advice));
    }

    /// Whether an entry, whose errors have been reported, is everyone by itself.
    fn is_everyone(&self, entry: &'a Spanned<String>) -> bool {
        let mut members = Members::default();
        if let Some(path) = entry.value.strip_prefix(FILE) {
            let path = self.sources.directory(entry.span.file).join(path);
            members.files.extend(self.lists.get(&path).cloned().flatten());
        } else if self.groups.contains_key(entry.value.as_str()) {
            members.groups.push((&entry.value, entry.span));
        } else {
            members.ranges.extend(entry.value.parse::<AddressRange>());
        }
        everyone(&self.gather(&members)).is_some()
    }
}

/// The range of a set that is a whole family.
fn everyone(addresses: &AddressSet) -> Option<AddressRange> {
    let v4 = addresses.v4().iter().find(|range| range.prefix() == Some(0)).copied().map(AddressRange::V4);
    v4.or_else(|| {
        addresses.v6().iter().find(|range| range.prefix() == Some(0)).copied().map(AddressRange::V6)
    })
}

/// The file that is all there is, if so: a big list is not sorted twice.
fn only_file<'m>(all: &[&'m Members<'_>]) -> Option<&'m AddressSet> {
    let mut files = all.iter().flat_map(|members| &members.files);
    let only = files.next()?;
    let alone = files.next().is_none() && all.iter().all(|members| members.ranges.is_empty());
    alone.then_some(only)
}

/// Whether what is no address may be meant as a group's name, and not as an address.
fn may_be_name(text: &str) -> bool {
    let letters = text.chars().any(|c| c.is_alphabetic() && !c.is_ascii_hexdigit());
    letters && !text.contains(['/', ':', ' '])
}

fn short(text: &str) -> String {
    quoted(text).trim_matches('`').to_owned()
}
