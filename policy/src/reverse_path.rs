//! For engines that can only ask for the route back to a source before routing.
//!
//! Older kernels (nft_fib_validate, net/netfilter/nft_fib.c, of Linux 5.10) know `fib ... oif` at the prerouting hook
//! only; the same holds for iptables and `rpfilter`. There it is still unknown at which hook a packet will arrive: that
//! depends on its destination, once it was translated or unless it is.

use std::net::Ipv6Addr;

use ipnetwork::Ipv6Network;

use crate::address::LINK_LOCAL;
use crate::ruleset::{Action, Hook, Match, Origin, Rule, Ruleset};

/// Returns the rules that ask for the route back to the source, with those of their hooks that let something pass
/// before, as rules of one chain at prerouting, after connection tracking. Empty if no rule asks.
pub fn before_routing(ruleset: &Ruleset) -> Vec<Rule> {
    let of = |hook| {
        let rules: Vec<_> = ruleset.rules(hook).collect();
        let asked = rules.iter().rposition(|rule| asks(rule)).map_or(0, |last| last + 1);
        let counts = |rule: &&Rule| rule.action == Action::Pass || asks(rule);
        let asked = rules.into_iter().take(asked).filter(counts);
        let asked = asked.filter(|rule| rule.matches.iter().all(is_known));
        let asked = asked.flat_map(|rule| within(hook, rule).into_iter().chain([rule.clone()]));
        asked.map(move |rule| bound_for(hook, &rule)).collect::<Vec<_>>()
    };
    let mut rules = [of(Hook::Input), of(Hook::Forward)].concat();
    // Whichever hook it is: these rules handle most packets.
    rules.sort_by_key(|rule| rule.matches != [Match::Established]);
    rules.dedup_by(|next, one| next == one);
    rules
}

/// Returns the ruleset as it is if sources are checked before destinations are translated: what is dialled at an
/// address of the host is checked, even if it is then forwarded.
pub fn before_translation(mut ruleset: Ruleset) -> Ruleset {
    let checks: Vec<_> = ruleset.rules(Hook::Input).filter(|rule| asks(rule)).map(of_translated).collect();
    for forward in ruleset.hooks.iter_mut().filter(|rules| rules.hook == Hook::Forward) {
        let live = forward.rules.iter().position(|rule| rule.matches == [Match::Established]);
        let behind = live.map_or(0, |index| index + 1);
        check_before_the_unknown(&mut forward.rules, behind);
        forward.rules.splice(behind..behind, checks.iter().cloned());
    }
    ruleset
}

/// Moves the checks before the rules that they don't wait for: those that ask for what is still unknown at prerouting,
/// such as the interface that a packet leaves by.
fn check_before_the_unknown(rules: &mut Vec<Rule>, behind: usize) {
    let Some(last) = rules.iter().rposition(asks).filter(|last| *last >= behind) else { return };
    let until_last: Vec<_> = rules.drain(behind..=last).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = until_last
        .into_iter()
        .partition(|rule| rule.action != Action::Pass || rule.matches.iter().all(is_known));
    rules.splice(behind..behind, known.into_iter().chain(unknown));
}

fn of_translated(rule: &Rule) -> Rule {
    Rule { matches: rule.matches.iter().cloned().chain([Match::Translated]).collect(), ..rule.clone() }
}

/// Returns whether a rule asks for the route back.
pub fn asks(rule: &Rule) -> bool {
    rule.matches.contains(&Match::ReversePathFails)
}

/// Returns whether a condition can be asked there: the outgoing interface is still unknown, and what arrives on `lo`
/// needs no check. Of translated packets those count that are for the host.
fn is_known(condition: &Match) -> bool {
    !matches!(condition, Match::Out(_) | Match::Crosses(_) | Match::Loopback | Match::Translated)
}

/// Returns the rules that exempt from a check what can't have left its network. A machine there may have addresses that
/// the host does not know, and no host forwards these (ip6_forward, net/ipv6/ip6_output.c).
fn within(hook: Hook, rule: &Rule) -> Vec<Rule> {
    if hook != Hook::Forward || !asks(rule) {
        return Vec::new();
    }
    let incoming = rule.matches.iter().filter(|condition| matches!(condition, Match::In(_)));
    let never_routed = [(LINK_LOCAL, 10), (Ipv6Addr::UNSPECIFIED, 128)];
    let networks =
        never_routed.into_iter().filter_map(|(start, prefix)| Ipv6Network::new(start, prefix).ok());
    let source = networks.map(|network| Match::SourceNetwork(network.into()));
    let pass = |source| Rule {
        matches: incoming.clone().cloned().chain([source]).collect(),
        action: Action::Pass,
        counter: None,
        origin: Origin { what: "within its network".into(), place: None },
    };
    source.map(pass).collect()
}

/// Returns the rule for packets that are going to arrive at this hook.
fn bound_for(hook: Hook, rule: &Rule) -> Rule {
    let bound = (rule.matches != [Match::Established]).then_some(Match::BoundFor(hook));
    Rule { matches: rule.matches.iter().cloned().chain(bound).collect(), ..rule.clone() }
}
