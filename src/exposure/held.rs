//! Which containers docker-proxy answers. They count as clients of a process of the host: those that no rule leads on
//! when they dial a published port by an address of the host.

use super::doors::of_published;
use super::led::Surroundings;
use super::{Facts, is_outward};
use crate::host::docker::{Driver, Proxied, Published};
use crate::host::links::Link;

/// Published ports at which docker-proxy answers the same containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Which containers.
    pub(crate) by: Proxied,
    /// The ports.
    pub(crate) published: Vec<Published>,
}

/// Returns all published ports that docker-proxy holds for containers, by the live rules; if those can't be read, by
/// this Docker's version.
pub(crate) fn held(facts: &Facts) -> Vec<Held> {
    let surroundings = Surroundings::of(facts);
    let of = |by: Proxied| {
        let is_held = |one: &&Published| {
            !one.is_meshed && is_outward(one.address) && whom(facts, &surroundings, one) == Some(by)
        };
        Held { by, published: facts.published.iter().filter(is_held).cloned().collect() }
    };
    let all = [Proxied::All, Proxied::OwnNetwork].map(of);
    all.into_iter().filter(|held| !held.published.is_empty()).collect()
}

fn whom(facts: &Facts, surroundings: &Surroundings<'_>, published: &Published) -> Option<Proxied> {
    if !facts.others.unreadable.is_empty() {
        return Some(facts.docker.map_or(Proxied::All, |docker| docker.proxied));
    }
    let door = of_published(published);
    let is_left =
        |link: &&Link| surroundings.arrival(&door, link).ways.iter().any(|way| way.translated.is_none());
    let bridges: Vec<_> = facts.links.iter().filter(|link| is_dockers(facts, link)).collect();
    let left = bridges.iter().copied().filter(|link| is_left(link)).count();
    match (left, bridges.len()) {
        (0, _) => None,
        // With one network alone, it is unknown which of the two it is.
        (1, 1) => Some(facts.docker.map_or(Proxied::All, |docker| docker.proxied)),
        (1, _) => Some(Proxied::OwnNetwork),
        _ => Some(Proxied::All),
    }
}

/// Returns whether an interface is the bridge of one of Docker's networks.
fn is_dockers(facts: &Facts, link: &Link) -> bool {
    facts.networks.iter().any(|network| network.driver == Driver::Bridge(link.name.clone()))
}
