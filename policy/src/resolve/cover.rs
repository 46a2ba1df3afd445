//! Which rule opens at least what another one does.
//!
//! With thousands of rules, most of them are not asked: one that covers another is among those about a port of that one,
//! and among those about a source of it.

use std::net::IpAddr;

use super::intervals::Intervals;
use crate::address::{AddressRange, AddressSet};
use crate::interface::IfPattern;
use crate::policy::{AllowRule, Source, Target};
use crate::service::{PortRange, Services, Transport};

/// How many rules are asked one by one rather than looked for another way.
const FEW: usize = 64;
/// The longest lists of which each entry is looked up.
const MAX_LOOKED_UP: usize = 256;

/// Rules, found by what they are about.
pub(super) struct Covers<'a> {
    rules: &'a [AllowRule],
    by_service: Intervals<u32>,
    by_source: Intervals<IpAddr>,
    /// Rules that may be about any source: for everyone, or with long lists.
    of_many: Vec<usize>,
    /// Rules with `only`.
    keeping: Vec<usize>,
}

impl<'a> Covers<'a> {
    pub(super) fn of(rules: &'a [AllowRule]) -> Self {
        let (mut services, mut sources, mut of_many) = (Vec::new(), Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            services.extend(points(&rule.services).map(|(first, last)| (first, last, index)));
            let is_long = rule.from.lists().iter().any(|list| list.addresses.len() > MAX_LOOKED_UP);
            if is_long || rule.from == Source::Everyone {
                of_many.push(index);
            } else {
                sources.extend(rule.from.ranges().map(ends).map(|(first, last)| (first, last, index)));
            }
        }
        let keeping =
            rules.iter().enumerate().filter(|(_, rule)| rule.only).map(|(index, _)| index).collect();
        Self {
            rules,
            by_service: Intervals::of(services),
            by_source: Intervals::of(sources),
            of_many,
            keeping,
        }
    }

    /// Returns a rule that covers the one at `index`. Of two that open the same, it is the first.
    pub(super) fn wider(&self, index: usize) -> Option<&'a AllowRule> {
        let rule = self.rules.get(index)?;
        let is_wider = |place: &usize| {
            *place != index
                && self
                    .rules
                    .get(*place)
                    .is_some_and(|other| covers(other, rule) && (*place < index || !covers(rule, other)))
        };
        let found = match self.candidates(rule) {
            Some(candidates) => candidates.into_iter().find(is_wider),
            None => (0..self.rules.len()).find(is_wider),
        };
        found.and_then(|place| self.rules.get(place))
    }

    /// Returns a rule with `only` that keeps all ports of another one, which has no `only`, for itself.
    pub(super) fn beaten_by(&self, rule: &AllowRule) -> Option<&'a AllowRule> {
        let few = self.around(rule).unwrap_or_else(|| self.keeping.clone());
        let mut others = few.into_iter().filter_map(|place| self.rules.get(place));
        others.find(|other| other.only && !rule.only && is_about(other, rule))
    }

    /// Returns the rules about a port of this one, unless there are too many of them.
    fn around(&self, rule: &AllowRule) -> Option<Vec<usize>> {
        points(&rule.services).next().and_then(|(first, _)| self.by_service.around(first, FEW))
    }

    /// Returns the only rules, in order, that may cover another, unless there are too many of them.
    fn candidates(&self, rule: &AllowRule) -> Option<Vec<usize>> {
        let of_source = || {
            let (first, _) = rule.from.ranges().next().map(ends)?;
            let rest = FEW.checked_sub(self.of_many.len())?;
            Some([self.by_source.around(first, rest)?, self.of_many.clone()].concat())
        };
        let mut candidates = self.around(rule).or_else(of_source)?;
        candidates.sort_unstable();
        Some(candidates)
    }
}

/// Returns the ends of each range of ports and protocols, as numbers that distinguish all of them.
fn points(services: &Services) -> impl Iterator<Item = (u32, u32)> + '_ {
    const PROTOCOL: u32 = 1 << 24;
    let ports = services.ports().flat_map(|(transport, ranges)| {
        let of = move |port: u16| u32::from(transport.number()) << 16 | u32::from(port);
        ranges.iter().map(move |range| (of(range.first()), of(range.last())))
    });
    let protocols = services.protocols().iter().map(|number| PROTOCOL | u32::from(*number));
    ports.chain(protocols.map(|number| (number, number)))
}

fn ends(range: AddressRange) -> (IpAddr, IpAddr) {
    match range {
        AddressRange::V4(range) => (range.first().into(), range.last().into()),
        AddressRange::V6(range) => (range.first().into(), range.last().into()),
    }
}

/// Returns whether a rule lets everyone in whom the other one lets in. A rule with `only` keeps others out as well, which
/// no rule without it does.
fn covers(wide: &AllowRule, narrow: &AllowRule) -> bool {
    (wide.only || !narrow.only)
        && is_about(wide, narrow)
        && has_interfaces(&wide.incoming, &narrow.incoming)
        && has_sources(&wide.from, &narrow.from)
}

/// Returns whether a rule is about all that the other one opens.
fn is_about(wide: &AllowRule, narrow: &AllowRule) -> bool {
    let has_target =
        wide.to == narrow.to || wide.to == Target::Any && matches!(narrow.to, Target::Host | Target::Docker);
    has_target && has_services(&wide.services, &narrow.services)
}

/// Returns whether the first `in` takes in all interfaces of the second one.
fn has_interfaces(wide: &[IfPattern], narrow: &[IfPattern]) -> bool {
    let has = |pattern| wide.iter().any(|own| own.covers(pattern));
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(has)
}

fn has_sources(wide: &Source, narrow: &Source) -> bool {
    match (wide, narrow) {
        (Source::Everyone, _) => true,
        (Source::These { .. }, Source::Everyone) => false,
        (
            Source::These { containers, inside, lists },
            Source::These { containers: narrow_containers, inside: narrow_inside, lists: narrow_lists },
        ) => {
            let wide: Vec<_> = lists.iter().map(|list| &list.addresses).collect();
            (*containers || !narrow_containers)
                && (*inside || !narrow_inside)
                && narrow_lists.iter().all(|list| holds(&wide, &list.addresses))
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

/// Returns whether sets have all addresses of another one. What only two ranges together cover is not found.
pub(super) fn holds(sets: &[&AddressSet], other: &AddressSet) -> bool {
    let has = |range: AddressRange| {
        let mut overlaps = sets.iter().filter_map(|set| set.first_overlap(&range));
        overlaps.any(|own| own.covers(&range))
    };
    sets.contains(&other) || other.ranges().all(has)
}
