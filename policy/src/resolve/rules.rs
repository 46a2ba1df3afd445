//! `[[allow]]`: the exceptions.

use std::collections::HashMap;

use super::addresses::{Members, Use};
use super::scalars::choice;
use super::{Resolver, advice, name_fault};
use crate::config::{Allow, List};
use crate::diagnostic::{Diagnostic, Span, Spanned, quoted};
use crate::interface::IfPattern;
use crate::policy::{AllowRule, Source, SourceList, Target};
use crate::service::Services;

impl<'a> Resolver<'a> {
    pub(super) fn rules(&mut self) -> Vec<AllowRule> {
        let mut names = HashMap::new();
        let config = self.config;
        config.allow.iter().filter_map(|allow| self.rule(allow, &mut names)).collect()
    }

    fn rule(&mut self, allow: &'a Allow, names: &mut HashMap<&'a str, Span>) -> Option<AllowRule> {
        if let Some(name) = &allow.name {
            self.check_name(name, names);
        }
        let services = allow.ports.as_ref().map(|ports| self.services(ports)).unwrap_or_default();
        let to = self.target(allow.to.as_ref());
        let incoming = self.incoming(allow);
        let only = self.only(allow);
        let from = self.source(allow)?;
        let place = self.place(allow.span);
        Some(AllowRule {
            name: allow.name.as_ref()?.value.clone(),
            from,
            incoming,
            services,
            to,
            only,
            place,
        })
    }

    /// Returns the `in` of a rule; nothing for any interface.
    fn incoming(&mut self, allow: &Allow) -> Vec<IfPattern> {
        let Some(list) = &allow.incoming else { return Vec::new() };
        if list.is_blank {
            self.errors.push_with(|| {
                Diagnostic::new("`in` is empty: nobody could come in by the rule")
                    .at(list.span)
                    .help("remove `in` for all interfaces, or list some: in = [\"wg0\"]")
            });
        }
        let patterns = self.patterns(list);
        let is_loopback = |pattern: &&Spanned<IfPattern>| pattern.value == IfPattern::Name("lo".into());
        if let Some(lo) = patterns.iter().find(is_loopback) {
            self.errors.push_with(|| {
                Diagnostic::new("`in` has `lo`, which dockfw never filters")
                    .at(lo.span)
                    .help("remove it: what this host sends to itself always passes")
            });
        }
        if patterns.iter().any(|pattern| pattern.value.is_any()) {
            return Vec::new();
        }
        patterns.into_iter().map(|pattern| pattern.value).collect()
    }

    fn only(&mut self, allow: &Allow) -> bool {
        let Some(only) = allow.only.as_ref().filter(|only| only.value) else { return false };
        if allow.from.is_none() && allow.incoming.is_none() {
            self.errors.push_with(|| {
                Diagnostic::new("`only` needs `from` or `in`: the rule is for everyone")
                    .at(only.span)
                    .help("say for whom alone it is, as in from = [\"203.0.113.7\"], or remove `only`")
            });
        }
        true
    }

    fn check_name(&mut self, name: &'a Spanned<String>, names: &mut HashMap<&'a str, Span>) {
        if let Some(fault) = name_fault(&name.value) {
            self.errors.push(fault.at(name.span));
        }
        match names.get(name.value.as_str()) {
            Some(first) => self.errors.push_with(|| {
                Diagnostic::new(format!("two rules are called {}", quoted(&name.value)))
                    .at(name.span)
                    .help(format!(
                        "give each rule its own name, as in {}; counters and `explain` show it",
                        advice::text_of(&format!("{}-2", name.value))
                    ))
                    .note("the other is here", *first)
            }),
            None => _ = names.insert(&name.value, name.span),
        }
    }

    fn services(&mut self, ports: &List) -> Services {
        if ports.is_blank {
            self.errors.push_with(|| {
                Diagnostic::new("`ports` is empty: the rule would open nothing")
                    .at(ports.span)
                    .help("write at least one, as in ports = [\"443/tcp\"], or take the rule out")
            });
        }
        let mut services = Vec::new();
        for entry in &ports.entries {
            match entry.value.parse() {
                Ok(service) => services.push(service),
                Err(error) => self.errors.push_with(|| {
                    let message = format!("{}: {error}", quoted(&entry.value));
                    Diagnostic::new(message).at(entry.span).help(advice::service(&entry.value, &error))
                }),
            }
        }
        services.into_iter().collect()
    }

    fn target(&mut self, to: Option<&Spanned<String>>) -> Target {
        const CHOICES: [(&str, Target); 4] = [
            ("host", Target::Host),
            ("docker", Target::Docker),
            ("container", Target::Container),
            ("forward", Target::Forward),
        ];
        choice(to, "to", &CHOICES, self.errors).unwrap_or(Target::Any)
    }

    /// Returns the `from` of a rule. Nothing if it names nobody: that never becomes everyone.
    fn source(&mut self, allow: &'a Allow) -> Option<Source> {
        let Some(list) = &allow.from else { return Some(Source::Everyone) };
        if list.is_blank {
            self.errors.push_with(|| {
                Diagnostic::new("`from` is empty: the rule would let nobody in")
                    .at(list.span)
                    .help("remove `from` to let everyone in, or list sources: from = [\"203.0.113.7\"]")
            });
        }
        let members = self.members(list, Use { key: "from", takes_interfaces: true, group: None });
        let Members { containers, inside, is_broken, .. } = members;
        let lists = self.source_lists(members);
        if inside && self.config.interfaces.inside.as_ref().is_none_or(|list| list.is_blank) {
            self.warn_of_no_inside(list);
        }
        if lists.is_empty() && !containers && !inside {
            self.warn_of_nobody(list, is_broken);
            return None;
        }
        Some(Source::These { containers, inside, lists })
    }

    /// Returns the lists of a `from`: what is typed in it, and each file and group by itself.
    fn source_lists(&mut self, members: Members<'a>) -> Vec<SourceList> {
        let typed = members.ranges.into_iter().collect();
        let own = std::iter::once(typed).chain(members.files);
        let mut lists: Vec<_> = own.map(|addresses| SourceList { group: None, addresses }).collect();
        for (name, _) in members.groups {
            lists.push(SourceList { group: Some(name.to_owned()), addresses: self.group(name) });
        }
        lists.retain(|list| !list.addresses.is_empty());
        lists
    }

    fn warn_of_no_inside(&mut self, list: &List) {
        self.warnings.push_with(|| {
            Diagnostic::new("`from` has `inside`, but [interfaces] inside is empty")
                .at(list.span)
                .help("list them under [interfaces]: inside = [\"virbr0\"]")
        });
    }

    fn warn_of_nobody(&mut self, list: &List, is_broken: bool) {
        if !is_broken && !list.is_blank {
            self.warnings.push_with(|| {
                Diagnostic::new("the lists in `from` hold no address: the rule lets nobody in")
                    .at(list.span)
                    .help("add addresses to these groups or files, or remove the rule")
            });
        }
    }
}
