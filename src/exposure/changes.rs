//! Who gains and who loses a port, from one ruleset to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dockfw_policy::address::{Address, AddressRange, AddressSet, Family, Range};
use dockfw_policy::compile::names;
use dockfw_policy::ruleset::{Match, Ruleset, SetName};
use ipnetwork::IpNetwork;

use super::{Admitted, Exposed, Port, Who, part};

/// How many addresses and networks of a change are shown.
const SHOWN: usize = 6;

/// A ruleset, and what this host exposes under it.
pub(crate) struct Side<'a> {
    /// The rules.
    pub(crate) ruleset: &'a Ruleset,
    /// The ports.
    pub(crate) exposed: &'a [Exposed],
}

/// Whether somebody gets through that did not, or does not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// Gets through.
    Gains,
    /// Gets through no more.
    Loses,
}

/// Those who gain ports, or lose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which of the two.
    pub(crate) turn: Turn,
    /// Who, in words.
    pub(crate) who: String,
    /// The ports, in order, each with what answers there.
    pub(crate) ports: Vec<String>,
}

/// Who may reach a port by one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Audience {
    is_everyone: bool,
    /// The addresses that are let in.
    sources: Sources,
    /// What they are called.
    names: BTreeSet<String>,
    /// Those of them whose addresses are unknown.
    unlisted: BTreeSet<String>,
}

/// Addresses in a ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Sources {
    lists: BTreeSet<SetName>,
    networks: BTreeSet<IpNetwork>,
}

impl Sources {
    fn add(&mut self, condition: &Match) {
        match condition {
            Match::Source(list) => _ = self.lists.insert(list.clone()),
            Match::SourceNetwork(network) => _ = self.networks.insert(*network),
            _ => {}
        }
    }

    fn add_all(&mut self, other: Self) {
        self.lists.extend(other.lists);
        self.networks.extend(other.networks);
    }
}

/// A port, as it is listed: the same on both sides.
type Place = (Port, String, Family);
/// What somebody gains or loses, by which interface.
type Found = BTreeMap<(Turn, String), BTreeMap<Place, BTreeSet<String>>>;

/// How containers stand in the place of an interface.
const CONTAINERS: &str = "containers";

/// Returns who gains and who loses what. Those who gain come first.
pub(crate) fn changes(before: &Side<'_>, after: &Side<'_>) -> Vec<Change> {
    let (old, new) = (before.audiences(), after.audiences());
    let all: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let nobody = Audience::default();
    // Lists may be long, and most ports have the same audience.
    let mut known = BTreeMap::new();
    let mut found = Found::new();
    for key in &all {
        let (place, interface) = key;
        let [old, new] = [&old, &new].map(|side| side.get(key).unwrap_or(&nobody));
        let turns =
            known.entry((old, new, place.2)).or_insert_with(|| turns((before, old), (after, new), place.2));
        for (turn, who) in turns.iter().cloned() {
            let who = if interface == CONTAINERS { CONTAINERS.to_owned() } else { who };
            found.entry((turn, who)).or_default().entry(place.clone()).or_default().insert(interface.clone());
        }
    }
    in_words(found, &all)
}

/// The addresses that each part of the policy lets in.
type SourcesOfRules<'a> = HashMap<&'a str, Sources>;

impl Side<'_> {
    /// Returns who may reach each port, by each interface.
    fn audiences(&self) -> BTreeMap<(Place, String), Audience> {
        let sources = self.sources_of_rules();
        let mut audiences: BTreeMap<(Place, String), Audience> = BTreeMap::new();
        for one in self.exposed {
            let place = (one.port, one.holder(), one.family);
            for reach in &one.reach {
                for interface in &reach.interfaces {
                    let audience = audiences.entry((place.clone(), interface.clone())).or_default();
                    reach.admitted.iter().for_each(|admitted| audience.admit(admitted, &sources));
                }
            }
            audiences.entry((place, CONTAINERS.to_owned())).or_default().is_everyone |= one.containers;
        }
        audiences
    }

    fn sources_of_rules(&self) -> SourcesOfRules<'_> {
        let mut sources = SourcesOfRules::new();
        for rule in self.ruleset.hooks.iter().flat_map(|hook| &hook.rules) {
            let own = sources.entry(rule.origin.what.as_str()).or_default();
            rule.matches.iter().for_each(|condition| own.add(condition));
        }
        sources
    }

    /// Returns the addresses of an audience, list by list.
    fn addresses(&self, audience: &Audience) -> HashSet<AddressSet> {
        let Sources { lists, networks } = &audience.sources;
        let lists = lists.iter().filter_map(|name| self.ruleset.address_list(name));
        let networks =
            networks.iter().map(|network| AddressRange::network_of(network.ip(), network.prefix()));
        lists.map(|list| list.addresses.clone()).chain([networks.collect()]).collect()
    }
}

impl Audience {
    fn admit(&mut self, admitted: &Admitted, sources: &SourcesOfRules<'_>) {
        let rule = admitted.rule.as_deref().unwrap_or_default();
        let list = |name| Sources { lists: [name].into(), ..Sources::default() };
        let (name, sources) = match admitted.who {
            Who::Everyone => {
                self.is_everyone = true;
                return;
            }
            Who::Trusted => ("trusted".to_owned(), list(names::TRUSTED)),
            Who::SwarmPeers => ("Swarm peers".to_owned(), list(names::PEERS)),
            Who::Listed => {
                (format!("sources of {}", part(rule)), sources.get(rule).cloned().unwrap_or_default())
            }
        };
        if sources == Sources::default() {
            self.unlisted.insert(name.clone());
        }
        self.names.insert(name);
        self.sources.add_all(sources);
    }
}

/// Returns who gains and who loses over a family, in words.
fn turns(
    (before, old): (&Side<'_>, &Audience),
    (after, new): (&Side<'_>, &Audience),
    family: Family,
) -> Vec<(Turn, String)> {
    let (held, holds) = (before.addresses(old), after.addresses(new));
    let rest = new.names.iter().cloned().collect::<Vec<_>>().join(", ");
    match (old.is_everyone, new.is_everyone) {
        (true, true) => vec![],
        (false, true) => vec![(Turn::Gains, "everyone".to_owned())],
        (true, false) if rest.is_empty() => vec![(Turn::Loses, "everyone".to_owned())],
        (true, false) => vec![(Turn::Loses, format!("everyone but {rest}"))],
        (false, false) if held == holds && old.unlisted == new.unlisted => vec![],
        (false, false) => {
            let [held, holds] = [held, holds].map(|lists| AddressSet::joined(&lists).of_family(family));
            let gains = listed(&without(&holds, &held), new.unlisted.difference(&old.unlisted));
            let loses = listed(&without(&held, &holds), old.unlisted.difference(&new.unlisted));
            let sides = [(Turn::Gains, gains), (Turn::Loses, loses)];
            sides.into_iter().filter(|(_, who)| !who.is_empty()).collect()
        }
    }
}

/// Returns the addresses that are not in another set.
pub(crate) fn without(set: &AddressSet, others: &AddressSet) -> AddressSet {
    let v4 = outside(set.v4(), others.v4()).into_iter().map(AddressRange::V4);
    v4.chain(outside(set.v6(), others.v6()).into_iter().map(AddressRange::V6)).collect()
}

/// Returns the parts of sorted ranges that are in none of others, which are sorted too.
fn outside<A: Address>(ranges: &[Range<A>], others: &[Range<A>]) -> Vec<Range<A>> {
    let mut left = Vec::new();
    let mut others = others.iter().peekable();
    for range in ranges {
        while others.next_if(|other| other.last() < range.first()).is_some() {}
        let mut first = Some(range.first());
        while let (Some(start), Some(other)) = (first, others.peek().filter(|other| other.overlaps(range))) {
            left.extend(neighbour(other.first(), false).and_then(|last| Range::new(start, last)));
            first = neighbour(other.last(), true).filter(|next| *next <= range.last());
            if first.is_some() {
                others.next();
            }
        }
        left.extend(first.and_then(|first| Range::new(first, range.last())));
    }
    left
}

/// Returns the next address, or the one before; nothing beyond the ends.
fn neighbour<A: Address>(address: A, is_next: bool) -> Option<A> {
    let number = address.to_number();
    let number = if is_next { number.checked_add(1)? } else { number.checked_sub(1)? };
    let neighbour = A::from_number(number);
    // A number above the family's width wraps around.
    (is_next == (neighbour > address)).then_some(neighbour)
}

/// Returns the first addresses and networks of a set, and how many more there are.
pub(crate) fn shortened(addresses: &AddressSet) -> String {
    listed(addresses, std::iter::empty())
}

fn listed<'a>(addresses: &AddressSet, unlisted: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<_> = unlisted.cloned().collect();
    let count = names.len() + addresses.len();
    names.extend(addresses.ranges().take(SHOWN).map(|range| range.to_string()));
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match count.saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the changes in words. Families and interfaces are named only if they differ.
fn in_words(found: Found, all: &BTreeSet<(Place, String)>) -> Vec<Change> {
    let mut changes: BTreeMap<(Turn, String), BTreeSet<(Port, String)>> = BTreeMap::new();
    for ((turn, who), places) in found {
        for ((port, holder, family), interfaces) in &places {
            let others = all.iter().filter(|((other, name, _), _)| (other, name) == (port, holder));
            let families: BTreeSet<_> = others.clone().map(|((.., family), _)| *family).collect();
            let everywhere =
                others.clone().filter(|((.., other), name)| other == family && name != CONTAINERS);
            let has_other = families.iter().any(|other| {
                other != family && places.get(&(*port, holder.clone(), *other)) != Some(interfaces)
            });
            let names_family = has_other && who.chars().next().is_some_and(|first| first.is_alphabetic());
            let over = if names_family { format!(" over {family}") } else { String::new() };
            let is_partial = who != CONTAINERS && everywhere.count() > interfaces.len();
            let names: Vec<_> = interfaces.iter().map(String::as_str).collect();
            let by = if is_partial { format!(" by {}", names.join(", ")) } else { String::new() };
            let ports = changes.entry((turn, format!("{who}{by}{over}"))).or_default();
            ports.insert((*port, format!("{port} ({holder})")));
        }
    }
    let changes = changes.into_iter().map(|((turn, who), ports)| Change {
        turn,
        who,
        ports: ports.into_iter().map(|(_, text)| text).collect(),
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &[(u8, u8)]) -> Vec<Range<std::net::Ipv4Addr>> {
        let set: AddressSet = text
            .iter()
            .filter_map(|(first, last)| {
                Some(AddressRange::V4(Range::new([192, 0, 2, *first].into(), [192, 0, 2, *last].into())?))
            })
            .collect();
        set.v4().to_vec()
    }

    #[test]
    fn at_the_ends_of_a_family_nothing_wraps_around() {
        let all = [Range::new([0; 4].into(), [255; 4].into()).unwrap()];
        let ends = [Range::single([0; 4].into()), Range::single([255; 4].into())];
        assert_eq!(outside(&all, &all), []);
        assert_eq!(
            outside(&all, &ends),
            [Range::new([0, 0, 0, 1].into(), [255, 255, 255, 254].into()).unwrap()]
        );
        assert_eq!(outside::<std::net::Ipv4Addr>(&ends, &[]), ends);
    }

    proptest! {
        #[test]
        fn what_is_outside_is_what_no_other_contains(
            own in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..6),
            others in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..6),
        ) {
            let (own, others) = (ranges(&own), ranges(&others));
            let left = outside(&own, &others);
            for last in 0..=255 {
                let has = |ranges: &[Range<_>]| ranges.iter().any(|range| range.contains([192, 0, 2, last].into()));
                prop_assert_eq!(has(&left), has(&own) && !has(&others));
            }
        }
    }
}
