//! Rules that open nothing which is not open without them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Resolver, Strictness};
use crate::address::{AddressRange, AddressSet};
use crate::config::Allow;
use crate::diagnostic::{Diagnostic, Span, quoted};
use crate::policy::{AllowRule, Policy, Source, Target};
use crate::service::{PortRange, Service, Services, Transport};

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
        for (index, rule) in policy.allow.iter().enumerate() {
            if is_nobody(rule) {
                self.warn_of_no_host(rule);
            } else if is_trusted(&rule.from, &policy.trusted) {
                self.warn_of_trusted(rule);
            } else if let Some(wider) = wider(&policy.allow, index) {
                self.warn_of_covered(rule, wider);
            }
        }
    }

    fn warn_of_no_host(&mut self, rule: &AllowRule) {
        let Some(span) = self.sources_of(rule) else { return };
        self.warnings.push_with(|| {
            let message = format!("rule {} opens nothing: nobody has this address", quoted(&rule.name));
            let help = "for everyone, remove the line; for all IPv4 addresses, write from = [\"0.0.0.0/0\"]; for all of IPv6, write from = [\"::/0\"]";
            Diagnostic::new(message).at(span).help(help)
        });
    }

    fn warn_of_trusted(&mut self, rule: &AllowRule) {
        let Some(span) = self.sources_of(rule) else { return };
        self.warnings.push_with(|| {
            let message = format!(
                "rule {} opens nothing: all of its sources are in `trusted`, and reach every port",
                quoted(&rule.name)
            );
            Diagnostic::new(message).at(span).help(trusted_help(&rule.services))
        });
    }

    fn warn_of_covered(&mut self, rule: &AllowRule, wider: &AllowRule) {
        let (Some(span), Some(other)) = (self.name_of(rule), self.name_of(wider)) else { return };
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

    fn typed(&self, rule: &AllowRule) -> Option<&Allow> {
        let is_its = |allow: &&Allow| allow.name.as_ref().is_some_and(|name| name.value == rule.name);
        self.config.allow.iter().find(is_its)
    }

    fn sources_of(&self, rule: &AllowRule) -> Option<Span> {
        self.typed(rule).and_then(|allow| Some(allow.from.as_ref()?.span))
    }

    fn name_of(&self, rule: &AllowRule) -> Option<Span> {
        self.typed(rule).and_then(|allow| Some(allow.name.as_ref()?.span))
    }
}

/// Returns what to do about a rule for trusted sources. It may be meant to keep other trusted sources out of its ports,
/// which no rule can do.
fn trusted_help(services: &Services) -> String {
    let other: Vec<_> = complement(services).iter().map(|service| format!("\"{service}\"")).collect();
    format!(
        "remove the rule, or take its sources out of `trusted`\n\
         to keep other trusted sources from these ports, move them from `trusted` into a rule with:\n\
         ports = [{}]",
        other.join(", ")
    )
}

/// Returns all ports of TCP and UDP but those of `services`.
fn complement(services: &Services) -> Vec<Service> {
    let of = |transport: Transport| {
        let taken = services.ports().find(|(own, _)| *own == transport).map_or(&[][..], |(_, ranges)| ranges);
        let starts = std::iter::once(1).chain(taken.iter().map(|range| u32::from(range.last()) + 1));
        let ends = taken.iter().map(|range| u32::from(range.first()) - 1).chain([u32::from(u16::MAX)]);
        let ranges: Vec<_> = starts.zip(ends).collect();
        ranges.into_iter().filter_map(move |(first, last)| {
            let range = PortRange::new(u16::try_from(first).ok()?, u16::try_from(last).ok()?)?;
            Some(Service::Ports(transport, range))
        })
    };
    [Transport::Tcp, Transport::Udp].into_iter().flat_map(of).collect()
}

/// Returns whether all sources of a rule are addresses that stand for none. Clients of DHCP ask from such a one.
fn is_nobody(rule: &AllowRule) -> bool {
    let Source::These { containers: false, inside: false, addresses } = &rule.from else { return false };
    let mut ranges = addresses.ranges().peekable();
    ranges.peek().is_some()
        && ranges.all(|range| NONE.map(AddressRange::single).contains(&range))
        && !serves(&rule.services, Transport::Udp, DHCP)
}

fn serves(services: &Services, transport: Transport, port: u16) -> bool {
    services.ports().any(|(own, ranges)| own == transport && ranges.iter().any(|range| range.contains(port)))
}

fn is_trusted(from: &Source, trusted: &AddressSet) -> bool {
    match from {
        Source::These { containers: false, inside: false, addresses } => {
            !addresses.is_empty() && holds(trusted, addresses)
        }
        Source::These { .. } | Source::Everyone => false,
    }
}

/// Returns a rule that covers the one at `index`. Of two that open the same, it is the first.
fn wider(rules: &[AllowRule], index: usize) -> Option<&AllowRule> {
    let rule = rules.get(index)?;
    let is_wider = |(place, other): &(usize, &AllowRule)| {
        *place != index && covers(other, rule) && (*place < index || !covers(rule, other))
    };
    rules.iter().enumerate().find(is_wider).map(|(_, other)| other)
}

fn covers(wide: &AllowRule, narrow: &AllowRule) -> bool {
    let has_target =
        wide.to == narrow.to || wide.to == Target::Any && matches!(narrow.to, Target::Host | Target::Docker);
    has_target && has_services(&wide.services, &narrow.services) && has_sources(&wide.from, &narrow.from)
}

fn has_sources(wide: &Source, narrow: &Source) -> bool {
    match (wide, narrow) {
        (Source::Everyone, _) => true,
        (Source::These { .. }, Source::Everyone) => false,
        (
            Source::These { containers, inside, addresses },
            Source::These {
                containers: narrow_containers,
                inside: narrow_inside,
                addresses: narrow_addresses,
            },
        ) => {
            (*containers || !narrow_containers)
                && (*inside || !narrow_inside)
                && holds(addresses, narrow_addresses)
        }
    }
}

fn has_services(wide: &Services, narrow: &Services) -> bool {
    let has_range = |transport: Transport, range: &PortRange| {
        let ranges = wide.ports().find(|(own, _)| *own == transport).map_or(&[][..], |(_, ranges)| ranges);
        ranges.iter().any(|own| own.contains(range.first()) && own.contains(range.last()))
    };
    narrow.ports().all(|(transport, ranges)| ranges.iter().all(|range| has_range(transport, range)))
        && narrow.protocols().iter().all(|protocol| wide.protocols().contains(protocol))
}

/// Returns whether a set has all addresses of another one. Ranges that adjoin are not joined in a set: what only two of
/// them together cover is not found.
fn holds(set: &AddressSet, other: &AddressSet) -> bool {
    other.ranges().all(|range| set.first_overlap(&range).is_some_and(|own| own.covers(&range)))
}
