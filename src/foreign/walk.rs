//! A packet's way through the chains of others: first those that it meets until connection tracking knows it, those up to its
//! translation, those that translate, and then those behind.

use dockfw_policy::walk::{Connection, Translation};

use super::chain::{Based, Outcome, Untracked};
use super::{Answer, Hook, Packet, Tracking, View};
use super::{Hooked, Place, Table, Tables};
use crate::host::links::Link;

/// Connection tracking comes here (`NF_IP_PRI_CONNTRACK`, linux/netfilter_ipv4.h).
const TRACKING: i32 = -200;
/// Translations of destinations come here (`NF_IP_PRI_NAT_DST`, there).
const TRANSLATION: i32 = -100;
/// And those of sources here (`NF_IP_PRI_NAT_SRC`).
const TRANSLATION_OF_SOURCES: i32 = 100;

/// That a rule drops a packet, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    /// Where.
    pub(crate) place: Place,
    /// Whether it surely does.
    pub(crate) is_certain: bool,
}

/// Where a packet is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where its destination is translated to, if it is.
    pub(crate) translated: Option<Translation>,
    /// Whether connection tracking knows it. Nothing is translated that is not tracked.
    pub(crate) is_tracked: bool,
    /// The rule that leads it there, or takes it out of connection tracking.
    pub(crate) by: Option<Place>,
}

impl Way {
    /// What connection tracking thinks of the packet, as dockfw's own rules ask.
    pub(crate) fn connection(&self) -> Connection {
        if self.is_tracked { Connection::New } else { Connection::None }
    }
}

/// What becomes of a packet until it is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Where it may be led: one of these, and never none.
    pub(crate) ways: Vec<Way>,
    /// Who drops it before it is translated, or instead.
    pub(crate) objections: Vec<Objection>,
    /// Rules that may lead it where nobody knows here.
    pub(crate) unknown: Vec<Place>,
}

impl Tables {
    /// What becomes of a packet that comes in, until it is routed.
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

    /// What becomes of a packet behind those objections if connection tracking knows it, which may be certain.
    fn translated(&self, view: &View<'_>, is_certain: bool, mut objections: Vec<Objection>) -> Arrival {
        let chains = self.hooked(view, |hooked| hooked.translates);
        let Led { ways, unknown, dropped } = led(&chains, view);
        objections.extend(
            dropped.into_iter().map(|one| Objection { is_certain: one.is_certain && is_certain, ..one }),
        );
        Arrival { ways: without_repetition(ways), objections, unknown }
    }

    /// Who drops a packet on one of its ways once it was translated, and goes on to the host itself or out by an interface.
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

    /// Who drops a packet that is passed on, on its way out. Once its source may have been translated, it is not known.
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

    /// Where a chain drops a packet that no rule is sure to be about. Whether it `follows` to other chains.
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

    /// The chains of a hook that a packet meets, in the order of their priorities.
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

/// What connection tracking has of a packet that comes to a chain before it has asked; nothing: it has.
fn tracking_at(hooked: Hooked) -> Option<Tracking> {
    match hooked.priority {
        _ if hooked.hook != Hook::Prerouting => None,
        priority if priority < TRACKING => Some(Tracking::NotYet),
        // Those of equal priority have no order.
        TRACKING => Some(Tracking::Unknown),
        _ => None,
    }
}

/// Who drops a packet on its way through these chains.
fn filtered(chains: &[Based<'_>], view: &View<'_>) -> Vec<Objection> {
    chains.iter().filter_map(|chain| objection(chain.walk(view).outcomes)).collect()
}

/// Who drops a packet on its way through chains that come before connection tracking, and which of them takes it out of that.
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

/// The first of these outcomes by which a packet does not pass.
fn objection(outcomes: Vec<(Outcome, Place)>) -> Option<Objection> {
    let is_certain = outcomes.iter().all(|(outcome, _)| *outcome == Outcome::Dropped);
    let drops = outcomes.into_iter().find(|(outcome, _)| *outcome != Outcome::Passed);
    drops.map(|(_, place)| Objection { place, is_certain })
}

/// What comes of the chains that translate.
#[derive(Default)]
struct Led {
    ways: Vec<Way>,
    /// The rules that may lead anywhere.
    unknown: Vec<Place>,
    dropped: Vec<Objection>,
}

/// Where the chains that translate may lead a packet. The first that leads or drops it decides (`nf_nat_inet_fn`,
/// net/netfilter/nf_nat_core.c); those of equal priority have no order.
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
    // Who is dropped for certain is led nowhere, and where else is unknown.
    if settled.is_none() || led.ways.is_empty() {
        led.ways.push(Way { translated: None, is_tracked: true, by: None });
    }
    led
}

impl Led {
    /// Adds what may come of the next chain.
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

/// Each destination once, with the first rule that leads there.
fn without_repetition(ways: Vec<Way>) -> Vec<Way> {
    let mut kept: Vec<Way> = Vec::new();
    for way in ways {
        if !kept.iter().any(|other| other.translated == way.translated) {
            kept.push(way);
        }
    }
    kept
}
