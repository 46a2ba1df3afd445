//! Who may pass a door, from where.

use std::net::IpAddr;

use dockfw_policy::address::AddressRange;
use dockfw_policy::compile::names;
use dockfw_policy::policy::Place;
use dockfw_policy::walk::{
    Admission, Audience, Interface, Path, SourceCondition, Translation, USUAL_HOP_LIMIT, audience,
};
use serde::{Serialize, Serializer};

use super::doors::Door;
use super::led::{Surroundings, kind_by};
use super::{Answers, Exposed, Facts, Kind, Rules, placeholder};
use crate::foreign::{Arrival, Way};
use crate::host::docker::{Container, MESH_BRIDGE};
use crate::host::links::Link;
use crate::host::listeners::Listener;

/// Who may reach a port by these interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reach {
    /// The interfaces.
    pub(crate) interfaces: Vec<String>,
    /// Who is let in; empty: nobody.
    pub(crate) admitted: Vec<Admitted>,
}

/// Sources that a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Admitted {
    /// Who.
    pub(crate) who: Who,
    /// The part of the policy that lets them in; nothing if nothing stops them.
    pub(crate) rule: Option<String>,
    /// Where that was written.
    #[serde(serialize_with = "as_text")]
    pub(crate) place: Option<Place>,
}

fn as_text<S: Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    match place {
        Some(place) => serializer.collect_str(place),
        None => serializer.serialize_none(),
    }
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Who {
    /// All but the blocked.
    Everyone,
    /// The addresses that the rule names in its `from`.
    Listed,
    /// The other nodes of the Swarm.
    SwarmPeers,
    /// The trusted.
    Trusted,
}

impl Exposed {
    /// Returns the widest of those who may reach it from outside; nothing: nobody.
    pub(crate) fn widest(&self) -> Option<Who> {
        self.reach.iter().flat_map(|reach| &reach.admitted).map(|admitted| admitted.who).min()
    }
}

/// Where packets may come from.
pub(super) struct Origins<'a> {
    rules: Rules<'a>,
    facts: &'a Facts,
    surroundings: Surroundings<'a>,
    /// The interfaces of the outside, sorted as the rules sort them: no rule of dockfw's distinguishes those of one class.
    outside: Vec<Vec<&'a Link>>,
    /// Docker's bridges.
    inside: Vec<&'a Link>,
}

/// Interfaces of one class from which packets for a door are led to the same places.
struct Group<'a> {
    class: usize,
    links: Vec<&'a Link>,
    arrival: Arrival,
}

impl<'a> Origins<'a> {
    /// Sorts the interfaces.
    pub(super) fn of(rules: Rules<'a>, facts: &'a Facts) -> Self {
        let is_inside = |link: &&Link| {
            let mut lists = rules.ruleset.interfaces.iter().filter(|list| list.bridges_only);
            let interface = rules.interface(link);
            lists.any(|list| interface.is_of(list))
        };
        let outer = facts.links.iter();
        let outer = outer.filter(|link| link.is_up && link.is_way_in());
        let mut outside: Vec<Vec<&Link>> = Vec::new();
        for link in outer.filter(|link| !is_inside(link)) {
            let same = |other: &Vec<&Link>| {
                other.first().is_some_and(|other| class(rules, other) == class(rules, link))
            };
            match outside.iter_mut().find(|others| same(others)) {
                Some(others) => others.push(link),
                None => outside.push(vec![link]),
            }
        }
        let inside = facts.links.iter().filter(is_inside).collect();
        Self { rules, facts, surroundings: Surroundings::of(facts), outside, inside }
    }

    /// Returns whether rules of others lead packets from outside for a door elsewhere.
    pub(super) fn is_led(&self, door: &Door<'_>) -> bool {
        self.groups(door).iter().any(|group| group.arrival.ways.iter().any(|way| way.translated.is_some()))
    }

    /// Returns who may pass a door, and in words what of that is unknown.
    pub(super) fn judge(&self, mut door: Door<'_>) -> (Exposed, Vec<String>) {
        let groups = self.groups(&door);
        let (kind, answers) = self.answering(&door, &groups);
        (door.kind, door.answers) = (kind, answers);
        let mut unknown = Vec::new();
        let mut reach: Vec<Reach> = Vec::new();
        for (before, group) in std::iter::once(None).chain(groups.iter().map(Some)).zip(&groups) {
            let next = self.reach(&door, group, &mut unknown);
            match reach.last_mut().filter(|last| last.admitted == next.admitted) {
                // They are led to different places, which dockfw's rules do not distinguish.
                Some(last) if before.is_some_and(|before| before.class == group.class) => {
                    last.interfaces.extend(next.interfaces);
                }
                _ => reach.push(next),
            }
        }
        let containers = self.is_open_to_containers(&door);
        let Door { port, family, address, kind, answers, .. } = door;
        (Exposed { port, family, address, kind, answers, reach, containers }, unknown)
    }

    /// Returns the interfaces of the outside that a door is at, grouped by where its packets are led.
    fn groups(&self, door: &Door<'_>) -> Vec<Group<'a>> {
        let mut groups = Vec::new();
        for (class, links) in self.outside.iter().enumerate() {
            let bound =
                links.iter().filter(|link| door.interface.is_none_or(|bound| bound.index == link.index));
            let mut of_class: Vec<Group<'a>> = Vec::new();
            for link in bound {
                let arrival = self.surroundings.arrival(door, link);
                match of_class.iter_mut().find(|group| group.arrival.ways == arrival.ways) {
                    Some(group) => group.links.push(link),
                    None => of_class.push(Group { class, links: vec![link], arrival }),
                }
            }
            groups.extend(of_class);
        }
        groups
    }

    /// Returns what a door is, and what answers there, once it is known where it leads.
    fn answering(&self, door: &Door<'_>, groups: &[Group<'_>]) -> (Kind, Answers) {
        let ways = groups.iter().flat_map(|group| &group.arrival.ways);
        let led = ways.filter_map(|way| Some((way.translated?, way.by.as_ref()))).next();
        let Some((to, by)) = led.filter(|_| [Kind::Process, Kind::Translated].contains(&door.kind)) else {
            return (door.kind, door.answers.clone());
        };
        if self.surroundings.is_own(to.address) {
            return (Kind::Process, self.listening(to, door).unwrap_or_else(|| door.answers.clone()));
        }
        let kind = by.map_or(Kind::Translated, kind_by);
        let at = |container: &&Container| container.addresses.iter().any(|(_, own)| *own == to.address);
        let container = self.facts.containers.iter().find(at).map(|container| container.name.clone());
        let answers = Answers {
            container,
            address: (kind == Kind::Translated).then_some(to.address),
            container_port: Some(to.port),
            ..Answers::default()
        };
        (kind, answers)
    }

    /// Returns who listens if a rule leads to another port of the host.
    fn listening(&self, to: Translation, door: &Door<'_>) -> Option<Answers> {
        let is_there = |one: &&Listener| {
            (one.transport, one.port) == (door.port.transport, to.port) && one.answers(to.address)
        };
        let holder = self.facts.listeners.iter().find(is_there)?.holder.as_ref();
        Some(Answers {
            process: holder.map(|holder| holder.name.clone()),
            pid: holder.map(|holder| holder.pid),
            ..Answers::default()
        })
    }

    /// Returns whether it is open to all containers. If docker-proxy answers, it is a process of the host; otherwise they
    /// are led on.
    fn is_open_to_containers(&self, door: &Door<'_>) -> bool {
        let mut bridges =
            self.inside.iter().filter(|link| door.interface.is_none_or(|bound| bound.index == link.index));
        let is_open = |link: &&&Link| {
            let ways = self.surroundings.arrival(door, link).ways;
            ways.iter().all(|way| self.audience(door, way, self.rules.interface(link)).is_everyone())
        };
        let is_bound_elsewhere =
            door.interface.is_some_and(|bound| !self.inside.iter().any(|link| link.index == bound.index));
        !self.inside.is_empty() && !is_bound_elsewhere && bridges.all(|link| is_open(&link))
    }

    /// Returns who may pass by interfaces of one group.
    fn reach(&self, door: &Door<'_>, group: &Group<'_>, unknown: &mut Vec<String>) -> Reach {
        let incoming = group.links.first().map(|link| self.rules.interface(link));
        let audience = |way: &Way| self.audience(door, way, incoming.clone().unwrap_or_else(nowhere));
        let by_way: Vec<_> = group.arrival.ways.iter().map(|way| self.admitted(&audience(way))).collect();
        let names: Vec<_> = group.links.iter().map(|link| link.name.clone()).collect();
        let differs = by_way.windows(2).any(|pair| pair.first() != pair.last());
        let ways = group.arrival.ways.iter().filter(|_| differs);
        let known = ways.filter_map(|way| Some((way.is_tracked, way.by.as_ref()?)));
        for (is_tracked, place) in known.chain(group.arrival.unknown.iter().map(|place| (true, place))) {
            let does = if is_tracked { "leads elsewhere" } else { "takes out of connection tracking" };
            let (port, by) = (door.port, names.join(", "));
            let table = &place.table;
            unknown.push(format!(
                "who reaches {port} by {by}: it is not known whom this {does}: {place} [{table}]"
            ));
        }
        let mut admitted = by_way.concat();
        admitted.sort_by_key(|one| one.who);
        admitted.dedup();
        Reach { interfaces: names, admitted }
    }

    fn audience(&self, door: &Door<'_>, way: &Way, incoming: Interface) -> Audience<'a> {
        let translated_away = way.translated.filter(|to| !self.surroundings.is_own(to.address));
        let path = Path {
            destination: if door.address.is_unspecified() { placeholder(door.family) } else { door.address },
            payload: door.port.opening(),
            hop_limit: USUAL_HOP_LIMIT,
            translated: way.translated,
            incoming,
            outgoing: translated_away.map(|to| self.way_to(door.kind, to.address)),
            connection: way.connection(),
        };
        audience(self.rules.ruleset, &path)
    }

    /// Returns the interface that leads to an address: the one with the closest network around it.
    fn way_to(&self, kind: Kind, address: IpAddr) -> Interface {
        let closest = |link: &&Link| {
            let around = link.networks.iter().filter(|network| network.contains(address));
            around.filter_map(AddressRange::prefix).max()
        };
        let links = &self.facts.links;
        let by_network = links.iter().filter(|link| closest(link).is_some()).max_by_key(closest);
        let found = match kind {
            Kind::Mesh => by_network.or_else(|| links.iter().find(|link| link.name == MESH_BRIDGE)),
            Kind::Process | Kind::Published | Kind::Translated => by_network,
        };
        found.map_or_else(nowhere, |link| self.rules.interface(link))
    }

    fn admitted(&self, audience: &Audience<'_>) -> Vec<Admitted> {
        let mut admitted: Vec<_> = audience.admitted.iter().map(|one| self.admitted_by(one)).collect();
        admitted.sort_by_key(|one| one.who);
        admitted.dedup();
        admitted
    }

    fn admitted_by(&self, admission: &Admission<'_>) -> Admitted {
        let origin = admission.by.map(|by| &by.rule.origin);
        Admitted {
            who: admission.sources.iter().map(who).max().unwrap_or(Who::Everyone),
            rule: origin.map(|origin| origin.what.clone()),
            place: origin.and_then(|origin| origin.place.clone()),
        }
    }
}

fn nowhere() -> Interface {
    Interface { name: String::new(), is_bridge: false }
}

/// Returns how the rules sort an interface: in which of their lists it is.
fn class(rules: Rules<'_>, link: &Link) -> Vec<bool> {
    let interface = rules.interface(link);
    rules.ruleset.interfaces.iter().map(|list| interface.is_of(list)).collect()
}

/// Returns who is let in. If several conditions must all hold, the narrowest names them.
fn who(condition: &SourceCondition) -> Who {
    match condition {
        SourceCondition::Set(name) if *name == names::TRUSTED => Who::Trusted,
        SourceCondition::Set(name) if *name == names::PEERS => Who::SwarmPeers,
        SourceCondition::Set(_)
        | SourceCondition::Network(_)
        | SourceCondition::Own
        | SourceCondition::ReversePathFails => Who::Listed,
    }
}
