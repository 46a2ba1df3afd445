//! Whether the matches of a rule hold for a packet whose source is left open.

use ipnetwork::IpNetwork;

use super::packet::{Connection, Interface, Path, Payload, Sender};
use crate::address::Family;
use crate::interface::IfPattern;
use crate::ruleset::{Hook, Match, PortField, Rule, Ruleset, SetName};
use crate::service::{PortRange, Transport};

/// A condition on nothing but the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceCondition {
    /// It is in this set of the ruleset.
    Set(SetName),
    /// It is in this network.
    Network(IpNetwork),
    /// It is an address of the host itself.
    Own,
    /// The host has no route back to it by the interface that the packet arrived on.
    ReversePathFails,
}

impl SourceCondition {
    /// Returns whether it holds for a sender.
    pub fn holds(&self, ruleset: &Ruleset, sender: Sender) -> bool {
        match self {
            Self::Set(name) => {
                ruleset.address_list(name).is_some_and(|list| list.addresses.contains(sender.address))
            }
            Self::Network(network) => network.contains(sender.address),
            Self::Own => sender.is_own,
            Self::ReversePathFails => sender.reverse_path_fails,
        }
    }
}

/// Whether a match holds.
enum Holds {
    Yes,
    No,
    If(SourceCondition),
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// A packet at a hook.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) ruleset: &'a Ruleset,
    pub(super) hook: Hook,
    pub(super) path: &'a Path,
}

impl View<'_> {
    /// Returns what must hold of the source so that the rule is taken, or nothing if it can't be.
    pub(super) fn conditions(&self, rule: &Rule) -> Option<Vec<SourceCondition>> {
        let mut conditions = Vec::new();
        for condition in &rule.matches {
            match self.holds(condition) {
                Holds::Yes => {}
                Holds::No => return None,
                Holds::If(condition) => conditions.push(condition),
            }
        }
        Some(conditions)
    }

    fn holds(&self, condition: &Match) -> Holds {
        let path = self.path;
        match condition {
            Match::Loopback => (path.incoming.name == "lo").into(),
            Match::In(list) => self.is_of(&path.incoming, list).into(),
            Match::NotIn(list) => (!self.is_of(&path.incoming, list)).into(),
            Match::Out(list) => self.goes_out_by(list).into(),
            Match::Crosses(pattern) => self.crosses(pattern).into(),
            Match::Source(set) => self.source_in(set),
            Match::Destination(set) => self.destination_in(set).into(),
            Match::SourceNetwork(network) if self.is_of_family(network) => {
                Holds::If(SourceCondition::Network(*network))
            }
            Match::SourceNetwork(_) => Holds::No,
            Match::DestinationNetwork(network) => network.contains(path.destination_at(self.hook)).into(),
            Match::DialledNetwork(network) => {
                (path.is_tracked_at(self.hook) && network.contains(path.destination)).into()
            }
            Match::SourceIsOwn => Holds::If(SourceCondition::Own),
            Match::ReversePathFails => Holds::If(SourceCondition::ReversePathFails),
            Match::HopLimit { family, limit } => {
                (path.family() == *family && path.hop_limit == *limit).into()
            }
            Match::BoundFor(hook) => (path.hooks().last() == Some(hook)).into(),
            Match::Established => {
                (path.is_tracked_at(self.hook) && path.connection == Connection::Live).into()
            }
            Match::Translated => path.translation_at(self.hook).is_some().into(),
            Match::Ports { transport, port, ranges } => self.has_port(*transport, *port, ranges).into(),
            Match::Protocol(number) => (path.protocol() == *number).into(),
            Match::Family(family) => (path.family() == *family).into(),
            Match::Icmp { family, types } => {
                let kind = matches!(path.payload, Payload::Icmp(kind) if types.contains(&kind));
                (kind && path.family() == *family).into()
            }
            Match::Opening => opens(path.payload).into(),
            Match::NotOpening => (!opens(path.payload)).into(),
        }
    }

    fn is_of(&self, interface: &Interface, list: &SetName) -> bool {
        self.ruleset.interface_list(list).is_some_and(|list| interface.is_of(list))
    }

    /// Returns whether the packet leaves by an interface of the list. Only forwarded packets do, and the interface is known
    /// once they were routed.
    fn goes_out_by(&self, list: &SetName) -> bool {
        let outgoing = self.path.outgoing.as_ref().filter(|_| self.hook == Hook::Forward);
        outgoing.is_some_and(|interface| self.is_of(interface, list))
    }

    fn crosses(&self, pattern: &IfPattern) -> bool {
        let outgoing = self.path.outgoing.as_ref().filter(|_| self.hook == Hook::Forward);
        pattern.matches(&self.path.incoming.name) && outgoing.is_some_and(|out| pattern.matches(&out.name))
    }

    fn source_in(&self, name: &SetName) -> Holds {
        let has_any = |addresses: &crate::address::AddressSet| match self.path.family() {
            Family::Ipv4 => !addresses.v4().is_empty(),
            Family::Ipv6 => !addresses.v6().is_empty(),
        };
        match self.ruleset.address_list(name) {
            Some(list) if has_any(&list.addresses) => Holds::If(SourceCondition::Set(name.clone())),
            _ => Holds::No,
        }
    }

    fn destination_in(&self, name: &SetName) -> bool {
        let list = self.ruleset.address_list(name);
        list.is_some_and(|list| list.addresses.contains(self.path.destination_at(self.hook)))
    }

    fn is_of_family(&self, network: &IpNetwork) -> bool {
        network.is_ipv4() == self.path.destination.is_ipv4()
    }

    fn has_port(&self, wanted: Transport, field: PortField, ranges: &[PortRange]) -> bool {
        let is_wanted = matches!(self.path.payload, Payload::Ports { transport, .. } if transport == wanted);
        let port = self.path.port_at(self.hook, field).filter(|_| is_wanted);
        port.is_some_and(|port| ranges.iter().any(|range| range.contains(port)))
    }
}

fn opens(payload: Payload) -> bool {
    matches!(payload, Payload::Ports { transport: Transport::Tcp, opens: true, .. })
}
