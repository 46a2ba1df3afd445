//! The one place where a policy becomes rules.
//!
//! In each hook, rules that pass may stand in any order among themselves; where a rule that drops stands decides,
//! and is said beside it. What the first hook drops of new connections, the later ones drop as well
//! ([`ruleset`](crate::ruleset) says why).

use crate::interface::IfPattern;
use crate::policy::{AllowRule, Echo, Place, Policy, Source, Target};
use crate::ruleset::{
    Action, AddressList, Hook, HookRules, InterfaceList, Match, Origin, PortField, Rule, Ruleset, SetName,
};
use crate::service::{PortRange, Services, Transport};

mod always;
pub mod names;

use names::{BLOCKED, DOCKER, EXEMPT, FILTERED, PEERS, TRUSTED};

/// Compiles a policy. The same policy always gives the same ruleset, to the byte.
pub fn compile(policy: &Policy) -> Ruleset {
    let names = names::of_rules(&policy.allow);
    let compiler = Compiler { policy, allow: policy.allow.iter().zip(names).collect() };
    Ruleset {
        addresses: compiler.address_lists(),
        interfaces: compiler.interface_lists(),
        hooks: vec![
            HookRules { hook: Hook::Prerouting, rules: compiler.prerouting() },
            HookRules { hook: Hook::Input, rules: compiler.input() },
            HookRules { hook: Hook::Forward, rules: compiler.forward() },
        ],
    }
}

/// Whether the early drop of hopeless TCP SYNs can be sure of its verdicts under this policy: it sees ports before
/// they are translated, so it can't tell which SYNs a rule for a container's own port would let through.
pub fn prefilter_is_sure(policy: &Policy) -> bool {
    policy.allow.iter().all(|rule| rule.to != Target::Container)
}

/// A policy, and the name of each of its rules' sets and counters.
struct Compiler<'a> {
    policy: &'a Policy,
    allow: Vec<(&'a AllowRule, SetName)>,
}

impl Compiler<'_> {
    fn address_lists(&self) -> Vec<AddressList> {
        let list = |name: &SetName, comment: String, addresses: &_| AddressList {
            name: name.clone(),
            comment,
            addresses: Clone::clone(addresses),
        };
        let mut lists = vec![
            list(&BLOCKED, "blocked".into(), &self.policy.blocked),
            list(&TRUSTED, "trusted".into(), &self.policy.trusted),
            list(&PEERS, "the other nodes of the Swarm".into(), &self.policy.swarm.peers),
        ];
        lists.extend(self.allow.iter().filter_map(|(rule, name)| match &rule.from {
            Source::Everyone => None,
            Source::These { addresses, .. } => {
                Some(list(name, format!("from of {}", title(rule)), addresses))
            }
        }));
        lists.retain(|list| !list.addresses.is_empty());
        lists
    }

    fn interface_lists(&self) -> Vec<InterfaceList> {
        let interfaces = &self.policy.interfaces;
        let list = |name: &SetName, patterns: &[IfPattern], bridges_only| InterfaceList {
            name: name.clone(),
            patterns: patterns.to_vec(),
            bridges_only,
        };
        let mut lists =
            vec![list(&DOCKER, &interfaces.docker, true), list(&EXEMPT, &interfaces.exempt, false)];
        if !self.filters_all() {
            lists.push(list(&FILTERED, &interfaces.filtered, false));
        }
        lists.retain(|list| !list.patterns.is_empty());
        lists
    }

    fn filters_all(&self) -> bool {
        self.policy.interfaces.filtered.iter().any(IfPattern::is_any)
    }

    /// What comes in, before anything else has looked at it.
    fn prerouting(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        rules.pass(vec![Match::Loopback], None, "loopback");
        // Before all exceptions: no interface makes these addresses possible.
        rules.drop_impossible(always::impossible_addresses());
        self.pass_docker(&mut rules);
        // Live connections too, so before connection tracking can call them established.
        rules.drop_blocked(self.of_blocked());
        if self.policy.engine.prefilter && prefilter_is_sure(self.policy) {
            self.early_drop(&mut rules);
        }
        rules.done()
    }

    /// Packets for the host itself.
    fn input(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        rules.pass(vec![Match::Loopback], None, "loopback");
        rules.pass(vec![Match::Established], None, "live connections");
        // Before everything that lets new connections in.
        rules.drop_impossible(always::impossible_connections());
        rules.drop_blocked(self.of_blocked().into_iter().map(|matches| self.not_from_docker(matches)));
        for (matches, what) in always::neighbourhood().into_iter().chain(always::dhcp()) {
            rules.pass(matches, None, what);
        }
        // Before everything that asks the source: a container may send with any.
        self.drop_forged_by_containers(&mut rules);
        if self.policy.echo == Echo::Accept {
            for matches in always::echo_requests() {
                rules.pass(matches, Some(names::ECHO), "ping");
            }
        }
        self.pass_trusted(&mut rules, Some(TRUSTED));
        self.pass_peers(&mut rules, Some(PEERS));
        for (rule, name) in self.allow.iter().filter(|(rule, _)| rule.to != Target::Container) {
            for service in services(&rule.services, PortField::Dialled) {
                for source in self.sources(rule, name) {
                    rules.allow(rule, name, [vec![service.clone()], source].concat());
                }
            }
        }
        // Behind everything that containers may reach, before the exceptions for interfaces of the outside.
        if self.has_docker() {
            rules.drop(vec![Match::In(DOCKER)], names::DROP_CONTAINERS, "containers to the host");
        }
        self.pass_unfiltered(&mut rules);
        rules.drop(vec![], names::DROP_INPUT, "the rest");
        rules.done()
    }

    /// Packets that the host passes on.
    fn forward(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        // First of all: a container that may speak to anyone must not speak VXLAN in this node's name.
        if self.has_peers() {
            rules.drop(vec![self.vxlan()], names::DROP_VXLAN, "forwarded VXLAN");
        }
        rules.pass(vec![Match::Established], None, "live connections");
        rules.drop_impossible(always::impossible_connections());
        self.drop_swarm_of_containers(&mut rules);
        self.pass_docker(&mut rules);
        // Before everything that lets new connections in from outside.
        rules.drop_blocked(self.of_blocked());
        for (matches, what) in always::neighbourhood_across() {
            rules.pass(matches, None, what);
        }
        self.pass_unfiltered(&mut rules);
        self.pass_trusted(&mut rules, Some(TRUSTED));
        if self.has_docker() {
            for (rule, name) in &self.allow {
                self.pass_to_containers(&mut rules, rule, name);
            }
        }
        rules.drop(vec![], names::DROP_FORWARD, "the rest");
        rules.done()
    }

    /// Drops what a container sends to the host with a source that is none of its network's, a peer's for instance, and VXLAN
    /// from whatever source.
    fn drop_forged_by_containers(&self, rules: &mut Rules<'_>) {
        if !self.has_docker() {
            return;
        }
        let inside = || Match::In(DOCKER);
        let forged = vec![inside(), Match::ReversePathFails];
        rules.drop(forged, names::DROP_FORGED, "forged source");
        if self.has_peers() {
            rules.drop(vec![inside(), self.vxlan()], names::DROP_VXLAN, "VXLAN of containers");
        }
    }

    /// Drops what containers would say to the Swarm's other nodes: translated, it comes from this node's address, which these
    /// trust.
    fn drop_swarm_of_containers(&self, rules: &mut Rules<'_>) {
        if self.has_docker() && self.has_peers() {
            for service in always::swarm_talk() {
                let to_peers = vec![Match::In(DOCKER), Match::Destination(PEERS), service];
                rules.drop(to_peers, names::DROP_CONTAINERS, "containers to Swarm peers");
            }
        }
    }

    fn vxlan(&self) -> Match {
        ports(Transport::Udp, PortField::Destination, [self.policy.swarm.data_path_port])
    }

    /// The rules of the forward hook for one `[[allow]]`.
    fn pass_to_containers(&self, rules: &mut Rules<'_>, rule: &AllowRule, name: &SetName) {
        let (field, path) = match rule.to {
            Target::Host => return,
            Target::Any | Target::Docker => (PortField::Dialled, vec![Match::Out(DOCKER), Match::Translated]),
            Target::Container => (PortField::Destination, vec![Match::Out(DOCKER)]),
        };
        for service in services(&rule.services, field) {
            for source in self.outside_sources(rule, name) {
                rules.allow(rule, name, [path.clone(), vec![service.clone()], source].concat());
            }
        }
    }

    /// Drops TCP SYNs that no later hook could let through, before they cost connection tracking and routing.
    fn early_drop(&self, rules: &mut Rules<'_>) {
        self.pass_unfiltered(rules);
        rules.pass(vec![Match::NotOpening], None, "all but TCP SYNs");
        self.pass_trusted(rules, None);
        if self.has_peers() {
            rules.pass(
                vec![always::swarm_tcp(PortField::Destination), Match::Source(PEERS)],
                None,
                "Swarm peers",
            );
        }
        for (rule, name) in &self.allow {
            for service in services(&rule.services, PortField::Destination).filter(is_tcp) {
                for source in self.outside_sources(rule, name) {
                    rules.pass_for(rule, [vec![service.clone()], source].concat(), None);
                }
            }
        }
        rules.drop(vec![], names::DROP_EARLY, "early drop of TCP SYNs");
    }

    fn has_docker(&self) -> bool {
        !self.policy.interfaces.docker.is_empty()
    }

    fn has_peers(&self) -> bool {
        !self.policy.swarm.peers.is_empty()
    }

    /// These conditions for what comes in by no bridge of Docker's, where a rule can't stand behind those that pass or drop
    /// what does.
    fn not_from_docker(&self, matches: Vec<Match>) -> Vec<Match> {
        let outside = self.has_docker().then_some(Match::NotIn(DOCKER));
        outside.into_iter().chain(matches).collect()
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

    /// Unconditional, because VXLAN never is a known connection: its source port changes with each inner flow.
    fn pass_peers(&self, rules: &mut Rules<'_>, counter: Option<SetName>) {
        if !self.has_peers() {
            return;
        }
        for service in always::swarm_services(self.policy.swarm.data_path_port) {
            rules.pass(vec![service, Match::Source(PEERS)], counter.clone(), "Swarm peers");
        }
    }

    /// The conditions under each of which a packet from a blocked source is dropped.
    fn of_blocked(&self) -> Vec<Vec<Match>> {
        if self.policy.blocked.is_empty() {
            return vec![];
        }
        let source = Match::Source(BLOCKED);
        if self.filters_all() {
            return vec![vec![source]];
        }
        let mut conditions = vec![vec![Match::In(FILTERED), source.clone()]];
        if !self.policy.interfaces.exempt.is_empty() {
            conditions.push(vec![Match::In(EXEMPT), source]);
        }
        conditions
    }

    /// The alternatives that make up the `from` of a rule: for each, what must hold besides.
    fn sources(&self, rule: &AllowRule, name: &SetName) -> Vec<Vec<Match>> {
        let mut sources = self.outside_sources(rule, name);
        if matches!(rule.from, Source::These { containers: true, .. }) && self.has_docker() {
            sources.push(vec![Match::In(DOCKER)]);
        }
        sources
    }

    /// The same where packets from Docker's bridges have passed already.
    fn outside_sources(&self, rule: &AllowRule, name: &SetName) -> Vec<Vec<Match>> {
        match &rule.from {
            Source::Everyone => vec![vec![]],
            Source::These { addresses, .. } if addresses.is_empty() => vec![],
            Source::These { .. } => vec![vec![Match::Source(name.clone())]],
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { policy: self.policy, rules: Vec::new() }
    }
}

/// The rules of one hook, as they are added.
struct Rules<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
}

impl Rules<'_> {
    fn pass(&mut self, matches: Vec<Match>, counter: Option<SetName>, what: &str) {
        self.push(matches, Action::Pass, counter, what.into(), None);
    }

    fn pass_for(&mut self, rule: &AllowRule, matches: Vec<Match>, counter: Option<SetName>) {
        self.push(matches, Action::Pass, counter, title(rule), Some(rule.place.clone()));
    }

    fn allow(&mut self, rule: &AllowRule, name: &SetName, matches: Vec<Match>) {
        self.pass_for(rule, matches, Some(name.clone()));
    }

    fn drop_impossible(&mut self, conditions: Vec<Vec<Match>>) {
        for matches in conditions {
            self.drop(matches, names::DROP_IMPOSSIBLE, "impossible address");
        }
    }

    fn drop_blocked(&mut self, conditions: impl IntoIterator<Item = Vec<Match>>) {
        for matches in conditions {
            self.drop(matches, names::DROP_BLOCKED, "blocked");
        }
    }

    fn drop(&mut self, matches: Vec<Match>, counter: SetName, what: &str) {
        if self.policy.log.drops {
            let log = Action::Log { prefix: format!("dockfw {counter}: "), rate: self.policy.log.rate };
            self.push(matches.clone(), log, None, format!("log {what}"), None);
        }
        self.push(matches, Action::Drop, Some(counter), what.into(), None);
    }

    fn push(
        &mut self,
        matches: Vec<Match>,
        action: Action,
        counter: Option<SetName>,
        what: String,
        place: Option<Place>,
    ) {
        self.rules.push(Rule { matches, action, counter, origin: Origin { what, place } });
    }

    fn done(self) -> Vec<Rule> {
        self.rules
    }
}

/// How a rule is named to people.
fn title(rule: &AllowRule) -> String {
    format!("allow '{}'", rule.name)
}

/// One match for each transport's ports and for each protocol without ports.
fn services(services: &Services, field: PortField) -> impl Iterator<Item = Match> + '_ {
    let ports = services.ports().map(move |(transport, ranges)| Match::Ports {
        transport,
        port: field,
        ranges: ranges.to_vec(),
    });
    ports.chain(services.protocols().iter().copied().map(Match::Protocol))
}

fn is_tcp(service: &Match) -> bool {
    matches!(service, Match::Ports { transport: Transport::Tcp, .. })
}

fn ports(transport: Transport, port: PortField, numbers: impl IntoIterator<Item = u16>) -> Match {
    Match::Ports { transport, port, ranges: numbers.into_iter().filter_map(PortRange::single).collect() }
}
