//! Packets that the host forwards.

use super::lists::Allowed;
use super::names::{self, BLOCKED, DOCKER, INSIDE, PEERS, TRUSTED};
use super::rules::Rules;
use super::{Compiler, always, services};
use crate::interface::IfPattern;
use crate::policy::Target;
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
        self.pass_trusted(&mut rules, Some(TRUSTED));
        if self.has_docker() {
            for allowed in &self.allow {
                self.pass_to_containers(&mut rules, allowed);
            }
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

    /// Adds the rules for one `[[allow]]` that may be for containers.
    fn pass_to_containers(&self, rules: &mut Rules<'_>, allowed: &Allowed<'_>) {
        let (field, path) = match allowed.rule.to {
            Target::Host | Target::Forward => return,
            Target::Any | Target::Docker => (PortField::Dialled, vec![Match::Out(DOCKER), Match::Translated]),
            Target::Container => (PortField::Destination, vec![Match::Out(DOCKER)]),
        };
        for service in services(&allowed.rule.services, field) {
            for source in self.sources_but_containers(allowed) {
                rules.allow(allowed, [path.clone(), vec![service.clone()], source].concat());
            }
        }
    }

    /// Decides about what goes to no container: by the rules for it, and outwards from inside.
    fn decide_about_others(&self, rules: &mut Rules<'_>) {
        let forwarding: Vec<_> =
            self.allow.iter().filter(|allowed| allowed.rule.to == Target::Forward).collect();
        if self.has_docker() && (self.has_inside() || !forwarding.is_empty()) {
            rules.drop(vec![Match::Out(DOCKER)], names::DROP_FORWARD, "the rest to containers");
        }
        for allowed in forwarding {
            for service in services(&allowed.rule.services, PortField::Dialled) {
                for source in self.sources_but_containers(allowed) {
                    rules.allow(allowed, [vec![service.clone()], source].concat());
                }
            }
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
