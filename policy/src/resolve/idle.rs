//! Rules that open nothing which is not open without them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cover::{Covers, holds};
use super::{Resolver, Strictness};
use crate::address::{AddressRange, AddressSet};
use crate::config::{Allow, Config};
use crate::diagnostic::{Diagnostic, Span, quoted};
use crate::policy::{AllowRule, Policy, Source};
use crate::service::{Services, Transport};

/// The addresses that stand for no host.
const NONE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
/// The port of DHCP's servers (RFC 2131).
const DHCP: u16 = 67;

impl Resolver<'_> {
    /// Warns about rules for sources that are trusted anyway, and about rules that another one covers. Of a policy that was
    /// confirmed once, that has been said.
    pub(super) fn warn_of_idle_rules(&mut self, policy: &Policy) {
        if self.strictness == Strictness::Confirmed {
            return;
        }
        let typed = Typed::of(self.config);
        let covers = Covers::of(&policy.allow);
        for (index, rule) in policy.allow.iter().enumerate() {
            if is_nobody(rule) {
                self.warn_of_no_host(rule, &typed);
            } else if !rule.only && is_trusted(&rule.from, &policy.trusted) {
                self.warn_of_trusted(rule, &typed);
            } else if let Some(wider) = covers.wider(index) {
                self.warn_of_covered(rule, wider, &typed);
            } else if let Some(only) = covers.beaten_by(rule) {
                self.warn_of_beaten(rule, only, &typed);
            }
        }
    }

    fn warn_of_no_host(&mut self, rule: &AllowRule, typed: &Typed<'_>) {
        let Some(span) = typed.sources_of(rule) else { return };
        self.warnings.push_with(|| {
            let message = format!("rule {} opens nothing: nobody has this address", quoted(&rule.name));
            let help = "for everyone, remove the line; for all IPv4 addresses, write from = [\"0.0.0.0/0\"]; for all of IPv6, write from = [\"::/0\"]";
            Diagnostic::new(message).at(span).help(help)
        });
    }

    fn warn_of_trusted(&mut self, rule: &AllowRule, typed: &Typed<'_>) {
        let Some(span) = typed.sources_of(rule) else { return };
        self.warnings.push_with(|| {
            let message = format!(
                "rule {} opens nothing: all of its sources are in `trusted`, and reach every port",
                quoted(&rule.name)
            );
            let help = "remove the rule, or take its sources out of `trusted`; to keep all others from these ports, the other trusted sources too, add a line to the rule: only = true";
            Diagnostic::new(message).at(span).help(help)
        });
    }

    fn warn_of_covered(&mut self, rule: &AllowRule, wider: &AllowRule, typed: &Typed<'_>) {
        let (Some(span), Some(other)) = (typed.name_of(rule), typed.name_of(wider)) else { return };
        self.warnings.push_with(|| {
            let message = format!(
                "rule {} opens nothing: rule {} opens the same to the same sources, or more",
                quoted(&rule.name),
                quoted(&wider.name)
            );
            let help = "remove it, or narrow the other one";
            Diagnostic::new(message).at(span).help(help).note("this is the other", other)
        });
    }

    fn warn_of_beaten(&mut self, rule: &AllowRule, only: &AllowRule, typed: &Typed<'_>) {
        let (Some(span), Some(other)) = (typed.name_of(rule), typed.name_of(only)) else { return };
        self.warnings.push_with(|| {
            let message = format!(
                "the rule {} opens nothing: with `only`, the rule {} keeps these ports for its own sources",
                quoted(&rule.name),
                quoted(&only.name)
            );
            let help = "remove it, or add a line to it: only = true; such rules for one port add up";
            Diagnostic::new(message).at(span).help(help).note("this is the other", other)
        });
    }
}

/// The rules as they were typed, by their names.
struct Typed<'a>(HashMap<&'a str, &'a Allow>);

impl<'a> Typed<'a> {
    fn of(config: &'a Config) -> Self {
        let name = |allow: &'a Allow| Some((allow.name.as_ref()?.value.as_str(), allow));
        Self(config.allow.iter().rev().filter_map(name).collect())
    }

    fn sources_of(&self, rule: &AllowRule) -> Option<Span> {
        Some(self.0.get(rule.name.as_str())?.from.as_ref()?.span)
    }

    fn name_of(&self, rule: &AllowRule) -> Option<Span> {
        Some(self.0.get(rule.name.as_str())?.name.as_ref()?.span)
    }
}

/// Returns whether all sources of a rule are addresses that stand for none. Clients of DHCP ask from such a one.
fn is_nobody(rule: &AllowRule) -> bool {
    let Source::These { containers: false, inside: false, .. } = &rule.from else { return false };
    let mut ranges = rule.from.ranges().peekable();
    ranges.peek().is_some()
        && ranges.all(|range| NONE.map(AddressRange::single).contains(&range))
        && !serves(&rule.services, Transport::Udp, DHCP)
}

fn serves(services: &Services, transport: Transport, port: u16) -> bool {
    services.ports().any(|(own, ranges)| own == transport && ranges.iter().any(|range| range.contains(port)))
}

fn is_trusted(from: &Source, trusted: &AddressSet) -> bool {
    match from {
        Source::These { containers: false, inside: false, lists } => {
            !lists.is_empty() && lists.iter().all(|list| holds(&[trusted], &list.addresses))
        }
        Source::These { .. } | Source::Everyone => false,
    }
}
