//! The reason of a verdict as one sentence, before the rules that it took.

use std::net::IpAddr;

use dockfw_policy::Lists;
use dockfw_policy::compile::names;
use dockfw_policy::policy::Place;
use dockfw_policy::ruleset::{Action, Match, Rule, Ruleset, SetName};
use dockfw_policy::service::Service;
use dockfw_policy::walk::Decision;

use super::Basis;
use super::ways::Walked;
use crate::exposure::part;

/// Returns why a packet that is walked so gets through, or does not.
pub(super) fn reason(basis: Basis<'_>, walked: &Walked<'_>, service: Service) -> String {
    let told = Told { ruleset: basis.rules.ruleset, lists: basis.lists, walked, service };
    match walked.decisions.last() {
        Some(Decision { by: Some(by), .. }) => told.by_rule(by.rule),
        _ if told.ruleset.hooks.is_empty() => "no policy is in force".into(),
        _ => "no rule of the policy is about this packet".into(),
    }
}

/// What a sentence may name.
struct Told<'a> {
    ruleset: &'a Ruleset,
    lists: &'a Lists,
    walked: &'a Walked<'a>,
    service: Service,
}

impl Told<'_> {
    fn by_rule(&self, rule: &Rule) -> String {
        match (&rule.action, &rule.origin.place) {
            (Action::Drop, _) => self.dropped(rule),
            (_, Some(place)) => self.opened(rule, place),
            (_, None) => self.passed(rule),
        }
    }

    /// Returns the sentence about a rule of the policy that lets a packet through.
    fn opened(&self, rule: &Rule, place: &Place) -> String {
        let name = part(&rule.origin.what);
        let whom = rule.matches.iter().find_map(|condition| match condition {
            Match::Source(_) | Match::SourceNetwork(_) => Some(self.from().to_string()),
            Match::In(list) if *list == names::DOCKER => Some("containers".into()),
            Match::In(list) if *list == names::INSIDE => Some("inside networks".into()),
            _ => None,
        });
        let by = if names_interfaces(rule) { format!(" by {}", self.incoming()) } else { String::new() };
        format!("{name} opens {} to {}{by} ({place})", self.service, whom.unwrap_or("everyone".into()))
    }

    /// Returns the sentence about a rule of every policy that lets a packet through.
    fn passed(&self, rule: &Rule) -> String {
        let (from, incoming) = (self.from(), self.incoming());
        if rule.counter == Some(names::ECHO) {
            return "everyone may ping this host".into();
        }
        match rule.matches.last() {
            Some(Match::Loopback) => "dockfw does not filter what this host sends to itself".into(),
            Some(Match::Source(list)) if *list == names::TRUSTED => {
                format!("{from} is trusted{}", self.place(list))
            }
            Some(Match::Source(list)) if *list == names::PEERS => {
                format!("{from} is another node of the Swarm")
            }
            Some(Match::In(list)) if *list == names::EXEMPT => format!("interface {incoming} is exempt"),
            Some(Match::NotIn(_)) => format!("interface {incoming} is not filtered"),
            Some(Match::In(list)) if *list == names::DOCKER => {
                "containers may connect to everyone but their host".into()
            }
            Some(Match::In(list)) if *list == names::INSIDE => "inside networks may connect outwards".into(),
            Some(Match::Crosses(pattern)) => format!("it only crosses {pattern}"),
            _ => format!("every policy lets {} through", rule.origin.what),
        }
    }

    fn dropped(&self, rule: &Rule) -> String {
        let (from, incoming) = (self.from(), self.incoming());
        let counter = rule.counter.as_ref();
        let is = |name: SetName| counter == Some(&name);
        if is(names::DROP_IMPOSSIBLE) {
            return self.impossible(rule);
        }
        if is(names::DROP_BLOCKED) {
            return format!("{from} is blocked{}", self.place(&names::BLOCKED));
        }
        if is(names::DROP_FORGED) {
            return format!("this host has no route to {from} by {incoming}, so the source is forged");
        }
        if is(names::DROP_VXLAN) {
            return "only the other nodes of the Swarm may send VXLAN to this host".into();
        }
        if is(names::DROP_ONLY) {
            let kept = part(rule.origin.what.trim_start_matches("others than "));
            return format!("{kept} keeps {} for its own sources", self.service);
        }
        if is(names::DROP_SWARM) {
            return "containers and inside networks may not reach the Swarm's ports of its other nodes"
                .into();
        }
        if !self.walked.way.is_tracked {
            return "a rule of others excludes it from connection tracking, so no rule about ports lets it in"
                .into();
        }
        let whom = self.closed_to(counter);
        let is_direct = self.walked.packet.path.outgoing.is_some() && self.walked.way.translated.is_none();
        match self.walked.target.container.as_ref().filter(|_| is_direct) {
            Some(container) => format!("no rule opens {} of container {container} to {whom}", self.service),
            None => format!("no rule opens {} to {whom}", self.service),
        }
    }

    /// Returns for whom there is no rule.
    fn closed_to(&self, counter: Option<&SetName>) -> String {
        let from = self.from();
        match counter {
            Some(name) if *name == names::DROP_CONTAINERS => format!("containers, or to {from}"),
            Some(name) if *name == names::DROP_INSIDE => format!("inside networks, or to {from}"),
            _ => from.to_string(),
        }
    }

    fn impossible(&self, rule: &Rule) -> String {
        let (from, to) = (self.from(), self.walked.packet.path.destination);
        let address =
            if rule.matches.contains(&Match::SourceIsOwn) || from.is_loopback() { from } else { to };
        let incoming = self.incoming();
        format!("{address} is an address of this host itself, which no packet on {incoming} can have")
    }

    fn incoming(&self) -> &str {
        &self.walked.packet.path.incoming.name
    }

    fn from(&self) -> IpAddr {
        self.walked.packet.sender.address
    }

    /// Returns where the sender was written down, in brackets.
    fn place(&self, list: &SetName) -> String {
        let place = self.lists.place(list.as_str(), self.from());
        place.map(|place| format!(" ({place})")).unwrap_or_default()
    }
}

/// Returns whether a rule is for the interfaces of its `in` alone.
fn names_interfaces(rule: &Rule) -> bool {
    let classes = [names::DOCKER, names::INSIDE];
    rule.matches.iter().any(|condition| matches!(condition, Match::In(list) if !classes.contains(list)))
}
