//! `[groups]`: names for addresses, which may name other groups.

use std::collections::{BTreeMap, HashSet};

use super::addresses::{CONTAINERS, INSIDE, Members, Use};
use super::list::BadLines;
use super::{Resolver, name_fault};
use crate::address::AddressRange;
use crate::diagnostic::{Diagnostic, Span, quoted};
use crate::files::Strictness;

/// The policy's own lists, which people write below `[groups]` by mistake.
const LISTS: [&str; 2] = ["trusted", "blocked"];

/// How many groups of a circle are shown.
const SHOWN: usize = 8;

/// A group on the path from the group that a search started from.
struct Step<'g, 'a> {
    name: &'a str,
    rest: std::slice::Iter<'g, (&'a str, Span)>,
}

impl<'a> Resolver<'a> {
    /// Resolves the groups' own lists, and reports circles among them.
    pub(super) fn resolve_groups(&mut self) {
        for (name, group) in &self.config.groups {
            match group_name_fault(name) {
                Some((fault, true)) if self.strictness == Strictness::Confirmed => {
                    self.warnings.push(fault.at(group.span));
                }
                Some((fault, _)) => self.errors.push(fault.at(group.span)),
                None => {}
            }
            let members = group.entries.as_ref().map(|list| self.members(list, Use::of_group(name)));
            let unreadable = Members { is_broken: true, ..Members::default() };
            self.groups.insert(name, members.unwrap_or(unreadable));
        }
        for circle in circles(&self.groups) {
            self.errors.push_with(|| circle_error(&circle));
        }
    }

    /// Returns the groups that `members` names, those that these name, and so on, each once.
    pub(super) fn reachable(&self, members: &Members<'a>) -> Vec<&Members<'a>> {
        let mut seen = HashSet::new();
        let mut reached = Vec::new();
        let mut open: Vec<&str> = members.groups.iter().map(|(name, _)| *name).collect();
        while let Some(name) = open.pop() {
            if let Some(group) = self.groups.get(name).filter(|_| seen.insert(name)) {
                open.extend(group.groups.iter().map(|(name, _)| *name));
                reached.push(group);
            }
        }
        reached
    }
}

/// Returns why a string can't be the name of a group, if it can't, and whether it could once.
fn group_name_fault(name: &str) -> Option<(Diagnostic, bool)> {
    let built_in = [(CONTAINERS, "Docker's bridges"), (INSIDE, "the interfaces of [interfaces] inside")];
    if let Some((_, which)) = built_in.into_iter().find(|(own, _)| *own == name) {
        let fault = Diagnostic::new(format!("`{name}` is built in: it means what arrives on {which}"));
        let help = format!(
            "give the group another name, as in \"{name}-addresses\", here and in the lists that use it"
        );
        return Some((fault.help(help), name == INSIDE));
    }
    if LISTS.contains(&name) {
        let fault =
            Diagnostic::new(format!("`{name}` below [groups] is a group, and not the policy's own list"));
        let help = format!(
            "move it above the first [...] of the file; or, for a group, give it another name, as in \"{name}-addresses\""
        );
        return Some((fault.help(help), true));
    }
    if name.parse::<AddressRange>().is_ok() || BadLines::of(name).is_some() {
        let fault = Diagnostic::new(format!("{} looks like an address or a file", quoted(name)));
        return Some((fault.help("give the group another name, as in \"office\""), false));
    }
    name_fault(name).map(|fault| (fault, false))
}

/// Returns the circles among the groups: for each reference that leads back, the references from there on. It works
/// without recursion, so that a long chain of groups does no harm.
fn circles<'a>(groups: &BTreeMap<&'a str, Members<'a>>) -> Vec<Vec<(&'a str, Span)>> {
    let mut found = Vec::new();
    let mut done = HashSet::new();
    for start in groups.keys() {
        let mut path: Vec<Step<'_, 'a>> = Vec::new();
        let mut on_path = HashSet::new();
        let mut next = Some(*start).filter(|start| !done.contains(start));
        loop {
            if let Some(name) = next.take() {
                on_path.insert(name);
                path.push(Step { name, rest: references(groups, name) });
            }
            let Some(step) = path.last_mut() else { break };
            match step.rest.next() {
                Some((name, _)) if done.contains(name) => {}
                Some((name, span)) if on_path.contains(name) => found.push(circle(&path, name, *span)),
                Some((name, _)) => next = Some(*name),
                None => {
                    on_path.remove(step.name);
                    done.insert(step.name);
                    path.pop();
                }
            }
        }
    }
    found
}

fn references<'g, 'a>(
    groups: &'g BTreeMap<&'a str, Members<'a>>,
    name: &str,
) -> std::slice::Iter<'g, (&'a str, Span)> {
    groups.get(name).map(|group| group.groups.iter()).unwrap_or_default()
}

/// Returns the names of the path from `name` on, and `name` again with the place of the reference that closes the
/// circle.
fn circle<'a>(path: &[Step<'_, 'a>], name: &'a str, closing: Span) -> Vec<(&'a str, Span)> {
    let steps = path.iter().map(|step| step.name).skip_while(|step| *step != name);
    steps.chain(std::iter::once(name)).map(|name| (name, closing)).collect()
}

fn circle_error(circle: &[(&str, Span)]) -> Diagnostic {
    let mut names: Vec<String> = circle.iter().take(SHOWN).map(|(name, _)| quoted(name)).collect();
    if let (Some((last, _)), true) = (circle.last(), circle.len() > SHOWN) {
        names.extend(["...".into(), quoted(last)]);
    }
    let error = Diagnostic::new(format!("groups refer to each other in a circle: {}", names.join(" -> ")));
    let error = error.help("remove one of these references, as this one");
    match circle.last() {
        Some((_, closing)) => error.at(*closing),
        None => error,
    }
}
