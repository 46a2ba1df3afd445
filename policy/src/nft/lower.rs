//! From the common form to nftables' terms.
//!
//! What the common form says in one rule may take several here: an address set becomes up to four (hosts and
//! networks of each family, because a hash set is looked up faster than an interval set), and each is matched by
//! a rule of its own. They share the rule's counter.

use super::{Chain, Counter, Direction, Elements, End, Ports, Rule, Set, Statement, Table};
use crate::address::{Address, Family, Range};
use crate::interface::IfPattern;
use crate::ruleset::{self, Action, AddressList, Hook, HookRules, InterfaceList, Match, Ruleset, SetName};
use crate::service::PortRange;

/// The most bytes of a comment that are kept; the kernel takes 256 bytes of userdata, nft 128 of a comment.
const MAX_COMMENT: usize = 100;
/// The most bytes of a port set's name that say which ports are in it.
const MAX_PORTS_NAME: usize = 32;

/// What some kernels have and others lack, where the rules can do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `meta iifkind` (Linux 5.1). Without it, every interface whose name fits Docker's patterns is inside.
    pub interface_kind: bool,
}

impl Features {
    /// Everything: what `dockfw show` writes.
    pub const ALL: Self = Self { interface_kind: true };
}

/// Writes a ruleset as a table.
pub fn lower(ruleset: &Ruleset, features: Features) -> Table {
    let port_sets = port_sets(ruleset);
    let lowering = Lowering { ruleset, features, port_sets: &port_sets };
    let chains = ruleset.hooks.iter().map(|hook| lowering.chain(hook)).collect();
    let sets = ruleset.interfaces.iter().map(interface_set);
    let sets = sets.chain(ruleset.addresses.iter().flat_map(address_sets)).chain(port_sets.iter().cloned());
    let counters = ruleset.counters().into_iter().map(|name| Counter { name: name.clone() });
    Table { counters: counters.collect(), sets: sets.collect(), chains }
}

struct Lowering<'a> {
    ruleset: &'a Ruleset,
    features: Features,
    port_sets: &'a [Set],
}

impl Lowering<'_> {
    fn chain(&self, hook: &HookRules) -> Chain {
        let (name, priority) = place(hook.hook);
        let rules = hook.rules.iter().flat_map(|rule| self.rules(rule)).collect();
        Chain { name, hook: hook.hook, priority, rules }
    }

    /// The rules that together do what `rule` does: one for each combination of its matches' alternatives.
    fn rules(&self, rule: &ruleset::Rule) -> Vec<Rule> {
        let mut rows = vec![Vec::new()];
        for condition in &rule.matches {
            let alternatives = self.alternatives(condition);
            rows = rows
                .iter()
                .flat_map(|row| {
                    alternatives.iter().map(move |statements| [row.as_slice(), statements].concat())
                })
                .collect();
        }
        let finish = |statements: Vec<Statement>| Rule {
            statements: [statements, effects(rule)].concat(),
            comment: comment(&rule.origin.what),
            origin: rule.origin.clone(),
        };
        rows.into_iter().map(finish).collect()
    }

    /// The ways in which a match can hold, each a row of statements.
    fn alternatives(&self, condition: &Match) -> Vec<Vec<Statement>> {
        match condition {
            Match::Source(name) => self.sources(name),
            Match::NotOpening => vec![vec![Statement::NotTcp], vec![Statement::NotOpening]],
            Match::In(name) => vec![self.interface(Direction::In, name, false)],
            Match::NotIn(name) => vec![self.interface(Direction::In, name, true)],
            Match::Out(name) => vec![self.interface(Direction::Out, name, false)],
            Match::SourceIsOwn => vec![vec![Statement::Unicast, Statement::SourceIsLocal]],
            Match::Loopback => vec![vec![Statement::InterfaceName(IfPattern::Name("lo".into()))]],
            Match::SourceNetwork(network) => {
                vec![vec![Statement::Address { end: End::Source, network: *network }]]
            }
            Match::DestinationNetwork(network) => {
                vec![vec![Statement::Address { end: End::Destination, network: *network }]]
            }
            Match::Established => vec![vec![Statement::Established]],
            Match::Translated => vec![vec![Statement::Translated]],
            Match::Ports { transport, port, ranges } => {
                let ports = self.ports(ranges);
                vec![vec![Statement::Port { transport: *transport, field: *port, ports }]]
            }
            Match::Protocol(number) => vec![vec![Statement::Protocol(*number)]],
            Match::Family(family) => vec![vec![Statement::Family(*family)]],
            Match::Icmp { family, types } => {
                vec![vec![Statement::Icmp { family: *family, types: types.clone() }]]
            }
        }
    }

    fn sources(&self, name: &SetName) -> Vec<Vec<Statement>> {
        let list = self.ruleset.address_list(name);
        let sets = list.into_iter().flat_map(address_sets);
        sets.filter_map(|set| {
            Some(vec![Statement::SourceIn { family: family(&set.elements)?, set: set.name }])
        })
        .collect()
    }

    fn interface(&self, direction: Direction, name: &SetName, negated: bool) -> Vec<Statement> {
        let mut statements = vec![Statement::InterfaceIn { direction, set: name.clone(), negated }];
        let bridges_only = self.ruleset.interface_list(name).is_some_and(|list| list.bridges_only);
        if bridges_only && self.features.interface_kind {
            statements.push(Statement::Bridge(direction));
        }
        statements
    }

    fn ports(&self, ranges: &[PortRange]) -> Ports {
        let set =
            self.port_sets.iter().find(|set| matches!(&set.elements, Elements::Ports(own) if own == ranges));
        match (ranges, set) {
            (_, Some(set)) => Ports::Set(set.name.clone()),
            (ranges, None) => Ports::Range(*ranges.first().unwrap_or(&PortRange::ALL)),
        }
    }
}

/// The chain of a hook. No one else's priorities: chains of equal priority have no order. Docker is at -300 and 0,
/// firewalld at 10; ports can be seen from -400 on (NF_IP_PRI_CONNTRACK_DEFRAG, linux/netfilter_ipv4.h).
fn place(hook: Hook) -> (&'static str, i32) {
    match hook {
        Hook::Prerouting => ("prefilter", -310),
        Hook::Input => ("input", -10),
        Hook::Forward => ("forward", -10),
    }
}

/// What a rule does once its matches hold.
fn effects(rule: &ruleset::Rule) -> Vec<Statement> {
    let counter = rule.counter.clone().map(Statement::Counter);
    let action = match &rule.action {
        Action::Pass => vec![Statement::Accept],
        Action::Drop => vec![Statement::Drop],
        Action::Log { prefix, rate } => vec![Statement::Limit(*rate), Statement::Log(prefix.clone())],
    };
    counter.into_iter().chain(action).collect()
}

/// The sets that hold a list's addresses: the hosts and the networks of each family, where there are any.
fn address_sets(list: &AddressList) -> Vec<Set> {
    let (hosts4, networks4) = split(list.addresses.v4());
    let (hosts6, networks6) = split(list.addresses.v6());
    let sets = [
        ("v4", Elements::Ipv4(hosts4), false),
        ("v4_nets", Elements::Ipv4(networks4), true),
        ("v6", Elements::Ipv6(hosts6), false),
        ("v6_nets", Elements::Ipv6(networks6), true),
    ];
    let sets = sets.into_iter().filter(|(_, elements, _)| !elements.is_empty());
    sets.map(|(suffix, elements, interval)| Set {
        name: format!("{}_{suffix}", list.name),
        list: Some(list.name.clone()),
        elements,
        interval,
        comment: comment(&list.comment),
    })
    .collect()
}

/// The single addresses, and the rest.
fn split<A: Address>(ranges: &[Range<A>]) -> (Vec<Range<A>>, Vec<Range<A>>) {
    ranges.iter().copied().partition(Range::is_single)
}

fn family(elements: &Elements) -> Option<Family> {
    match elements {
        Elements::Ipv4(_) => Some(Family::Ipv4),
        Elements::Ipv6(_) => Some(Family::Ipv6),
        Elements::Ports(_) | Elements::Interfaces(_) => None,
    }
}

fn interface_set(list: &InterfaceList) -> Set {
    let mut patterns = list.patterns.clone();
    patterns.sort();
    patterns.dedup();
    // The kernel refuses elements that overlap.
    let covered =
        |pattern: &IfPattern| list.patterns.iter().any(|other| other != pattern && other.covers(pattern));
    patterns.retain(|pattern| !covered(pattern));
    let interval = patterns.iter().any(|pattern| matches!(pattern, IfPattern::Prefix(_)));
    let comment = if list.bridges_only { "Docker's bridges" } else { "interfaces" };
    Set {
        name: list.name.to_string(),
        list: Some(list.name.clone()),
        elements: Elements::Interfaces(patterns),
        interval,
        comment: comment.into(),
    }
}

/// A set for each list of ports that is more than one range, each list once.
fn port_sets(ruleset: &Ruleset) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    for condition in ruleset.hooks.iter().flat_map(|hook| &hook.rules).flat_map(|rule| &rule.matches) {
        let Match::Ports { ranges, .. } = condition else { continue };
        let elements = Elements::Ports(ranges.clone());
        if ranges.len() > 1 && sets.iter().all(|set| set.elements != elements) {
            let interval = !ranges.iter().all(|range| range.is_single());
            let name = ports_name(ranges, &sets);
            sets.push(Set { name, list: None, elements, interval, comment: "ports".into() });
        }
    }
    sets
}

/// A name that says which ports are in the set, as far as there is room.
fn ports_name(ranges: &[PortRange], taken: &[Set]) -> String {
    let mut name = String::from("ports");
    for range in ranges {
        let part = format!("_{}", range.to_string().replace('-', "to"));
        if name.len() + part.len() > MAX_PORTS_NAME {
            name.push_str("_etc");
            break;
        }
        name.push_str(&part);
    }
    let same = taken.iter().filter(|set| set.name.starts_with(&name)).count();
    if same == 0 { name } else { format!("{name}_{same}") }
}

/// A text as a comment can carry it: of limited length, and without the quote that would end it in a listing.
fn comment(text: &str) -> String {
    let text = text.replace(['"', '\\'], "'");
    if text.len() <= MAX_COMMENT {
        return text;
    }
    let end = MAX_COMMENT - '…'.len_utf8();
    let kept = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= end).map(|(_, c)| c);
    kept.chain(['…']).collect()
}
