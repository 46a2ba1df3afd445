//! Lists of addresses: single ones, networks, ranges, groups, files and `"containers"`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::list::BadLines;
use super::notation::{is_host_name, means_everyone};
use super::{Resolver, advice};
use crate::address::{Address, AddressError, AddressRange, AddressSet, Family, Range};
use crate::config::List;
use crate::diagnostic::{Diagnostic, Span, Spanned, quoted};
use crate::files::Strictness;
use crate::suggest::closest;

/// The built-in name for what arrives on Docker's bridges.
pub(super) const CONTAINERS: &str = "containers";
/// The built-in name for what arrives on inside interfaces.
pub(super) const INSIDE: &str = "inside";

/// How an address is written.
const EXAMPLE: &str = "as in \"203.0.113.7\"";

/// The first address of IPv6's global ones.
const GLOBAL6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// The place of a list, for diagnostics, and whether it may name sources that are known by their interface.
#[derive(Clone, Copy)]
pub(super) struct Use<'u> {
    pub(super) key: &'static str,
    pub(super) takes_interfaces: bool,
    /// The group whose list it is.
    pub(super) group: Option<&'u str>,
}

impl Use<'_> {
    /// Returns the place of a list that is no group's, and names addresses only.
    pub(super) fn of_key(key: &'static str) -> Self {
        Use { key, takes_interfaces: false, group: None }
    }
}

impl<'u> Use<'u> {
    /// Returns the place of a group's list.
    pub(super) fn of_group(name: &'u str) -> Self {
        Use { key: "groups", takes_interfaces: false, group: Some(name) }
    }
}

/// The members of a list. Of groups it has only the names: their addresses are collected where they are used.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub(super) ranges: Vec<AddressRange>,
    pub(super) files: Vec<AddressSet>,
    pub(super) groups: Vec<(&'a str, Span)>,
    pub(super) containers: bool,
    pub(super) inside: bool,
    /// Whether some entry was in error.
    pub(super) is_broken: bool,
}

impl<'a> Resolver<'a> {
    /// Returns the members of a list, and reports what is wrong in it.
    pub(super) fn members(&mut self, list: &'a List, place: Use<'_>) -> Members<'a> {
        let mut members = Members::default();
        for entry in &list.entries {
            self.member(entry, place, &mut members);
        }
        members
    }

    pub(super) fn member(&mut self, entry: &'a Spanned<String>, place: Use<'_>, members: &mut Members<'a>) {
        let text = entry.value.as_str();
        if let Some((bad_lines, path)) = BadLines::of(text) {
            match self
                .allowed(bad_lines, entry, place)
                .and_then(|()| self.list_file(path, bad_lines, entry.span))
            {
                Some(addresses) => members.files.push(addresses),
                None => members.is_broken = true,
            }
        } else if let Some(name) = self.built_in(text) {
            let named = if name == CONTAINERS { &mut members.containers } else { &mut members.inside };
            *named = place.takes_interfaces;
            members.is_broken |= !place.takes_interfaces;
            self.refuse_interfaces(entry, place);
        } else if self.config.groups.contains_key(text) {
            members.groups.push((text, entry.span));
        } else {
            self.range(entry, place, members);
        }
    }

    /// Returns whether bad lines are allowed. Without a line that can't be read, a source that should be blocked is as it
    /// was before. In a list that lets sources in, the result would be an accident.
    fn allowed(&mut self, bad_lines: BadLines, entry: &Spanned<String>, place: Use<'_>) -> Option<()> {
        let is_allowed = bad_lines == BadLines::Refused || place.key == "blocked";
        if !is_allowed {
            self.errors.push_with(|| {
                let file = entry.value.replacen(BadLines::Skipped.prefix(), BadLines::Refused.prefix(), 1);
                Diagnostic::new(format!("{} is not allowed in `{}`", quoted(&entry.value), place.key))
                    .at(entry.span)
                    .help(format!(
                        "write \"{file}\"; only `blocked` takes a list of which bad lines are skipped"
                    ))
            });
        }
        is_allowed.then_some(())
    }

    /// Returns the built-in name. A policy that is older than the name may have a group of that name.
    fn built_in(&self, text: &str) -> Option<&'static str> {
        let is_groups = self.strictness == Strictness::Confirmed && self.config.groups.contains_key(text);
        [CONTAINERS, INSIDE].into_iter().find(|name| *name == text && !is_groups)
    }

    fn refuse_interfaces(&mut self, entry: &Spanned<String>, place: Use<'_>) {
        if !place.takes_interfaces {
            self.errors.push_with(|| {
                Diagnostic::new(format!("`{}` is not allowed in `{}`", entry.value, place.key))
                    .at(entry.span)
                    .help(format!(
                        "remove it: only an [[allow]] can have it, as in from = [\"{}\"]",
                        entry.value
                    ))
            });
        }
    }

    fn range(&mut self, entry: &Spanned<String>, place: Use<'_>, members: &mut Members<'_>) {
        match entry.value.parse() {
            Ok(range) => return members.ranges.push(range),
            Err(_) if means_everyone(&entry.value) => self.refuse_word(entry, place),
            Err(AddressError::Unreadable) if may_be_name(&entry.value) => self.unknown_name(entry, place),
            Err(error) => self.errors.push_with(|| {
                let message = format!("{}: {error}", quoted(&entry.value));
                Diagnostic::new(message).at(entry.span).help(advice::address(&entry.value, &error))
            }),
        }
        members.is_broken = true;
    }

    /// Refuses a word that means everyone.
    fn refuse_word(&mut self, entry: &Spanned<String>, place: Use<'_>) {
        self.errors.push_with(|| {
            let help = match place.key {
                "from" => "remove `from`: without it, a rule lets everyone in",
                "blocked" => "remove it: what no rule opens is closed to everyone",
                _ => "remove it; to open a port to everyone, write an [[allow]] without `from`",
            };
            let message = format!("{} is no address and no group", quoted(&entry.value));
            Diagnostic::new(message).at(entry.span).help(help)
        });
    }

    fn unknown_name(&mut self, entry: &Spanned<String>, place: Use<'_>) {
        let meant = self.meant(&entry.value, place).map(str::to_owned);
        self.missing(|| {
            let (message, help) = match meant {
                Some(meant) => ("there is no group", format!("did you mean `{meant}`?")),
                None if is_host_name(&entry.value) => {
                    ("host names are not looked up:", format!("write the addresses, {EXAMPLE}"))
                }
                None => (
                    "there is no group",
                    format!("write an address, {EXAMPLE}, or give the group a line under [groups]"),
                ),
            };
            Diagnostic::new(format!("{message} {}", quoted(&entry.value))).at(entry.span).help(help)
        });
    }

    /// Returns the name that was probably meant: never the group in whose list it is, and no group for the name of a host,
    /// which often contains the name of a group.
    fn meant(&self, typed: &str, place: Use<'_>) -> Option<&str> {
        if place.takes_interfaces && (typed.starts_with("docker") || typed.starts_with("container")) {
            return Some(CONTAINERS);
        }
        let groups = self.config.groups.keys().map(String::as_str);
        let groups =
            groups.filter(|name| Some(*name) != place.group && (!is_host_name(typed) || name.contains('.')));
        let built_in = [CONTAINERS, INSIDE].into_iter().filter(|_| place.takes_interfaces);
        closest(typed, groups.chain(built_in))
    }

    /// Returns the addresses of all members, groups included.
    pub(super) fn gather(&mut self, members: &Members<'a>) -> AddressSet {
        match (members.groups.as_slice(), members.ranges.as_slice(), members.files.as_slice()) {
            ([(only, _)], [], []) => self.group(only),
            _ => self.merged(members),
        }
    }

    /// Returns the addresses of a group, which whatever names it shares.
    pub(super) fn group(&mut self, name: &'a str) -> AddressSet {
        if let Some(known) = self.gathered.get(name) {
            return known.clone();
        }
        let addresses = self.groups.get(name).map(|members| self.merged(members)).unwrap_or_default();
        self.gathered.insert(name, addresses.clone());
        addresses
    }

    fn merged(&self, members: &Members<'a>) -> AddressSet {
        let reached = self.reachable(members);
        let all: Vec<&Members<'a>> = std::iter::once(members).chain(reached).collect();
        if let Some(only) = only_file(&all) {
            return only.clone();
        }
        let typed = all.iter().flat_map(|members| members.ranges.iter().copied());
        let read = all.iter().flat_map(|members| &members.files).flat_map(AddressSet::ranges);
        typed.chain(read).collect()
    }

    /// Refuses a list that holds all addresses of a family, and reports which of its entries does that.
    pub(super) fn refuse_everyone(
        &mut self,
        list: &'a List,
        key: &str,
        advice: &str,
        addresses: &AddressSet,
    ) {
        let Some(everyone) = everyone(addresses) else { return };
        let mut entries = list.entries.iter();
        let alone = entries.find(|entry| self.everyone_of(entry).as_ref() == Some(&everyone));
        let span = alone.map_or(list.span, |entry| entry.span);
        self.refuse(|| Diagnostic::new(format!("`{key}` holds {everyone}")).at(span).help(advice));
    }

    /// Returns which addresses an entry, whose errors have been reported, holds by itself, if they are everyone.
    fn everyone_of(&mut self, entry: &'a Spanned<String>) -> Option<String> {
        let mut members = Members::default();
        if let Some((bad_lines, path)) = BadLines::of(&entry.value) {
            let path = self.sources.directory(entry.span.file).join(path);
            members.files.extend(self.lists.get(&(path, bad_lines)).cloned().flatten());
        } else if self.groups.contains_key(entry.value.as_str()) {
            members.groups.push((&entry.value, entry.span));
        } else {
            members.ranges.extend(entry.value.parse::<AddressRange>());
        }
        everyone(&self.gather(&members))
    }
}

/// Returns which addresses a set holds, in words, if they are everyone, or so many that the rest hardly counts: more
/// than half of a family. Of IPv6, only addresses of `2000::/3` are assigned (RFC 4291, 2.4).
fn everyone(addresses: &AddressSet) -> Option<String> {
    let whole = |prefix: Option<u8>| prefix == Some(0);
    if addresses.v4().iter().any(|range| whole(range.prefix())) {
        return Some("0.0.0.0/0, which is everyone".into());
    }
    if addresses.v6().iter().any(|range| whole(range.prefix())) {
        return Some("::/0, which is everyone".into());
    }
    let (all4, all6) = (Range::network_of(Ipv4Addr::UNSPECIFIED, 0), Range::network_of(GLOBAL6, 3));
    let held =
        [(Family::Ipv4, has_most(addresses.v4(), all4)), (Family::Ipv6, has_most(addresses.v6(), all6))];
    let (family, _) = held.into_iter().find(|(_, is_most)| *is_most)?;
    Some(format!("more than half of all {family} addresses, which is nearly everyone"))
}

/// Returns whether these ranges, which do not overlap, have more than half of the addresses in another.
fn has_most<A: Address>(ranges: &[Range<A>], all: Range<A>) -> bool {
    let size = |first: A, last: A| last.to_number() - first.to_number();
    let within = ranges.iter().filter(|range| range.overlaps(&all));
    let held = within.map(|range| size(range.first().max(all.first()), range.last().min(all.last())) + 1);
    held.sum::<u128>() > size(all.first(), all.last()) / 2 + 1
}

/// Returns the file, if it is the only member: a big list is not sorted twice.
fn only_file<'m>(all: &[&'m Members<'_>]) -> Option<&'m AddressSet> {
    let mut files = all.iter().flat_map(|members| &members.files);
    let only = files.next()?;
    let alone = files.next().is_none() && all.iter().all(|members| members.ranges.is_empty());
    alone.then_some(only)
}

/// Returns whether something that is no address may be meant as a group's name, and not as an address.
fn may_be_name(text: &str) -> bool {
    let letters = text.chars().any(|c| c.is_alphabetic() && !c.is_ascii_hexdigit());
    letters && !text.contains(['/', ':', ' '])
}
