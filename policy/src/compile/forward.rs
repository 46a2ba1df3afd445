//! Packets that the host forwards.

use super::lists::Allowed;
use super::names::{self, BLOCKED, DOCKER, INSIDE, PEERS, TRUSTED};
use super::rules::Rules;
use super::{Compiler, always, services};
use crate::interface::IfPattern;
use crate::policy::{AllowRule, Target};
use crate::ruleset::{Match, PortField, Rule};

impl Compiler<'_> {
    pub(super) fn forward(&self) -> Vec<Rule> {
        let interfaces = &self.policy.interfaces;
        let mut rules = self.rules();
        pass_crossing(&mut rules, &interfaces.crossing, "frames that only cross a bridge");
        self.drop_rest_of_crossing(&mut rules);
        // A container that may connect to anyone must not send VXLAN as if it were this node.
        if self.has_peers() {
            rules.drop(vec![self.vxlan()], names::DROP_VXLAN, "forwarded VXLAN");
        }
        rules.pass(vec![Match::Established], None, "live connections");
        rules.drop_impossible(always::impossible_connections());
        self.drop_swarm_of_others(&mut rules);
        self.pass_docker(&mut rules);
        pass_crossing(&mut rules, &interfaces.inside, "within an inside network");
        // This comes before everything that asks for the source.
        if self.has_inside() {
            let forged = vec![Match::In(INSIDE), Match::ReversePathFails];
            rules.drop(forged, names::DROP_FORGED, "forged source");
        }
        self.drop_blocked_sources(&mut rules);
        for (matches, what) in always::neighbourhood_across() {
            rules.pass(matches, None, what);
        }
        self.pass_unfiltered(&mut rules);
        self.keep_ports_of_containers(&mut rules);
        if self.keeps_forwarded_ports() {
            self.pass_trusted_to_containers(&mut rules);
        } else {
            self.pass_trusted(&mut rules, Some(TRUSTED));
        }
        for allowed in self.allow.iter().filter(|allowed| !allowed.rule.only) {
            self.pass_to_containers(&mut rules, allowed);
        }
        self.decide_about_others(&mut rules);
        rules.drop(vec![], names::DROP_FORWARD, "the rest");
        rules.done()
    }

    /// Drops what containers and inside machines would send to the Swarm's other nodes. After translation it would come
    /// from this node's address, which these nodes trust.
    fn drop_swarm_of_others(&self, rules: &mut Rules<'_>) {
        if !self.has_peers() {
            return;
        }
        for (by, who) in self.inner_interfaces() {
            for service in always::swarm_talk() {
                let to_peers = vec![by.clone(), Match::Destination(PEERS), service];
                rules.drop(to_peers, names::DROP_SWARM, &format!("{who} to Swarm peers"));
            }
        }
    }

    /// Drops blocked sources, before everything that lets new connections in. But inside machines may have any address if
    /// they only connect outwards.
    fn drop_blocked_sources(&self, rules: &mut Rules<'_>) {
        rules.drop_blocked(self.of_blocked(self.has_inside().then_some(INSIDE).as_slice()));
        if self.has_inside() && !self.policy.blocked.is_empty() {
            let docker = self.has_docker().then_some(Match::Out(DOCKER));
            for out in docker.into_iter().chain([Match::Out(INSIDE)]) {
                rules.drop_blocked([vec![Match::In(INSIDE), out, Match::Source(BLOCKED)]]);
            }
        }
    }

    /// Lets nobody but their own sources to containers' ports of rules with `only`.
    fn keep_ports_of_containers(&self, rules: &mut Rules<'_>) {
        let keeping = || self.allow.iter().filter(|allowed| allowed.rule.only);
        keeping().for_each(|allowed| self.pass_to_containers(rules, allowed));
        for allowed in keeping() {
            for to in self.ways_to_containers(allowed.rule) {
                rules.drop_others(allowed.rule, to);
            }
        }
    }

    /// Adds the rules for one `[[allow]]` that may be for containers.
    fn pass_to_containers(&self, rules: &mut Rules<'_>, allowed: &Allowed<'_>) {
        for to in self.ways_to_containers(allowed.rule) {
            for source in self.sources_but_containers(allowed) {
                rules.allow(allowed, [to.clone(), source].concat());
            }
        }
    }

    /// Returns the conditions under each of which a packet is for what a rule opens of containers.
    fn ways_to_containers(&self, rule: &AllowRule) -> Vec<Vec<Match>> {
        let (field, path) = match rule.to {
            _ if !self.has_docker() => return vec![],
            Target::Host | Target::Forward => return vec![],
            Target::Any | Target::Docker => (PortField::Dialled, vec![Match::Out(DOCKER), Match::Translated]),
            Target::Container => (PortField::Destination, vec![Match::Out(DOCKER)]),
        };
        services(&rule.services, field).map(|service| [path.clone(), vec![service]].concat()).collect()
    }

    fn keeps_forwarded_ports(&self) -> bool {
        self.allow.iter().any(|allowed| allowed.rule.only && allowed.rule.to == Target::Forward)
    }

    /// Passes the trusted only as far as no rule keeps ports from them that are forwarded to others.
    fn pass_trusted_to_containers(&self, rules: &mut Rules<'_>) {
        if self.has_docker() && !self.policy.trusted.is_empty() {
            rules.pass(vec![Match::Out(DOCKER), Match::Source(TRUSTED)], Some(TRUSTED), "trusted");
        }
    }

    /// Lets nobody but their own sources to ports of rules with `only` that are forwarded to others than containers. What
    /// inside networks send outwards is left out.
    fn keep_forwarded_ports(&self, rules: &mut Rules<'_>, forwarding: &[&Allowed<'_>]) {
        let keeping = || forwarding.iter().filter(|allowed| allowed.rule.only);
        keeping().for_each(|allowed| self.pass_forwarded(rules, allowed));
        let ways = if self.has_inside() {
            vec![vec![Match::NotIn(INSIDE)], vec![Match::In(INSIDE), Match::Out(INSIDE)]]
        } else {
            vec![vec![]]
        };
        for allowed in keeping() {
            for service in services(&allowed.rule.services, PortField::Dialled) {
                for way in &ways {
                    rules.drop_others(allowed.rule, [way.clone(), vec![service.clone()]].concat());
                }
            }
        }
        self.pass_trusted(rules, Some(TRUSTED));
    }

    fn pass_forwarded(&self, rules: &mut Rules<'_>, allowed: &Allowed<'_>) {
        rules.allow_dialled(allowed, &self.sources_but_containers(allowed));
    }

    /// Decides about what goes to no container: by the rules for it, and outwards from inside.
    fn decide_about_others(&self, rules: &mut Rules<'_>) {
        let forwarding: Vec<_> =
            self.allow.iter().filter(|allowed| allowed.rule.to == Target::Forward).collect();
        if self.has_docker() && (self.has_inside() || !forwarding.is_empty()) {
            rules.drop(vec![Match::Out(DOCKER)], names::DROP_FORWARD, "the rest to containers");
        }
        if self.keeps_forwarded_ports() {
            self.keep_forwarded_ports(rules, &forwarding);
        }
        for allowed in forwarding.iter().filter(|allowed| !allowed.rule.only) {
            self.pass_forwarded(rules, allowed);
        }
        if self.has_inside() {
            rules.drop(vec![Match::Out(INSIDE)], names::DROP_FORWARD, "the rest to inside networks");
            rules.pass(vec![Match::In(INSIDE)], None, "from inside outwards");
        }
    }
}

/// Passes what arrives on one of these interfaces and leaves by the same one.
fn pass_crossing(rules: &mut Rules<'_>, patterns: &[IfPattern], what: &str) {
    for pattern in patterns {
        rules.pass(vec![Match::Crosses(pattern.clone())], None, what);
    }
}
