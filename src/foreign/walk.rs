//! A packet's walk through the chains of others. First come those before connection tracking, then those before its
//! translation, then those that translate, and then those behind.

use dockfw_policy::walk::{Connection, Translation};

use super::chain::{Based, Outcome, Untracked};
use super::{Answer, Hook, Packet, Tracking, View};
use super::{Hooked, Place, Table, Tables};
use crate::host::links::Link;

/// The priority of connection tracking (`NF_IP_PRI_CONNTRACK`, linux/netfilter_ipv4.h).
const TRACKING: i32 = -200;
/// The priority of translations of destinations (`NF_IP_PRI_NAT_DST`, in the same header).
const TRANSLATION: i32 = -100;
/// The priority of translations of sources (`NF_IP_PRI_NAT_SRC`).
const TRANSLATION_OF_SOURCES: i32 = 100;

/// A rule that drops a packet, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    /// Where.
    pub(crate) place: Place,
    /// Whether it certainly does.
    pub(crate) is_certain: bool,
}

/// Where a packet is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// What its destination is translated to, if it is.
    pub(crate) translated: Option<Translation>,
    /// Whether connection tracking knows it. Without that, nothing is translated.
    pub(crate) is_tracked: bool,
    /// The rule that leads it there, or excludes it from connection tracking.
    pub(crate) by: Option<Place>,
}

impl Way {
    /// Returns the state of the packet's connection, as dockfw's own rules ask for it.
    pub(crate) fn connection(&self) -> Connection {
        if self.is_tracked { Connection::New } else { Connection::None }
    }
}

/// What becomes of a packet until it is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Where it may be led: one of these, and never none.
    pub(crate) ways: Vec<Way>,
    /// Who drops it before, or instead of, its translation.
    pub(crate) objections: Vec<Objection>,
    /// Rules that may lead it to a place that is unknown here.
    pub(crate) unknown: Vec<Place>,
}

impl Tables {
    /// Returns what becomes of an incoming packet, until it is routed.
    pub(crate) fn arrival(&self, packet: &Packet<'_>) -> Arrival {
        let view = self.view(packet, Hook::Prerouting);
        let before = self.hooked(&view, |hooked| !hooked.translates && hooked.priority <= TRACKING);
        let (mut objections, untracked) = untracked(&before, &view);
        let tracking = match untracked.answer() {
            Answer::No => Tracking::New,
            Answer::Yes => Tracking::Exempt,
            Answer::Unknown => Tracking::Unknown,
        };
        let between = self.hooked(&view, |hooked| {
            !hooked.translates && (TRACKING + 1..TRANSLATION).contains(&hooked.priority)
        });
        objections.extend(filtered(&between, &View { tracking, ..view }));
        let mut arrival = match tracking {
            Tracking::Exempt => Arrival { ways: vec![], objections, unknown: vec![] },
            _ => self.translated(&view, tracking == Tracking::New, objections),
        };
        let exempt = || Way { translated: None, is_tracked: false, by: untracked.place() };
        arrival.ways.extend((tracking != Tracking::New).then(exempt));
        arrival
    }

    /// Returns what becomes of a packet after those objections if connection tracking knows it, which may be certain.
    fn translated(&self, view: &View<'_>, is_certain: bool, mut objections: Vec<Objection>) -> Arrival {
        let chains = self.hooked(view, |hooked| hooked.translates);
        let Led { ways, unknown, dropped } = led(&chains, view);
        objections.extend(
            dropped.into_iter().map(|one| Objection { is_certain: one.is_certain && is_certain, ..one }),
        );
        Arrival { ways: without_repetition(ways), objections, unknown }
    }

    /// Returns who drops a packet on one of its ways after translation, on its way to the host itself or out by an
    /// interface.
    pub(crate) fn objections(
        &self,
        packet: &Packet<'_>,
        way: &Way,
        outgoing: Option<&Link>,
    ) -> Vec<Objection> {
        let tracking = if way.is_tracked { Tracking::New } else { Tracking::Exempt };
        let here = View { tracking, translated: way.translated, ..self.view(packet, Hook::Prerouting) };
        let behind = self.hooked(&here, |hooked| !hooked.translates && hooked.priority >= TRANSLATION);
        let hook = if outgoing.is_some() { Hook::Forward } else { Hook::Input };
        let later = View { hook, outgoing, ..here };
        let chains = self.hooked(&later, |hooked| !hooked.translates);
        let leaving = if outgoing.is_some() { self.leaving(&later) } else { Vec::new() };
        [filtered(&behind, &here), filtered(&chains, &later), leaving].concat()
    }

    /// Returns who drops a forwarded packet on its way out. Once its source may have been translated, the source is
    /// unknown.
    fn leaving(&self, forwarded: &View<'_>) -> Vec<Objection> {
        let own = View { hook: Hook::Postrouting, ..*forwarded };
        let before =
            self.hooked(&own, |hooked| !hooked.translates && hooked.priority < TRANSLATION_OF_SOURCES);
        let of_someone = Packet { source: None, ..*forwarded.packet };
        let translated = View { packet: &of_someone, ..own };
        let behind =
            self.hooked(&own, |hooked| !hooked.translates && hooked.priority >= TRANSLATION_OF_SOURCES);
        [filtered(&before, &own), filtered(&behind, &translated)].concat()
    }

    /// Returns where a chain drops a packet that no rule certainly matches. `follows`: whether other chains are followed.
    pub(super) fn default_outcome(
        &self,
        packet: &Packet<'_>,
        table: &Table,
        name: &str,
        hooked: Hooked,
        follows: bool,
    ) -> Option<Place> {
        let view = self.view(packet, hooked.hook);
        let tracking = tracking_at(hooked).unwrap_or(view.tracking);
        let based = Based { table, name, chain: table.chains.get(name)?, hooked };
        based.drops_by_default(&View { tracking, ..view }, follows)
    }

    fn view<'a>(&self, packet: &'a Packet<'a>, hook: Hook) -> View<'a> {
        let may_be_marked = self.mark();
        View { packet, hook, translated: None, tracking: Tracking::New, outgoing: None, may_be_marked }
    }

    /// Returns the chains of a hook that a packet meets, in the order of their priorities.
    fn hooked(&self, view: &View<'_>, wanted: impl Fn(&Hooked) -> bool) -> Vec<Based<'_>> {
        let chains = self
            .of(view.family())
            .flat_map(|table| table.chains.iter().map(move |(name, chain)| (table, name, chain)));
        let mut found: Vec<_> = chains
            .filter_map(|(table, name, chain)| {
                let hooked = chain.hooked.filter(|hooked| hooked.hook == view.hook && wanted(hooked))?;
                Some(Based { table, name, chain, hooked })
            })
            .collect();
        found.sort_by_key(|based| based.hooked.priority);
        found
    }
}

/// Returns what connection tracking has of a packet at a chain that comes before it; nothing if the chain comes after
/// it.
fn tracking_at(hooked: Hooked) -> Option<Tracking> {
    match hooked.priority {
        _ if hooked.hook != Hook::Prerouting => None,
        priority if priority < TRACKING => Some(Tracking::NotYet),
        // Those of equal priority have no order.
        TRACKING => Some(Tracking::Unknown),
        _ => None,
    }
}

/// Returns who drops a packet in these chains.
fn filtered(chains: &[Based<'_>], view: &View<'_>) -> Vec<Objection> {
    chains.iter().filter_map(|chain| objection(chain.walk(view).outcomes)).collect()
}

/// Returns who drops a packet in chains that come before connection tracking, and which of them excludes it from that.
fn untracked(chains: &[Based<'_>], view: &View<'_>) -> (Vec<Objection>, Untracked) {
    let (mut objections, mut untracked) = (Vec::new(), Untracked::default());
    for chain in chains {
        let tracking = tracking_at(chain.hooked).unwrap_or(view.tracking);
        let walked = chain.walk(&View { tracking, ..*view });
        objections.extend(objection(walked.outcomes));
        let is_in_time = tracking == Tracking::NotYet;
        untracked = untracked.or(if is_in_time { walked.untracked } else { walked.untracked.doubted() });
    }
    (objections, untracked)
}

/// Returns the first of these outcomes that does not let the packet pass.
fn objection(outcomes: Vec<(Outcome, Place)>) -> Option<Objection> {
    let is_certain = outcomes.iter().all(|(outcome, _)| *outcome == Outcome::Dropped);
    let drops = outcomes.into_iter().find(|(outcome, _)| *outcome != Outcome::Passed);
    drops.map(|(_, place)| Objection { place, is_certain })
}

/// The outcome of the chains that translate.
#[derive(Default)]
struct Led {
    ways: Vec<Way>,
    /// The rules that may lead anywhere.
    unknown: Vec<Place>,
    dropped: Vec<Objection>,
}

/// Returns where the chains that translate may lead a packet. The first that leads or drops it decides
/// (`nf_nat_inet_fn`, net/netfilter/nf_nat_core.c); those of equal priority have no order.
fn led(chains: &[Based<'_>], view: &View<'_>) -> Led {
    let mut led = Led::default();
    let mut settled: Option<i32> = None;
    for chain in chains {
        if settled.is_some_and(|priority| priority < chain.hooked.priority) {
            break;
        }
        let outcomes = chain.walk(view).outcomes;
        if !outcomes.iter().any(|(outcome, _)| matches!(outcome, Outcome::Passed | Outcome::Unknown)) {
            settled = Some(chain.hooked.priority);
        }
        led.add(outcomes);
    }
    // Without a way, the packet is certainly dropped, or led to an unknown place: its destination then counts as dialled.
    if settled.is_none() || led.ways.is_empty() {
        led.ways.push(Way { translated: None, is_tracked: true, by: None });
    }
    led
}

impl Led {
    /// Adds the possible outcomes of the next chain.
    fn add(&mut self, outcomes: Vec<(Outcome, Place)>) {
        let is_reached = self.ways.is_empty() && self.unknown.is_empty();
        let is_certain = is_reached && outcomes.len() == 1;
        for (outcome, by) in outcomes {
            match outcome {
                Outcome::Led(to) => {
                    self.ways.push(Way { translated: Some(to), is_tracked: true, by: Some(by) });
                }
                Outcome::LedSomewhere | Outcome::Unknown => self.unknown.push(by),
                Outcome::Dropped => self.dropped.push(Objection { place: by, is_certain }),
                Outcome::Passed => {}
            }
        }
    }
}

/// Returns each destination once, with the first rule that leads there.
fn without_repetition(ways: Vec<Way>) -> Vec<Way> {
    let mut kept: Vec<Way> = Vec::new();
    for way in ways {
        if !kept.iter().any(|other| other.translated == way.translated) {
            kept.push(way);
        }
    }
    kept
}
