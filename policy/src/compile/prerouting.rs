//! Incoming packets, before anything else has looked at them.

use super::names::{self, CROSSING, INSIDE, PEERS};
use super::rules::Rules;
use super::{Compiler, EarlyDrop, always, services_as_dialled};
use crate::ruleset::{Match, PortField, Rule};
use crate::service::Transport;

impl Compiler<'_> {
    pub(super) fn prerouting(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        rules.pass(vec![Match::Loopback], None, "loopback");
        // This comes before all exceptions: no interface makes these addresses possible.
        rules.drop_impossible(self.impossible_addresses());
        self.pass_docker(&mut rules);
        self.pass_on(&mut rules);
        // This applies to live connections too, so it comes before connection tracking can call them established.
        rules.drop_blocked(self.of_blocked(&[]));
        if self.early_drop == EarlyDrop::All {
            self.early_drop(&mut rules);
        }
        rules.done()
    }

    /// Returns what no interface makes possible. But the host's own frames may cross a second bridge on the way to a
    /// virtual machine. They arrive on it with the source that they left with: the later hooks know more about these.
    fn impossible_addresses(&self) -> Vec<Vec<Match>> {
        let mut conditions = always::impossible_addresses();
        if self.has_crossing() {
            let own = conditions.iter_mut().filter(|condition| condition.contains(&Match::SourceIsOwn));
            own.for_each(|condition| condition.push(Match::NotIn(CROSSING)));
        }
        conditions
    }

    /// Passes packets whose destination decides: whether they are for the host, go outwards or only cross a bridge is
    /// unknown here.
    pub(super) fn pass_on(&self, rules: &mut Rules<'_>) {
        if self.has_inside() {
            rules.pass(vec![Match::In(INSIDE)], None, "from inside");
        }
        if self.has_crossing() {
            rules.pass(vec![Match::In(CROSSING)], None, "by a bridge that frames may cross");
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
        self.pass_as_dialled(rules, PortField::Destination, is_tcp);
        rules.drop(vec![], names::DROP_EARLY, "early drop of TCP SYNs");
    }

    /// Passes what a rule may let through, as far as that is known before destinations are translated.
    pub(super) fn pass_as_dialled(
        &self,
        rules: &mut Rules<'_>,
        field: PortField,
        is_meant: fn(&Match) -> bool,
    ) {
        for allowed in &self.allow {
            for service in services_as_dialled(allowed.rule, field).filter(is_meant) {
                for source in allowed.addresses() {
                    rules.pass_for(allowed.rule, [vec![service.clone()], source].concat(), None);
                }
            }
        }
    }
}

fn is_tcp(service: &Match) -> bool {
    let tcp = Match::Protocol(Transport::Tcp.number());
    matches!(service, Match::Ports { transport: Transport::Tcp, .. }) || *service == tcp
}
