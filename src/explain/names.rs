//! What is meant by the names of lists and containers in a question.
//!
//! As the sender, a list stands for its first address, and a container for its own. As the destination, a container stands
//! for the host, if the port in question is one that it publishes, and otherwise for its own address.

use std::net::IpAddr;

use dockfw_policy::Lists;
use dockfw_policy::address::{AddressRange, AddressSet, Family};
use dockfw_policy::service::Service;

use super::Question;
use super::situation::Unclear;
use crate::exposure::Facts;
use crate::host::docker::{Container, Driver, Published};

/// Somebody in a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// By the address.
    Address(IpAddr),
    /// By the name of a list or a container.
    Named(String),
}

/// A question as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    /// Who sends.
    pub(crate) from: Party,
    /// The one port that is dialled, or the protocol.
    pub(crate) service: Service,
    /// The interface that the packet arrives on, if it was named.
    pub(crate) incoming: Option<String>,
    /// What is dialled, if it was named.
    pub(crate) to: Option<Party>,
}

/// What was meant.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    /// The question about one sender.
    pub(crate) question: Question,
    /// All senders, of the same family, if a list was named.
    pub(crate) senders: Option<AddressSet>,
    /// What the names stand for, in words.
    pub(crate) words: Vec<String>,
}

/// A party that is found.
enum Found<'a> {
    Address(IpAddr),
    List(&'a str, AddressSet),
    Container(&'a Container),
}

/// Where to a container is asked for, and how that is said.
struct Place {
    to: Option<IpAddr>,
    words: String,
}

/// Returns what a question means on this host.
pub(crate) fn meant(inquiry: &Inquiry, facts: &Facts, lists: &Lists) -> Result<Meant, Unclear> {
    let names = Names { facts, lists };
    let to = inquiry.to.as_ref().map(|to| names.destination(to)).transpose()?;
    let from = names.sender(&inquiry.from)?;
    let family = family(&from, to.as_ref());
    let common = common_network(&from, to.as_ref());
    let mut words = Vec::new();
    let mut meant = Meant {
        question: Question {
            from: names.address(&from, family, common, &mut words)?,
            service: inquiry.service,
            incoming: inquiry.incoming.clone(),
            to: None,
        },
        senders: None,
        words,
    };
    match from {
        Found::List(_, addresses) => meant.senders = Some(of_family(&addresses, family)),
        Found::Container(container) if meant.question.incoming.is_none() => {
            meant.question.incoming = names.bridge(container, meant.question.from);
        }
        _ => {}
    }
    match to {
        Some(Found::Container(container)) => {
            let place = names.place(container, inquiry.service, family, common)?;
            meant.question.to = place.to;
            meant.words.push(place.words);
        }
        Some(to) => meant.question.to = Some(names.address(&to, family, None, &mut meant.words)?),
        None => {}
    }
    Ok(meant)
}

struct Names<'a> {
    facts: &'a Facts,
    lists: &'a Lists,
}

impl<'a> Names<'a> {
    /// A list comes first: a policy is about senders.
    fn sender(&self, party: &'a Party) -> Result<Found<'a>, Unclear> {
        let Party::Named(name) = party else { return self.found(party, None) };
        self.found(party, self.list(name).or_else(|| self.container(name)))
    }

    /// A container comes first.
    fn destination(&self, party: &'a Party) -> Result<Found<'a>, Unclear> {
        let Party::Named(name) = party else { return self.found(party, None) };
        self.found(party, self.container(name).or_else(|| self.list(name)))
    }

    fn found(&self, party: &Party, named: Option<Found<'a>>) -> Result<Found<'a>, Unclear> {
        match party {
            Party::Address(address) => Ok(Found::Address(*address)),
            Party::Named(name) => named.ok_or_else(|| self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Unclear {
        let mut containers: Vec<_> = self.facts.containers.iter().map(|one| one.name.clone()).collect();
        containers.sort();
        let lists = self.lists.names().map(str::to_owned).collect();
        Unclear::UnknownName { name: name.into(), lists, containers }
    }

    fn list(&self, name: &'a str) -> Option<Found<'a>> {
        self.lists.addresses(name).map(|addresses| Found::List(name, addresses))
    }

    fn container(&self, name: &str) -> Option<Found<'a>> {
        self.facts.containers.iter().find(|one| one.name == name).map(Found::Container)
    }

    /// Returns the address that a party stands for, and says which one it is. `network`: the one that is meant, of those
    /// of a container.
    fn address(
        &self,
        party: &Found<'_>,
        family: Option<Family>,
        network: Option<&str>,
        words: &mut Vec<String>,
    ) -> Result<IpAddr, Unclear> {
        match party {
            Found::Address(address) => Ok(*address),
            Found::List(name, addresses) => {
                let first = of_family(addresses, family).ranges().next().map(first);
                let address = first.ok_or_else(|| Unclear::NoAddressOf {
                    name: (*name).into(),
                    is_container: false,
                    family,
                })?;
                words.push(format!("explained for {address}, the first address of `{name}`"));
                Ok(address)
            }
            Found::Container(container) => {
                let (network, address) = own_address(container, family, network)?;
                let name = &container.name;
                words.push(format!(
                    "explained for {address}, the address of container {name} on network {network}"
                ));
                Ok(address)
            }
        }
    }

    /// Returns the bridge that packets of a container at this address arrive on.
    fn bridge(&self, container: &Container, address: IpAddr) -> Option<String> {
        let (name, _) = container.addresses.iter().find(|(_, own)| *own == address)?;
        let network = self.facts.networks.iter().find(|network| network.name == *name)?;
        match &network.driver {
            Driver::Bridge(bridge) => Some(bridge.clone()),
            _ => None,
        }
    }

    fn place(
        &self,
        container: &Container,
        service: Service,
        family: Option<Family>,
        common: Option<&str>,
    ) -> Result<Place, Unclear> {
        let name = &container.name;
        if container.on_host_network {
            let words =
                format!("container {name} is on the host's network: an address of the host is dialled");
            return Ok(Place { to: None, words });
        }
        let is_meant = |one: &&Published| {
            one.service() == Some(service) && family.is_none_or(|family| family_of(one.address) == family)
        };
        let published = container.published.iter().find(is_meant).filter(|_| common.is_none());
        if let Some(published) = published {
            let to = Some(published.address).filter(|address| !address.is_unspecified());
            let words = format!("container {name} publishes {service}: an address of the host is dialled");
            return Ok(Place { to, words });
        }
        let (network, address) = own_address(container, family, common)?;
        let words = match common {
            Some(_) => format!("container {name} is dialled at {address}, on the common network {network}"),
            None => format!(
                "container {name} does not publish {service}: its own address {address} is dialled, on network {network}"
            ),
        };
        Ok(Place { to: Some(address), words })
    }
}

/// Returns the family of the question: that of an address in it, or else the first that both parties have.
fn family(from: &Found<'_>, to: Option<&Found<'_>>) -> Option<Family> {
    let parties = || std::iter::once(from).chain(to);
    let named = parties().find_map(|party| match party {
        Found::Address(address) => Some(family_of(*address)),
        _ => None,
    });
    named.or_else(|| {
        [Family::Ipv4, Family::Ipv6].into_iter().find(|family| parties().all(|party| party.has(*family)))
    })
}

impl Found<'_> {
    fn has(&self, family: Family) -> bool {
        match self {
            Self::Address(address) => family_of(*address) == family,
            Self::List(_, addresses) => !of_family(addresses, Some(family)).is_empty(),
            Self::Container(container) => {
                container.on_host_network
                    || container.addresses.iter().any(|(_, own)| family_of(*own) == family)
            }
        }
    }
}

/// Returns the network that two containers are both on: they dial each other there.
fn common_network<'a>(from: &Found<'a>, to: Option<&Found<'a>>) -> Option<&'a str> {
    let (Found::Container(from), Some(Found::Container(to))) = (from, to) else { return None };
    let shared = |name: &&String| to.addresses.iter().any(|(other, _)| other == *name);
    from.addresses.iter().map(|(name, _)| name).find(shared).map(String::as_str)
}

/// Returns a container's address, with its network.
fn own_address<'c>(
    container: &'c Container,
    family: Option<Family>,
    network: Option<&str>,
) -> Result<(&'c str, IpAddr), Unclear> {
    let is_meant = |(name, address): &&(String, IpAddr)| {
        family.is_none_or(|family| family_of(*address) == family)
            && network.is_none_or(|network| network == name)
    };
    let found = container.addresses.iter().find(is_meant);
    let name = || container.name.clone();
    match found {
        Some((network, address)) => Ok((network, *address)),
        None if container.on_host_network => Err(Unclear::OnHostNetwork { container: name() }),
        None => Err(Unclear::NoAddressOf { name: name(), is_container: true, family }),
    }
}

fn of_family(addresses: &AddressSet, family: Option<Family>) -> AddressSet {
    family.map_or_else(|| addresses.clone(), |family| addresses.of_family(family))
}

/// Returns the first address of a range.
pub(super) fn first(range: AddressRange) -> IpAddr {
    match range {
        AddressRange::V4(range) => range.first().into(),
        AddressRange::V6(range) => range.first().into(),
    }
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}
