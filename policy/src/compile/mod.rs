//! The one place where a policy becomes rules.
//!
//! In each hook, rules that pass may be in any order among themselves. The place of a rule that drops matters, and the
//! reason is given beside it. The later hooks drop all new connections that the first hook drops
//! ([`ruleset`](crate::ruleset) explains why).

use crate::address::AddressSet;
use crate::interface::IfPattern;
use crate::policy::{AllowRule, Policy, Source, Target};
use crate::ruleset::{
    AddressList, AddressLists, Hook, HookRules, InterfaceList, Match, PortField, Ruleset, SetName,
};
use crate::service::{PortRange, Services, Transport};

mod always;
mod forward;
mod input;
mod lists;
pub mod names;
mod prerouting;
mod rules;
mod tracked;

use lists::{Allowed, Lists};
use names::{BLOCKED, CROSSING, DOCKER, EXEMPT, FILTERED, INSIDE, PEERS, TRUSTED};
use rules::Rules;

/// What is dropped early because no later hook could let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyDrop {
    /// Nothing.
    Nothing,
    /// After connection tracking: everything that no later hook lets through.
    Tracked,
    /// TCP SYNs before connection tracking, and the rest after it.
    All,
}

/// Compiles a policy. The same policy always gives the same ruleset, byte for byte.
pub fn compile(policy: &Policy) -> Ruleset {
    compile_with(policy, if policy.engine.prefilter { EarlyDrop::All } else { EarlyDrop::Nothing })
}

/// Compiles a policy whose early drop is not what its text says, but this.
pub fn compile_with(policy: &Policy, early_drop: EarlyDrop) -> Ruleset {
    let Lists { allowed, addresses, interfaces } = lists::of_rules(&policy.allow);
    let compiler = Compiler { policy, early_drop, allow: allowed };
    Ruleset {
        addresses: compiler.address_lists(addresses),
        interfaces: compiler.interface_lists(interfaces),
        hooks: vec![
            HookRules { hook: Hook::Prerouting, rules: compiler.prerouting() },
            HookRules { hook: Hook::Tracked, rules: compiler.tracked() },
            HookRules { hook: Hook::Input, rules: compiler.input() },
            HookRules { hook: Hook::Forward, rules: compiler.forward() },
        ],
    }
}

/// A policy, how much of it is decided early, and the names of all that becomes of its rules.
struct Compiler<'a> {
    policy: &'a Policy,
    early_drop: EarlyDrop,
    allow: Vec<Allowed<'a>>,
}

impl Compiler<'_> {
    /// Returns all lists. Those that every rule about them knows by name are never shared with others.
    fn address_lists(&self, of_rules: Vec<AddressList>) -> AddressLists {
        let list = |name, comment: &str, addresses: &AddressSet| AddressList {
            name,
            comment: comment.into(),
            addresses: addresses.clone(),
        };
        let of_all = [
            list(BLOCKED, "blocked", &self.policy.blocked),
            list(TRUSTED, "trusted", &self.policy.trusted),
            list(PEERS, "the other nodes of the Swarm", &self.policy.swarm.peers),
        ];
        let of_all = of_all.into_iter().filter(|list| !list.addresses.is_empty());
        of_all.chain(of_rules).collect()
    }

    fn interface_lists(&self, of_rules: Vec<InterfaceList>) -> Vec<InterfaceList> {
        let interfaces = &self.policy.interfaces;
        let list = |name: &SetName, patterns: &[IfPattern], bridges_only| InterfaceList {
            name: name.clone(),
            patterns: patterns.to_vec(),
            bridges_only,
        };
        let mut lists = vec![
            list(&DOCKER, &interfaces.docker, true),
            list(&EXEMPT, &interfaces.exempt, false),
            list(&INSIDE, &interfaces.inside, false),
            list(&CROSSING, &interfaces.crossing, false),
        ];
        if !self.filters_all() {
            let filtered = [&interfaces.filtered, &interfaces.inside, &interfaces.crossing];
            lists.push(list(&FILTERED, &filtered.map(Vec::as_slice).concat(), false));
        }
        lists.retain(|list| !list.patterns.is_empty());
        lists.extend(of_rules);
        lists
    }

    fn filters_all(&self) -> bool {
        self.policy.interfaces.filtered.iter().any(IfPattern::is_any)
    }

    fn has_docker(&self) -> bool {
        !self.policy.interfaces.docker.is_empty()
    }

    fn has_inside(&self) -> bool {
        !self.policy.interfaces.inside.is_empty()
    }

    fn has_crossing(&self) -> bool {
        !self.policy.interfaces.crossing.is_empty()
    }

    fn has_peers(&self) -> bool {
        !self.policy.swarm.peers.is_empty()
    }

    /// Returns the interfaces of machines that are seen from outside with the host's own address, each with what they are.
    fn inner_interfaces(&self) -> impl Iterator<Item = (Match, &'static str)> {
        let docker = self.has_docker().then_some((Match::In(DOCKER), "containers"));
        let inside = self.has_inside().then_some((Match::In(INSIDE), "inside networks"));
        docker.into_iter().chain(inside)
    }

    fn vxlan(&self) -> Match {
        ports(Transport::Udp, PortField::Destination, [self.policy.swarm.data_path_port])
    }

    fn pass_docker(&self, rules: &mut Rules<'_>) {
        if self.has_docker() {
            rules.pass(vec![Match::In(DOCKER)], None, "from Docker's bridges");
        }
    }

    fn pass_unfiltered(&self, rules: &mut Rules<'_>) {
        if !self.policy.interfaces.exempt.is_empty() {
            rules.pass(vec![Match::In(EXEMPT)], None, "exempt interfaces");
        }
        if !self.filters_all() {
            rules.pass(vec![Match::NotIn(FILTERED)], None, "interfaces that are not filtered");
        }
    }

    fn pass_trusted(&self, rules: &mut Rules<'_>, counter: Option<SetName>) {
        if !self.policy.trusted.is_empty() {
            rules.pass(vec![Match::Source(TRUSTED)], counter, "trusted");
        }
    }

    /// Drops what the first hook left to the later ones, live connections too, of packets that arrive on a bridge that
    /// frames may only cross: packets with the host's own address for their source, and packets from blocked machines.
    fn drop_rest_of_crossing(&self, rules: &mut Rules<'_>) {
        if !self.has_crossing() {
            return;
        }
        rules.drop_impossible(vec![vec![Match::In(CROSSING), Match::SourceIsOwn]]);
        if !self.policy.blocked.is_empty() {
            rules.drop_blocked([vec![Match::In(CROSSING), Match::Source(BLOCKED)]]);
        }
    }

    /// Returns the conditions under each of which a packet from a blocked source is dropped, except if it arrives on these
    /// interfaces.
    fn of_blocked(&self, but_for: &[SetName]) -> Vec<Vec<Match>> {
        if self.policy.blocked.is_empty() {
            return vec![];
        }
        let source = Match::Source(BLOCKED);
        let ways = match (self.filters_all(), self.policy.interfaces.exempt.is_empty()) {
            (true, _) => vec![vec![]],
            (false, true) => vec![vec![Match::In(FILTERED)]],
            (false, false) => vec![vec![Match::In(FILTERED)], vec![Match::In(EXEMPT)]],
        };
        let but_for: Vec<_> = but_for.iter().cloned().map(Match::NotIn).collect();
        ways.into_iter().map(|way| [but_for.clone(), way, vec![source.clone()]].concat()).collect()
    }

    /// Returns the alternatives in the `from` of a rule: for each, what else must hold.
    fn sources(&self, allowed: &Allowed<'_>) -> Vec<Vec<Match>> {
        let mut sources = self.sources_but_containers(allowed);
        if matches!(allowed.rule.from, Source::These { containers: true, .. }) && self.has_docker() {
            sources.push(allowed.arriving(Match::In(DOCKER)));
        }
        sources
    }

    /// Returns the same if packets from Docker's bridges have passed already.
    fn sources_but_containers(&self, allowed: &Allowed<'_>) -> Vec<Vec<Match>> {
        let mut sources = allowed.addresses();
        if matches!(allowed.rule.from, Source::These { inside: true, .. }) && self.has_inside() {
            sources.push(allowed.arriving(Match::In(INSIDE)));
        }
        sources
    }

    fn rules(&self) -> Rules<'_> {
        Rules { policy: self.policy, rules: Vec::new() }
    }
}

/// Returns a rule's name for people.
fn title(rule: &AllowRule) -> String {
    format!("allow '{}'", rule.name)
}

/// Returns one match for each transport's ports and for each protocol without ports.
fn services(services: &Services, field: PortField) -> impl Iterator<Item = Match> + '_ {
    let ports = services.ports().map(move |(transport, ranges)| Match::Ports {
        transport,
        port: field,
        ranges: ranges.to_vec(),
    });
    ports.chain(services.protocols().iter().copied().map(Match::Protocol))
}

/// Returns the same as far as it is known before destinations are translated: of containers' own ports, the protocol.
fn services_as_dialled(rule: &AllowRule, field: PortField) -> impl Iterator<Item = Match> + '_ {
    services(&rule.services, field).map(|service| match (rule.to, service) {
        (Target::Container, Match::Ports { transport, .. }) => Match::Protocol(transport.number()),
        (_, service) => service,
    })
}

fn ports(transport: Transport, port: PortField, numbers: impl IntoIterator<Item = u16>) -> Match {
    Match::Ports { transport, port, ranges: numbers.into_iter().filter_map(PortRange::single).collect() }
}
