//! What Docker's own rules have against a packet that dockfw lets through.
//!
//! Its rules are no interface, and differ between versions. What is said here comes from what Docker says of itself, or
//! from single rules that are live; each reason has its source.

use dockfw_policy::address::Family;
use dockfw_policy::service::{Service, Transport};
use serde::Serialize;

use super::situation::Situation;
use super::target::{Kind, Target, is_dockers};
use super::{Others, Question};
use crate::exposure::Facts;
use crate::host::docker::{Container, Driver, Network};

/// From this version on, Docker closes containers' own addresses to the outside.
const CLOSES_DIRECT_ROUTING: u32 = 28;

/// A reason for which others drop the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Objection {
    /// Why.
    pub(crate) why: String,
    /// Where that was read.
    pub(crate) source: &'static str,
    /// Whether it surely is dropped, as far as that reason goes; otherwise other rules may let it through.
    pub(crate) is_certain: bool,
}

impl Objection {
    fn certain(why: impl Into<String>, source: &'static str) -> Self {
        Self { why: why.into(), source, is_certain: true }
    }
}

/// All reasons that are known.
pub(super) fn objections(
    situation: &Situation,
    question: &Question,
    target: &Target,
    facts: &Facts,
    others: &dyn Others,
) -> Vec<Objection> {
    let family = if situation.to.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    match target.kind {
        Kind::Container => Direct { situation, question, facts, others, family }.objection(),
        Kind::Elsewhere => dropped_in_raw(situation, others).or_else(|| forward_policy(family, others)),
        Kind::Process | Kind::Published | Kind::Mesh | Kind::Nothing => None,
    }
    .into_iter()
    .collect()
}

/// Containers are known by their rules even where Docker does not answer.
fn dropped_in_raw(situation: &Situation, others: &dyn Others) -> Option<Objection> {
    let why = "Docker drops what is sent straight to a container's address";
    let objection = || Objection::certain(why, "a live rule of Docker's at PREROUTING");
    others.direct_is_dropped(situation.to)?.then(objection)
}

/// Others may have a rule that accepts what the policy would drop.
fn forward_policy(family: Family, others: &dyn Others) -> Option<Objection> {
    let why = "the policy of FORWARD is DROP, unless another rule accepts the packet first";
    let objection = Objection { why: why.into(), source: source_of_policy(family), is_certain: false };
    others.forward_drops(family)?.then_some(objection)
}

fn source_of_policy(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables -S FORWARD",
        Family::Ipv6 => "ip6tables -S FORWARD",
    }
}

/// A packet for a container's own address.
struct Direct<'a> {
    situation: &'a Situation,
    question: &'a Question,
    facts: &'a Facts,
    others: &'a dyn Others,
    family: Family,
}

impl Direct<'_> {
    fn objection(&self) -> Option<Objection> {
        let (container, network) = self.container()?;
        let Driver::Bridge(bridge) = &network.driver else { return None };
        let incoming = &self.situation.incoming;
        if *bridge == incoming.name {
            None
        } else if network.is_internal {
            let why = format!("the network `{}` is internal: nothing comes in from elsewhere", network.name);
            Some(Objection::certain(why, "Docker's networks"))
        } else if is_dockers(self.facts, incoming) {
            let why = "Docker keeps its networks apart from one another";
            Some(Objection::certain(why, "Docker's networks"))
        } else {
            self.closed_to_the_outside(container, network)
        }
    }

    fn container(&self) -> Option<(&Container, &Network)> {
        self.facts.containers.iter().find_map(|container| {
            let (name, _) = container.addresses.iter().find(|(_, address)| *address == self.situation.to)?;
            let network = self.facts.networks.iter().find(|network| network.name == *name)?;
            Some((container, network))
        })
    }

    /// From outside of Docker, by routing.
    fn closed_to_the_outside(&self, container: &Container, network: &Network) -> Option<Objection> {
        if network.trusted_interfaces.contains(&self.situation.incoming.name) {
            return None;
        }
        if let Some(objection) = dropped_in_raw(self.situation, self.others) {
            return Some(objection);
        }
        if self.is_published(container) || network.gateway_mode(self.family) == Some("nat-unprotected") {
            return None;
        }
        let version = self.others.docker_version().unwrap_or_default();
        if version.first().is_some_and(|major| *major >= CLOSES_DIRECT_ROUTING) {
            let why = "Docker, from 28 on, drops what is sent straight to a port that is not published";
            return Some(Objection::certain(why, "Docker's version"));
        }
        let why = "the policy of FORWARD is DROP, and Docker accepts published ports only";
        let objection = forward_policy(self.family, self.others)?;
        Some(Objection { why: why.into(), is_certain: true, ..objection })
    }

    /// Whether Docker publishes the container's own port that is asked about.
    fn is_published(&self, container: &Container) -> bool {
        let own = |transport: Transport, port: u16| {
            container.published.iter().any(|one| (one.transport, one.container_port) == (transport, port))
        };
        matches!(self.question.service, Service::Ports(transport, range) if own(transport, range.first()))
    }
}
