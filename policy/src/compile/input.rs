//! Packets for the host itself.

use super::lists::Allowed;
use super::names::{self, DOCKER, EXEMPT, FILTERED, INSIDE, PEERS, TRUSTED};
use super::rules::Rules;
use super::{Compiler, always, services};
use crate::policy::Echo;
use crate::ruleset::{Match, PortField, Rule, SetName};

impl Compiler<'_> {
    pub(super) fn input(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        rules.pass(vec![Match::Loopback], None, "loopback");
        self.drop_rest_of_crossing(&mut rules);
        rules.pass(vec![Match::Established], None, "live connections");
        // This comes before everything that lets new connections in.
        rules.drop_impossible(always::impossible_connections());
        rules.drop_blocked(self.of_blocked(self.has_docker().then_some(DOCKER).as_slice()));
        for (matches, what) in always::neighbourhood().into_iter().chain(always::dhcp()) {
            rules.pass(matches, None, what);
        }
        // This comes before everything that asks for the source: machines behind these interfaces may send with any.
        self.drop_forged(&mut rules);
        self.keep_ports_of_host(&mut rules);
        self.pass_echo(&mut rules);
        self.pass_trusted(&mut rules, Some(TRUSTED));
        self.pass_peers(&mut rules, Some(PEERS));
        for allowed in self.answered_here().filter(|allowed| !allowed.rule.only) {
            self.allow_to_host(&mut rules, allowed);
        }
        // This comes after everything that these may reach, and before the exceptions for interfaces of the outside.
        if self.has_docker() {
            rules.drop(vec![Match::In(DOCKER)], names::DROP_CONTAINERS, "containers to the host");
        }
        if self.has_inside() {
            rules.drop(vec![Match::In(INSIDE)], names::DROP_INSIDE, "inside networks to the host");
        }
        self.pass_unfiltered(&mut rules);
        rules.drop(vec![], names::DROP_INPUT, "the rest");
        rules.done()
    }

    /// Drops what a container or an inside machine sends to the host with a source outside its network (for example a
    /// peer's), and its VXLAN from any source.
    fn drop_forged(&self, rules: &mut Rules<'_>) {
        for (by, _) in self.inner_interfaces() {
            rules.drop(vec![by, Match::ReversePathFails], names::DROP_FORGED, "forged source");
        }
        for (by, who) in self.inner_interfaces().filter(|_| self.has_peers()) {
            rules.drop(vec![by, self.vxlan()], names::DROP_VXLAN, &format!("VXLAN of {who}"));
        }
    }

    fn pass_echo(&self, rules: &mut Rules<'_>) {
        if self.policy.echo == Echo::Accept {
            for matches in always::echo_requests() {
                rules.pass(matches, Some(names::ECHO), "ping");
            }
        }
    }

    /// Passes the peers. It is unconditional, because VXLAN never is a known connection: its source port changes with each
    /// inner flow.
    fn pass_peers(&self, rules: &mut Rules<'_>, counter: Option<SetName>) {
        if !self.has_peers() {
            return;
        }
        for service in always::swarm_services(self.policy.swarm.data_path_port) {
            rules.pass(vec![service, Match::Source(PEERS)], counter.clone(), "Swarm peers");
        }
    }

    /// Lets nobody but their own sources to the ports of rules with `only`. Interfaces that are not filtered are left out.
    fn keep_ports_of_host(&self, rules: &mut Rules<'_>) {
        let keeping: Vec<_> = self.answered_here().filter(|allowed| allowed.rule.only).collect();
        keeping.iter().for_each(|allowed| self.allow_to_host(rules, allowed));
        for allowed in keeping {
            for service in services(&allowed.rule.services, PortField::Dialled) {
                for way in self.filtered_ways() {
                    rules.drop_others(allowed.rule, [way, vec![service.clone()]].concat());
                }
            }
        }
    }

    /// Returns the conditions under each of which a packet arrives on an interface that is filtered.
    fn filtered_ways(&self) -> Vec<Vec<Match>> {
        let exempt = (!self.policy.interfaces.exempt.is_empty()).then_some(Match::NotIn(EXEMPT));
        let filtered = (!self.filters_all()).then_some(Match::In(FILTERED));
        let ways: Vec<_> = filtered.into_iter().chain(exempt).collect();
        let docker = (self.has_docker() && !ways.is_empty()).then_some(vec![Match::In(DOCKER)]);
        [ways].into_iter().chain(docker).collect()
    }

    fn answered_here(&self) -> impl Iterator<Item = &Allowed<'_>> {
        self.allow.iter().filter(|allowed| allowed.rule.to.is_answered_here())
    }

    fn allow_to_host(&self, rules: &mut Rules<'_>, allowed: &Allowed<'_>) {
        rules.allow_dialled(allowed, &self.sources(allowed));
    }
}
