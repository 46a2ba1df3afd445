//! Incoming packets once connection tracking knows them, before their destinations are translated and routed.

use super::names::{self, PEERS};
use super::rules::Rules;
use super::{Compiler, EarlyDrop, always};
use crate::policy::Echo;
use crate::ruleset::{Match, PortField, Rule};

impl Compiler<'_> {
    /// Drops what no later hook could let through, before it costs translation and routing. It is still unknown at which of
    /// them a packet will arrive, and with which destination: whatever may pass at any passes here.
    pub(super) fn tracked(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        if self.early_drop == EarlyDrop::Nothing {
            return rules.done();
        }
        // These handle most packets.
        rules.pass(vec![Match::Established], None, "live connections");
        rules.pass(vec![Match::Loopback], None, "loopback");
        self.pass_docker(&mut rules);
        self.pass_on(&mut rules);
        self.pass_unfiltered(&mut rules);
        if self.early_drop == EarlyDrop::All {
            rules.pass(vec![Match::Opening], None, "TCP SYNs, judged already");
        }
        self.pass_trusted(&mut rules, None);
        if self.has_peers() {
            rules.pass(vec![Match::Source(PEERS)], None, "Swarm peers");
        }
        self.pass_without_rule(&mut rules);
        self.pass_as_dialled(&mut rules, PortField::Dialled, |_| true);
        rules.drop(vec![], names::DROP_EARLY, "early drop of the rest");
        rules.done()
    }

    /// Passes what needs no rule of the policy.
    fn pass_without_rule(&self, rules: &mut Rules<'_>) {
        for (matches, what) in always::neighbourhood().into_iter().chain(always::dhcp_as_dialled()) {
            rules.pass(matches, None, what);
        }
        if self.policy.echo == Echo::Accept {
            for matches in always::echo_requests() {
                rules.pass(matches, None, "ping");
            }
        }
    }
}
