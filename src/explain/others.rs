//! What the live rules of others do to the packet.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::service::{PortRange, Service};
use dockfw_policy::walk::Payload;
use serde::Serialize;

use super::situation::Situation;
use super::ways::Walked;
use super::{Asks, Kind, Question, Target, target};
use crate::exposure::Facts;
use crate::foreign::{self, Arrival, Host, Packet, Tables};
use crate::host::docker::{Driver, Network, Published};
use crate::host::links::Link;
use crate::host::routes::AddressType;

/// A reason why others drop the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Objection {
    /// Why: the rule, or the policy.
    pub(crate) why: String,
    /// Where that was read.
    pub(crate) source: String,
    /// Whether it is certainly dropped there; otherwise that depends on something unknown.
    pub(crate) is_certain: bool,
}

impl Objection {
    /// Returns the same objection if rules that can't be read may lead the packet elsewhere.
    pub(super) fn doubted(self) -> Self {
        Self { is_certain: false, ..self }
    }
}

/// The rules of others, and the host that they ask.
pub(super) struct Surroundings<'a> {
    pub(super) asks: &'a dyn Asks,
    pub(super) tables: &'a Tables,
    pub(super) links: &'a [Link],
}

impl Host for Surroundings<'_> {
    fn address_type(&self, address: IpAddr) -> Option<AddressType> {
        self.asks.route(address, None).map(|route| route.leads_to)
    }

    fn holder(&self, address: IpAddr) -> Option<u32> {
        self.links.iter().find(|link| link.addresses.contains(&address)).map(|link| link.index)
    }

    fn set_has(&self, set: &str, address: IpAddr) -> Option<bool> {
        self.asks.set_has(set, address)
    }

    fn return_interface(&self, address: IpAddr) -> Option<u32> {
        self.asks.route(address, None).map(|route| route.interface)
    }
}

impl Surroundings<'_> {
    /// Returns where they lead the packet.
    pub(super) fn arrival(&self, situation: &Situation, question: &Question) -> Arrival {
        self.tables.arrival(&self.packet(situation, question))
    }

    /// Returns who drops it on the first of its ways. If there are other ways, no drop after they part is certain.
    pub(super) fn objections(
        &self,
        situation: &Situation,
        question: &Question,
        arrival: &Arrival,
        ways: &[Walked<'_>],
    ) -> Vec<Objection> {
        let [first, rest @ ..] = ways else { return Vec::new() };
        let packet = self.packet(situation, question);
        let outgoing = first.target.outgoing.as_ref();
        let later = self.tables.objections(&packet, first.way, outgoing);
        let later = later
            .into_iter()
            .map(|one| foreign::Objection { is_certain: one.is_certain && rest.is_empty(), ..one });
        arrival.objections.iter().cloned().chain(later).map(in_words).collect()
    }

    fn packet<'a>(&'a self, situation: &'a Situation, question: &Question) -> Packet<'a> {
        let payload: Payload = target::payload(question.service, situation.to);
        Packet {
            source: Some(question.from),
            destination: situation.to,
            payload,
            incoming: &situation.incoming,
            host: self,
        }
    }
}

/// Returns what this Docker does by its version, if its rules can't be read: never certain.
pub(super) fn by_version(
    situation: &Situation,
    question: &Question,
    target: &Target,
    facts: &Facts,
) -> Option<Objection> {
    let family = if situation.to.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let (container, network) = target::container_at(facts, situation.to)?;
    let network = network.filter(|_| target.kind == Kind::Container)?;
    let incoming = &situation.incoming.name;
    let is_bridge_of = |network: &Network| network.driver == Driver::Bridge(incoming.clone());
    if is_bridge_of(network) || network.trusted_interfaces.contains(incoming) {
        return None;
    }
    let own = |one: &Published| {
        let service = PortRange::single(one.container_port).map(|port| Service::Ports(one.transport, port));
        service == Some(question.service)
    };
    let from_a_network = facts.networks.iter().any(is_bridge_of);
    let is_published = container.published.iter().any(own);
    let why = facts.docker?.why_closed(network, family, from_a_network, is_published)?;
    Some(Objection {
        why: why.into(),
        source: "Docker's version, and its networks".into(),
        is_certain: false,
    })
}

fn in_words(objection: foreign::Objection) -> Objection {
    let foreign::Objection { place, is_certain } = objection;
    let source = format!("chain {} of {}", place.chain, place.table);
    Objection { why: place.to_string(), source, is_certain }
}
