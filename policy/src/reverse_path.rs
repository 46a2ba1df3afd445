//! For engines that can ask for the way back to a source before routing alone.
//!
//! Older kernels (nft_fib_validate, net/netfilter/nft_fib.c, of Linux 5.10) know `fib ... oif` at the prerouting hook only, and so does
//! iptables know `rpfilter`. There nobody knows yet
//! at which hook a packet will arrive: its destination tells, once it was translated or unless it is.

use crate::ruleset::{Action, Hook, Match, Rule, Ruleset};

/// The rules that ask for the way back to the source, with those of their hooks that let something pass before, as rules of one
/// chain at prerouting, behind connection tracking. None if no rule asks.
pub fn before_routing(ruleset: &Ruleset) -> Vec<Rule> {
    let of = |hook| {
        let rules: Vec<_> = ruleset.rules(hook).collect();
        let asked = rules.iter().rposition(|rule| asks(rule)).map_or(0, |last| last + 1);
        let counts = |rule: &&Rule| rule.action == Action::Pass || asks(rule);
        let asked = rules.into_iter().take(asked).filter(counts);
        let asked = asked.filter(|rule| rule.matches.iter().all(is_known));
        asked.map(move |rule| bound_for(hook, rule)).collect::<Vec<_>>()
    };
    let mut rules = [of(Hook::Input), of(Hook::Forward)].concat();
    // Whichever hook it is: most packets are done with here.
    rules.sort_by_key(|rule| rule.matches != [Match::Established]);
    rules.dedup_by(|next, one| next == one);
    rules
}

/// The ruleset as it comes out if sources are checked before destinations are translated: what is dialled at an address of
/// the host is checked, even if it is then passed on.
pub fn before_translation(mut ruleset: Ruleset) -> Ruleset {
    let checks: Vec<_> = ruleset.rules(Hook::Input).filter(|rule| asks(rule)).map(of_translated).collect();
    for forward in ruleset.hooks.iter_mut().filter(|rules| rules.hook == Hook::Forward) {
        let live = forward.rules.iter().position(|rule| rule.matches == [Match::Established]);
        let behind = live.map_or(0, |index| index + 1);
        forward.rules.splice(behind..behind, checks.iter().cloned());
    }
    ruleset
}

fn of_translated(rule: &Rule) -> Rule {
    Rule { matches: rule.matches.iter().cloned().chain([Match::Translated]).collect(), ..rule.clone() }
}

/// Whether a rule asks for the way back.
pub fn asks(rule: &Rule) -> bool {
    rule.matches.contains(&Match::ReversePathFails)
}

/// Whether a condition can hold there: the way out is not known yet, and what `lo` brings needs no check. Of translated packets
/// those count that are for the host.
fn is_known(condition: &Match) -> bool {
    !matches!(condition, Match::Out(_) | Match::Crosses(_) | Match::Loopback | Match::Translated)
}

/// The rule for packets that are going to arrive at this hook.
fn bound_for(hook: Hook, rule: &Rule) -> Rule {
    let bound = (rule.matches != [Match::Established]).then_some(Match::BoundFor(hook));
    Rule { matches: rule.matches.iter().cloned().chain(bound).collect(), ..rule.clone() }
}
