//! From what was typed to what it means: references looked up, defaults set, everything checked.
//!
//! Whatever is wrong is reported and left out of the policy; the caller must not use the policy if there were errors.

mod addresses;
pub mod advice;
mod cover;
mod groups;
mod idle;
mod interfaces;
mod intervals;
mod lines;
mod list;
mod notation;
mod rules;
mod scalars;

use std::collections::{BTreeMap, HashMap};

use crate::address::AddressSet;
use crate::config::{Config, List};
use crate::diagnostic::{Diagnostic, Diagnostics, Location, Sources, Span, Spanned, is_printable, quoted};
use crate::files::{Files, Strictness};
use crate::lists::{Entry, Lists};
use crate::policy::{Place, Policy};
use addresses::{Members, Use};

/// What to do instead of trusting everyone.
const TRUST_ADVICE: &str = "remove it; to open a port to everyone, write an [[allow]] without `from`; to let everyone reach every \
                            port all the same, use --force";

/// The code that works out the meaning of a policy.
pub(crate) struct Resolver<'a> {
    pub(crate) config: &'a Config,
    pub(crate) files: &'a dyn Files,
    pub(crate) strictness: Strictness,
    pub(crate) sources: &'a mut Sources,
    pub(crate) errors: &'a mut Diagnostics,
    pub(crate) warnings: &'a mut Diagnostics,
    /// The groups, each with the members of its own list.
    pub(crate) groups: BTreeMap<&'a str, Members<'a>>,
    /// The addresses of groups that were asked for so far.
    pub(crate) gathered: HashMap<&'a str, AddressSet>,
    /// The list files read so far.
    pub(crate) lists: list::Lists,
}

impl<'a> Resolver<'a> {
    /// Returns the whole policy.
    pub(crate) fn policy(&mut self) -> Policy {
        let config = self.config;
        self.resolve_groups();
        let policy = Policy {
            trusted: self.narrow(config.trusted.as_ref(), "trusted", TRUST_ADVICE),
            blocked: self.addresses(config.blocked.as_ref(), "blocked"),
            allow: self.rules(),
            interfaces: self.interfaces(),
            echo: self.echo(),
            swarm: self.swarm(),
            log: self.log(),
            engine: self.engine(),
        };
        self.warn_of_blocked_trust(&policy);
        self.warn_of_idle_rules(&policy);
        policy
    }

    /// Returns the lists that have names, each entry by itself.
    pub(crate) fn named_lists(&mut self) -> Lists {
        let config = self.config;
        self.resolve_groups();
        let mut lists = BTreeMap::new();
        for (name, group) in &config.groups {
            lists.insert(name.clone(), self.entries(group.entries.as_ref(), Use::of_group(name)));
        }
        // A group of the same name is not meant: who asks for the trusted wants to know about all of them.
        for (key, list) in [("trusted", &config.trusted), ("blocked", &config.blocked)] {
            lists.insert(key.to_owned(), self.entries(list.as_ref(), Use::of_key(key)));
        }
        Lists(lists)
    }

    fn entries(&mut self, list: Option<&'a List>, place: Use<'_>) -> Vec<Entry> {
        let entries = list.into_iter().flat_map(|list| &list.entries);
        entries.map(|entry| self.entry(entry, place)).collect()
    }

    fn entry(&mut self, entry: &'a Spanned<String>, place: Use<'_>) -> Entry {
        let mut members = Members::default();
        self.member(entry, place, &mut members);
        Entry { place: self.place(entry.span), addresses: self.gather(&members) }
    }

    /// Returns the line of a place.
    fn place(&self, span: Span) -> Place {
        let Location { file, line, .. } = self.sources.locate(span);
        Place { file, line }
    }

    /// Returns the addresses of a list that is not a rule's.
    fn addresses(&mut self, list: Option<&'a List>, key: &'static str) -> AddressSet {
        let Some(list) = list else { return AddressSet::default() };
        let members = self.members(list, Use::of_key(key));
        self.gather(&members)
    }

    /// Returns the same for a list that must not hold everyone.
    fn narrow(&mut self, list: Option<&'a List>, key: &'static str, advice: &str) -> AddressSet {
        let addresses = self.addresses(list, key);
        if let Some(list) = list {
            self.refuse_everyone(list, key, advice, &addresses);
        }
        addresses
    }

    /// Warns about blocked trust. Blocking a part of a trusted network is fine, but what is blocked altogether was not
    /// meant to be trusted as well.
    fn warn_of_blocked_trust(&mut self, policy: &Policy) {
        let Some(list) = self.config.blocked.as_ref().filter(|_| !policy.blocked.is_empty()) else { return };
        let lost = policy.trusted.ranges().find_map(|trusted| {
            let blocked = policy.blocked.first_overlap(&trusted)?;
            blocked.covers(&trusted).then_some((trusted, blocked))
        });
        if let Some((trusted, blocked)) = lost {
            let message = format!("{trusted} is trusted, but {blocked} is blocked");
            let help = "`blocked` beats `trusted`: it reaches nothing";
            self.warnings.push(Diagnostic::new(message).at(list.span).help(help));
        }
    }

    /// Refuses something for the operator's safety, as strictly as is asked for.
    fn refuse(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        match self.strictness {
            Strictness::Strict => self.errors.push_with(diagnostic),
            Strictness::Forced => {}
            Strictness::Confirmed => self.warnings.push_with(diagnostic),
        }
    }

    /// Reports that something is missing, unless a part of what was typed could not be understood.
    fn missing(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if !self.config.is_incomplete {
            self.errors.push_with(diagnostic);
        }
    }
}

/// Returns why a string can't be the name of a rule or group, if it can't.
fn name_fault(name: &str) -> Option<Diagnostic> {
    /// Longer ones have no room in the engines' listings.
    const MAX: usize = 64;
    let length = name.chars().count();
    if length == 0 || length > MAX {
        let message = format!("a name has 1 to {MAX} characters, this one has {length}");
        return Some(Diagnostic::new(message).help(r#"give it a short name, as in "web-server""#));
    }
    let bad = name.chars().find(|c| !is_printable(*c) || matches!(c, '"' | '\\'))?;
    let message = format!("a name can't have {} in it", quoted(&bad.to_string()));
    let good: String = name.chars().filter(|c| is_printable(*c) && !matches!(c, '"' | '\\')).collect();
    let good = if good.trim().is_empty() { "web" } else { good.trim() };
    Some(Diagnostic::new(message).help(format!("write it without that, as in \"{good}\"")))
}
