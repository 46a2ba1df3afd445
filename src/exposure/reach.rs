//! Who may go through a door, from where.

use std::net::IpAddr;

use dockfw_policy::address::AddressRange;
use dockfw_policy::compile::names;
use dockfw_policy::policy::Place;
use dockfw_policy::walk::{
    Admission, Audience, Connection, Interface, Path, SourceCondition, Translation, USUAL_HOP_LIMIT, audience,
};
use serde::{Serialize, Serializer};

use super::{Door, Exposed, Kind, Rules, placeholder};
use crate::host::docker::MESH_BRIDGE;
use crate::host::links::Link;

/// Who may reach a port by these interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reach {
    /// The interfaces.
    pub(crate) interfaces: Vec<String>,
    /// Who is let in; none: nobody.
    pub(crate) admitted: Vec<Admitted>,
}

/// Sources that a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Admitted {
    /// Who.
    pub(crate) who: Who,
    /// The part of the policy that lets them in; nothing where nothing stops them.
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
    /// The widest of those who may reach it from outside; nothing: nobody.
    pub(crate) fn widest(&self) -> Option<Who> {
        self.reach.iter().flat_map(|reach| &reach.admitted).map(|admitted| admitted.who).min()
    }
}

/// Where packets may come from.
pub(super) struct Origins<'a> {
    rules: Rules<'a>,
    links: &'a [Link],
    /// The interfaces of the outside, sorted as the rules sort them: no rule tells those of one class apart.
    outside: Vec<Vec<&'a Link>>,
    /// A bridge of Docker's, if there is one.
    inside: Option<Interface>,
}

impl<'a> Origins<'a> {
    /// Sorts the interfaces.
    pub(super) fn of(rules: Rules<'a>, links: &'a [Link]) -> Self {
        let ruleset = rules.ruleset;
        let is_inside = |link: &Link| {
            let lists = ruleset.interfaces.iter().filter(|list| list.bridges_only);
            let interface = rules.interface(link);
            lists.into_iter().any(|list| interface.is_of(list))
        };
        let outer = links.iter().filter(|link| link.is_up && link.name != "lo" && link.controller.is_none());
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
        let inside = links.iter().find(|link| is_inside(link)).map(|link| rules.interface(link));
        Self { rules, links, outside, inside }
    }

    /// Says who may go through a door.
    pub(super) fn judge(&self, door: Door<'_>) -> Exposed {
        Exposed {
            reach: self.outside.iter().filter_map(|links| self.reach(&door, links)).collect(),
            containers: self.inside.as_ref().is_some_and(|inside| {
                let is_bound = door.interface.is_some_and(|link| link.name != inside.name);
                // Whatever is published: a process of the host answers containers, if only docker-proxy.
                !is_bound && self.audience(&door, None, inside.clone()).is_everyone()
            }),
            port: door.port,
            family: door.family,
            address: door.address,
            kind: door.kind,
            answers: door.answers,
        }
    }

    /// Who may by interfaces of one class, nothing where the door is not on any of them.
    fn reach(&self, door: &Door<'_>, links: &[&Link]) -> Option<Reach> {
        let bound = door.interface;
        let open = links.iter().filter(|link| bound.is_none_or(|bound| bound.index == link.index));
        let open: Vec<_> = open.collect();
        let incoming = self.rules.interface(open.first()?);
        let audience = self.audience(door, door.translated, incoming);
        Some(Reach {
            interfaces: open.into_iter().map(|link| link.name.clone()).collect(),
            admitted: self.admitted(&audience),
        })
    }

    fn audience(
        &self,
        door: &Door<'_>,
        translated: Option<Translation>,
        incoming: Interface,
    ) -> Audience<'a> {
        let path = Path {
            destination: if door.address.is_unspecified() { placeholder(door.family) } else { door.address },
            payload: door.port.opening(),
            hop_limit: USUAL_HOP_LIMIT,
            translated,
            incoming,
            outgoing: translated.map(|to| self.way_to(door.kind, to.address)),
            connection: Connection::New,
        };
        audience(self.rules.ruleset, &path)
    }

    /// The interface that leads to a container: the one with the closest network around its address.
    fn way_to(&self, kind: Kind, address: IpAddr) -> Interface {
        let closest = |link: &&Link| {
            let around = link.networks.iter().filter(|network| network.contains(address));
            around.filter_map(AddressRange::prefix).max()
        };
        let found = match kind {
            Kind::Mesh => self.links.iter().find(|link| link.name == MESH_BRIDGE),
            Kind::Process | Kind::Published => {
                self.links.iter().filter(|link| closest(link).is_some()).max_by_key(closest)
            }
        };
        let nowhere = || Interface { name: String::new(), is_bridge: false };
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

/// How the rules sort an interface: which of their lists it is of.
fn class(rules: Rules<'_>, link: &Link) -> Vec<bool> {
    let interface = rules.interface(link);
    rules.ruleset.interfaces.iter().map(|list| interface.is_of(list)).collect()
}

/// Of several conditions that must all hold, the narrowest names those who are let in.
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
