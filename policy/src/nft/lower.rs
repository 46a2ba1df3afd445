//! From the common form to nftables' terms.
//!
//! One rule of the common form may become several here. An address set becomes up to four: hosts and networks of each
//! family, because look-ups in a hash set are faster than in an interval set. Each set is matched by a rule of its own.
//! These rules share the rule's counter.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::dispatch::{Group, groups};
use super::pieces::Pieces;
use super::{Chain, Counter, Direction, Elements, End, Ports, Rule, Set, Statement, TARGET, Table};
use crate::address::{Address, Family, Range};
use crate::interface::{IfPattern, reduced};
use crate::reverse_path;
use crate::ruleset::{
    self, Action, AddressList, Hook, HookRules, InterfaceList, Match, Origin, Ruleset, SetName,
};
use crate::service::PortRange;

/// The most bytes of a comment that are kept; the kernel accepts 256 bytes of userdata, nft 128 of a comment.
const MAX_COMMENT: usize = 100;
/// The most bytes of a port set's name that list its ports.
const MAX_PORTS_TITLE: usize = 32;

/// Features that some kernels lack, and that the rules can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `meta iifkind` (Linux 5.1). Without it, every interface whose name matches Docker's patterns is inside.
    pub interface_kind: bool,
    /// `ct original ip daddr` (Linux 4.17). Without it, packets from elsewhere to an address of `lo` are dropped at the
    /// first hook alone.
    pub dialled_address: bool,
    /// `fib saddr . iif oif` at the hooks input and forward (not in Linux 5.10, in 6.1). Without it, sources are checked before routing.
    pub reverse_path: bool,
    /// Verdict maps. Without them, packets walk the rules one by one.
    pub verdict_maps: bool,
}

impl Features {
    /// Everything: what `dockfw show` writes.
    pub const ALL: Self =
        Self { interface_kind: true, dialled_address: true, reverse_path: true, verdict_maps: true };
}

/// Writes a ruleset as a table.
pub fn lower(ruleset: &Ruleset, features: Features) -> Table {
    let sets = ruleset.interfaces.iter().map(interface_set);
    let sets = sets.chain(ruleset.addresses.iter().flat_map(address_sets)).chain(port_sets(ruleset));
    let mut sets: Vec<_> = sets.collect();
    let lowering = Lowering::of(ruleset, features, &sets);
    let (mut targets, mut chains, mut maps) = (Targets::default(), Vec::new(), Vec::new());
    for hook in &ruleset.hooks {
        let dispatches = lowering.dispatches(hook, &mut targets);
        chains.extend(lowering.chains(hook, &dispatches));
        maps.extend(dispatches.into_iter().map(|dispatch| dispatch.map));
    }
    chains.extend(lowering.source_checks());
    // An apply creates them in this order.
    let chains = [targets.chains, chains].concat();
    let statements = chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    let asked: BTreeSet<_> = statements.filter_map(Statement::set).collect();
    sets.retain(|set| asked.contains(set.name.as_str()));
    sets.extend(maps);
    let counters = ruleset.counters().into_iter().map(|name| Counter { name: name.clone() }).collect();
    Table { counters, sets, chains }
}

/// Rules that are found by their port.
struct Dispatch {
    /// Their places among the rules of the hook, in order.
    members: Vec<usize>,
    /// What leads to them.
    rules: Vec<Rule>,
    map: Set,
}

/// The chains that maps lead to. Maps of several hooks share chains with the same rules.
#[derive(Default)]
struct Targets {
    chains: Vec<Chain>,
    /// The names of the chains with these rules.
    names: HashMap<String, String>,
    /// How many chains are named after a port.
    named: HashMap<u16, usize>,
}

impl Targets {
    /// Returns the name of the chain with these rules, which is named after the first port that leads to it.
    fn name(&mut self, hook: Hook, port: u16, rules: Vec<Rule>) -> String {
        let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        if let Some(name) = self.names.get(&text) {
            return name.clone();
        }
        let count = self.named.entry(port).and_modify(|count| *count += 1).or_insert(1);
        let name = if *count == 1 { format!("{TARGET}{port}") } else { format!("{TARGET}{port}_{count}") };
        self.names.insert(text, name.clone());
        self.chains.push(Chain { name: name.clone(), hook, priority: None, rules });
        name
    }
}

struct Lowering<'a> {
    ruleset: &'a Ruleset,
    features: Features,
    /// The sets that each list of the ruleset became.
    of_lists: HashMap<&'a SetName, Vec<&'a Set>>,
    of_ports: HashMap<&'a [PortRange], &'a Set>,
}

impl<'a> Lowering<'a> {
    fn of(ruleset: &'a Ruleset, features: Features, sets: &'a [Set]) -> Self {
        let mut of_lists: HashMap<_, Vec<_>> = HashMap::new();
        let mut of_ports = HashMap::new();
        for set in sets {
            if let Some(list) = &set.list {
                of_lists.entry(list).or_default().push(set);
            }
            if let Elements::Ports(ranges) = &set.elements {
                of_ports.insert(ranges.as_slice(), set);
            }
        }
        Self { ruleset, features, of_lists, of_ports }
    }

    /// Returns the chains of a hook. Rules that are for none of Docker's bridges are in a chain of their own, from which
    /// packets that arrive on such a bridge return at once. No single rule can ask whether an interface is none of these
    /// bridges, because some interfaces have no kind at all.
    fn chains(&self, hook: &HookRules, dispatches: &[Dispatch]) -> Vec<Chain> {
        let Place { name, outside, priority } = place(hook.hook);
        let (mut rules, mut from_outside) = (Vec::new(), Vec::new());
        let firsts: HashMap<_, _> = dispatches.iter().map(|one| (one.members.first(), &one.rules)).collect();
        let members: HashSet<_> = dispatches.iter().flat_map(|one| &one.members).collect();
        let is_asked = |rule: &ruleset::Rule| self.features.reverse_path || !reverse_path::asks(rule);
        for (index, rule) in hook.rules.iter().enumerate().filter(|(_, rule)| is_asked(rule)) {
            rules.extend(firsts.get(&Some(&index)).into_iter().copied().flatten().cloned());
            if members.contains(&index) {
                continue;
            }
            let Some(bridges) = self.excluded_bridges(rule) else {
                rules.extend(self.rules(rule));
                continue;
            };
            if from_outside.is_empty() {
                rules.push(connection(vec![Statement::Jump(outside)], "not from Docker's bridges"));
                let inside = [self.interface(Direction::In, bridges, false), vec![Statement::Return]];
                from_outside.push(connection(inside.concat(), "from Docker's bridges"));
            }
            from_outside.extend(self.rules(rule));
        }
        let base = Chain { name: name.into(), hook: hook.hook, priority: Some(priority), rules };
        let outside = Chain { name: outside.into(), hook: hook.hook, priority: None, rules: from_outside };
        [outside, base].into_iter().filter(|chain| !chain.rules.is_empty()).collect()
    }

    /// Returns the chain that checks sources before routing, if that is the only place where the kernel can.
    fn source_checks(&self) -> Option<Chain> {
        let checks = (!self.features.reverse_path).then(|| reverse_path::before_routing(self.ruleset))?;
        let rules: Vec<_> = checks.iter().flat_map(|rule| self.rules(rule)).collect();
        let chain =
            Chain { name: SOURCES.into(), hook: Hook::Prerouting, priority: Some(SOURCES_PRIORITY), rules };
        (!chain.rules.is_empty()).then_some(chain)
    }

    /// Returns the list of bridges that a rule is not for, if there is one.
    fn excluded_bridges<'r>(&self, rule: &'r ruleset::Rule) -> Option<&'r SetName> {
        rule.matches.iter().find_map(|condition| match condition {
            Match::NotIn(name) if self.is_of_bridges(name) => Some(name),
            _ => None,
        })
    }

    fn is_of_bridges(&self, name: &SetName) -> bool {
        self.ruleset.interface_list(name).is_some_and(|list| list.bridges_only)
    }

    /// Returns what finds rules by their port, wherever that is worth it.
    fn dispatches(&self, hook: &HookRules, targets: &mut Targets) -> Vec<Dispatch> {
        let mut dispatches: Vec<Dispatch> = Vec::new();
        for group in groups(&hook.rules).iter().filter(|_| self.features.verdict_maps) {
            let Some(pieces) = group.pieces() else { continue };
            let mut title = format!("{}_{}", place(hook.hook).name, group.transport.name());
            if dispatches.iter().any(|other| super::title(&other.map.name) == title) {
                title = format!("{title}_{}", dispatches.len());
            }
            let mut name = |port, rules| targets.name(hook.hook, port, rules);
            dispatches.push(self.dispatch(&title, group, &pieces, &mut name));
        }
        dispatches
    }

    fn dispatch(
        &self,
        title: &str,
        group: &Group<'_>,
        pieces: &Pieces,
        name: &mut dyn FnMut(u16, Vec<Rule>) -> String,
    ) -> Dispatch {
        let mut names: HashMap<usize, String> = HashMap::new();
        let mut jump = |(range, cover): &(PortRange, usize)| {
            let chain = names
                .entry(*cover)
                .or_insert_with(|| name(range.first(), self.covering(group, pieces, *cover)));
            (*range, chain.clone())
        };
        let jumps: Vec<_> = pieces.ranges.iter().map(&mut jump).collect();
        let interval = jumps.iter().any(|(range, _)| !range.is_single());
        let what = format!("rules by {} port", group.transport.name());
        let map = Set::new(title, None, Elements::Jumps(jumps), interval, what.clone());
        let (transport, field) = (group.transport, group.field);
        let lead = Statement::Dispatch { transport, field, map: map.name.clone() };
        let lead = |row: Vec<Statement>| connection([row, vec![lead.clone()]].concat(), &what);
        Dispatch {
            members: group.members.iter().map(|member| member.index).collect(),
            rules: self.rows(group.before).into_iter().map(lead).collect(),
            map,
        }
    }

    /// Returns the rules of a cover, in order.
    fn covering(&self, group: &Group<'_>, pieces: &Pieces, cover: usize) -> Vec<Rule> {
        let members = pieces.covers.get(cover).into_iter().flatten();
        let members = members.filter_map(|number| group.members.get(*number));
        members.flat_map(|member| self.rules_with(member.after, member.rule)).collect()
    }

    /// Returns the rules that together do what `rule` does.
    fn rules(&self, rule: &ruleset::Rule) -> Vec<Rule> {
        self.rules_with(&rule.matches, rule)
    }

    /// Returns the same if of its matches only these are left to ask.
    fn rules_with(&self, matches: &[Match], rule: &ruleset::Rule) -> Vec<Rule> {
        let finish = |statements: Vec<Statement>| Rule {
            statements: [statements, effects(rule)].concat(),
            comment: comment(&rule.origin.what),
            origin: rule.origin.clone(),
        };
        self.rows(matches).into_iter().map(finish).collect()
    }

    /// Returns rows of statements, of which one holds if all matches do: one for each combination of their alternatives.
    fn rows(&self, matches: &[Match]) -> Vec<Vec<Statement>> {
        let mut rows = vec![Vec::new()];
        for condition in matches {
            let alternatives = self.alternatives(condition);
            rows = rows
                .iter()
                .flat_map(|row| {
                    alternatives.iter().map(move |statements| [row.as_slice(), statements].concat())
                })
                .collect();
        }
        rows
    }

    /// Returns the alternatives of a match, each a row of statements.
    fn alternatives(&self, condition: &Match) -> Vec<Vec<Statement>> {
        match condition {
            Match::Source(name) => self.addresses(End::Source, name),
            Match::Destination(name) => self.addresses(End::Destination, name),
            Match::Opening => vec![vec![Statement::Opening { negated: false }]],
            Match::NotOpening => vec![vec![Statement::NotTcp], vec![Statement::Opening { negated: true }]],
            Match::In(name) => vec![self.interface(Direction::In, name, false)],
            // The chain that contains the rule checks this.
            Match::NotIn(name) if self.is_of_bridges(name) => vec![vec![]],
            Match::NotIn(name) => vec![self.interface(Direction::In, name, true)],
            Match::Out(name) => vec![self.interface(Direction::Out, name, false)],
            Match::SourceIsOwn => own_sources(),
            Match::ReversePathFails => vec![vec![Statement::ReversePathFails]],
            Match::BoundFor(hook) => vec![vec![Statement::IsElsewhere { negated: *hook == Hook::Input }]],
            Match::HopLimit { family, limit } => {
                vec![vec![Statement::HopLimit { family: *family, limit: *limit }]]
            }
            Match::Loopback => vec![vec![interface_name(Direction::In, &IfPattern::Name("lo".into()))]],
            Match::Crosses(pattern) => {
                vec![[Direction::In, Direction::Out].map(|way| interface_name(way, pattern)).into()]
            }
            Match::SourceNetwork(network) => {
                vec![vec![Statement::Address { end: End::Source, network: *network }]]
            }
            Match::DestinationNetwork(network) => {
                vec![vec![Statement::Address { end: End::Destination, network: *network }]]
            }
            Match::DialledNetwork(network) if self.features.dialled_address => {
                vec![vec![Statement::DialledAddress(*network)]]
            }
            Match::DialledNetwork(_) => vec![],
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

    /// Returns the sets that a list of the ruleset became.
    fn sets_of(&self, name: &SetName) -> impl Iterator<Item = &'a Set> {
        self.of_lists.get(name).into_iter().flatten().copied()
    }

    fn addresses(&self, end: End, name: &SetName) -> Vec<Vec<Statement>> {
        let address = |set: &Set| {
            let family = family(&set.elements)?;
            Some(vec![Statement::AddressIn { end, family, set: set.name.clone() }])
        };
        self.sets_of(name).filter_map(address).collect()
    }

    fn interface(&self, direction: Direction, name: &SetName, negated: bool) -> Vec<Statement> {
        // The kind comes first: an interface that is no bridge is not looked up.
        let kind = self.is_of_bridges(name) && self.features.interface_kind;
        let kind = kind.then_some(Statement::Bridge(direction));
        let sets = self.sets_of(name).map(|set| set.name.clone());
        kind.into_iter().chain(sets.map(|set| Statement::InterfaceIn { direction, set, negated })).collect()
    }

    fn ports(&self, ranges: &[PortRange]) -> Ports {
        match self.of_ports.get(ranges) {
            Some(set) => Ports::Set(set.name.clone()),
            None => Ports::Range(*ranges.first().unwrap_or(&PortRange::ALL)),
        }
    }
}

/// The chain that checks sources before routing, on old kernels.
const SOURCES: &str = "sources";
/// After the translation of destinations (NF_IP_PRI_NAT_DST, -100), so that it is known what is for the host.
const SOURCES_PRIORITY: i32 = -95;

/// The chains of a hook.
struct Place {
    name: &'static str,
    /// The chain for packets that arrive on none of Docker's bridges.
    outside: &'static str,
    priority: i32,
}

/// Returns the chains of a hook, with priorities that nobody else uses: chains of equal priority have no order. Docker
/// is at -300 and 0, firewalld at 10; ports are visible from -400 on, connections from -200 on, and destinations are
/// translated at -100 (NF_IP_PRI_CONNTRACK_DEFRAG, NF_IP_PRI_CONNTRACK, NF_IP_PRI_NAT_DST, linux/netfilter_ipv4.h).
fn place(hook: Hook) -> Place {
    match hook {
        Hook::Prerouting => Place { name: "prefilter", outside: "prefilter_outside", priority: -310 },
        Hook::Tracked => Place { name: "tracked", outside: "tracked_outside", priority: -190 },
        Hook::Input => Place { name: "input", outside: "input_outside", priority: -10 },
        Hook::Forward => Place { name: "forward", outside: "forward_outside", priority: -10 },
    }
}

fn interface_name(direction: Direction, pattern: &IfPattern) -> Statement {
    Statement::InterfaceName { direction, pattern: pattern.clone() }
}

/// The kind of the packet comes first: an address look-up costs more.
fn own_sources() -> Vec<Vec<Statement>> {
    let is_local = Statement::IsLocal;
    vec![
        vec![Statement::Unicast { negated: false }, is_local(End::Source)],
        vec![Statement::Unicast { negated: true }, is_local(End::Source), is_local(End::Destination)],
    ]
}

/// Returns a rule that only leads from one chain to another.
fn connection(statements: Vec<Statement>, what: &str) -> Rule {
    Rule { statements, comment: what.into(), origin: Origin { what: what.into(), place: None } }
}

/// Returns what a rule does once its matches hold.
fn effects(rule: &ruleset::Rule) -> Vec<Statement> {
    let counter = rule.counter.clone().map(Statement::Counter);
    let action = match &rule.action {
        Action::Pass => vec![Statement::Accept],
        Action::Drop => vec![Statement::Drop],
        Action::Log { prefix, rate } => vec![Statement::Limit(*rate), Statement::Log(prefix.clone())],
    };
    counter.into_iter().chain(action).collect()
}

/// Returns the sets that hold a list's addresses: the hosts and the networks of each family, if there are any.
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
    sets.map(|(suffix, elements, interval)| {
        let title = format!("{}_{suffix}", list.name);
        Set::new(&title, Some(list.name.clone()), elements, interval, comment(&list.comment))
    })
    .collect()
}

/// Returns the single addresses, and the rest.
fn split<A: Address>(ranges: &[Range<A>]) -> (Vec<Range<A>>, Vec<Range<A>>) {
    ranges.iter().copied().partition(Range::is_single)
}

fn family(elements: &Elements) -> Option<Family> {
    match elements {
        Elements::Ipv4(_) => Some(Family::Ipv4),
        Elements::Ipv6(_) => Some(Family::Ipv6),
        Elements::Ports(_) | Elements::Interfaces(_) | Elements::Jumps(_) => None,
    }
}

fn interface_set(list: &InterfaceList) -> Set {
    // The kernel refuses elements that overlap.
    let patterns = reduced(&list.patterns);
    let interval = patterns.iter().any(|pattern| matches!(pattern, IfPattern::Prefix(_)));
    let comment = if list.bridges_only { "Docker's bridges" } else { "interfaces" };
    let elements = Elements::Interfaces(patterns);
    Set::new(list.name.as_str(), Some(list.name.clone()), elements, interval, comment.into())
}

/// Returns a set for each list of ports that is more than one range, each list once.
fn port_sets(ruleset: &Ruleset) -> Vec<Set> {
    let rules = ruleset.hooks.iter().flat_map(|hook| &hook.rules);
    let lists = rules.flat_map(|rule| &rule.matches).filter_map(|condition| match condition {
        Match::Ports { ranges, .. } if ranges.len() > 1 => Some(ranges),
        _ => None,
    });
    let mut seen = HashSet::new();
    let set = |ranges: &Vec<PortRange>| {
        let interval = !ranges.iter().all(|range| range.is_single());
        let elements = Elements::Ports(ranges.clone());
        Set::new(&ports_title(ranges), None, elements, interval, "ports".into())
    };
    lists.filter(|ranges| seen.insert(*ranges)).map(set).collect()
}

/// Returns a title that lists the ports of a set, as far as there is room.
fn ports_title(ranges: &[PortRange]) -> String {
    let mut title = String::from("ports");
    for range in ranges {
        let part = format!("_{}", range.to_string().replace('-', "to"));
        if title.len() + part.len() > MAX_PORTS_TITLE {
            title.push_str("_etc");
            break;
        }
        title.push_str(&part);
    }
    title
}

/// Returns a string for a comment: of limited length, and without the quote that would end it in a listing.
fn comment(text: &str) -> String {
    let text = text.replace(['"', '\\'], "'");
    if text.len() <= MAX_COMMENT {
        return text;
    }
    let end = MAX_COMMENT - '…'.len_utf8();
    let kept = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= end).map(|(_, c)| c);
    kept.chain(['…']).collect()
}
