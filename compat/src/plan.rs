//! What has to be done so that what is on the host becomes what is wanted. Pure code.
//!
//! Sets come first: each is complete before a rule in force names it. Then each family's rules change in one restore.
//! The sets that no rule names any more go last, when both families are over.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::address::Family;
use dockfw_policy::difference::compare::{self, ChainOf, RuleText};
use dockfw_policy::difference::{Difference, DifferenceKind, ElementChanges, Part};
use dockfw_policy::engine::Presence;
use dockfw_policy::ruleset::Origin;
use ipnetwork::IpNetwork;

use crate::jumps::{self, JUMPS, Jump};
use crate::normal::{Clause, Protocols, comment, normal};
use crate::old::is_old_filters;
use crate::presence::presence_of;
use crate::saved::{self, Table, Tables};
use crate::sets;
use crate::text;
use crate::wanted::{
    Chain, DOCKER_USER, FamilyChains, INPUT, Rule, Set, TableName, Wanted, hook_of, is_own_chain,
};

/// What is on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    /// The tables of each family that the host has.
    pub(crate) families: BTreeMap<Family, Tables>,
    /// The engine's own sets, with their elements where they can be the right ones.
    pub(crate) sets: BTreeMap<String, Option<Vec<IpNetwork>>>,
}

impl Live {
    /// The family and the table in which FILTERS is someone else's, if it is in one.
    pub(crate) fn foreign_filters(&self) -> Option<(Family, &'static str)> {
        let families = self.families.iter();
        let mut places =
            families.flat_map(|(family, tables)| TableName::ALL.map(|name| (*family, tables, name)));
        let found = places
            .find(|(_, tables, name)| *name != TableName::Raw && tables.table(*name).has_foreign_filters());
        found.map(|(family, _, name)| (family, name.as_str()))
    }

    /// How much of the engine is there.
    pub(crate) fn presence(&self) -> Presence {
        presence_of(self.families.values().any(Tables::have_own), !self.sets.is_empty())
    }
}

/// What differs, and what is to be done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What differs.
    pub(crate) differences: Vec<Difference>,
    /// For `ipset restore`, if anything: empty sets, so that rules can name them while they are judged.
    pub(crate) stand_ins: String,
    /// The names of those sets.
    pub(crate) new_sets: Vec<String>,
    /// For `ipset restore`, if anything: the elements of the sets.
    pub(crate) fills: String,
    /// For `iptables-restore` of each family, in this order.
    pub(crate) restores: Vec<Restore>,
    /// Sets that are of no use once the rules are in force.
    pub(crate) obsolete: Vec<String>,
}

impl Plan {
    /// Whether packets meet what is wanted, whatever else there is to do.
    pub(crate) fn is_in_force(&self) -> bool {
        self.differences.iter().all(Difference::is_harmless)
    }
}

/// One run of `iptables-restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restore {
    /// The family.
    pub(crate) family: Family,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// One line of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line.
    pub(crate) text: String,
    /// The part of the policy that it is for.
    pub(crate) origin: Option<Origin>,
}

impl Restore {
    /// One that changes nothing, and needs the tables all the same.
    pub(crate) fn of_nothing(family: Family) -> Self {
        let lines = ["*mangle", "COMMIT", "*filter", "COMMIT"];
        let lines = lines.map(|text| Line { text: text.into(), origin: None });
        Self { family, lines: lines.into() }
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }
}

/// Compares, and plans.
pub(crate) fn plan(live: &Live, wanted: &Wanted, protocols: &Protocols) -> Plan {
    let mut plan = Plan::default();
    // IPv6 first. It is the family for which a host more often lacks something, and where it is refused, IPv4 has not
    // changed yet.
    for chains in wanted.families.iter().rev() {
        let Some(tables) = live.families.get(&chains.family) else { continue };
        let comparisons =
            TableName::ALL.map(|table| Comparison { chains, live: tables.table(table), table, protocols });
        let differences = comparisons.iter().map(Comparison::differences).collect::<Vec<_>>();
        if differences.iter().all(Vec::is_empty) {
            continue;
        }
        let compared = comparisons.iter().zip(&differences);
        let changing = compared.filter(|(table, found)| !found.is_empty() || table.has_leftovers());
        let lines = changing.flat_map(|(comparison, _)| comparison.lines()).collect();
        plan.restores.push(Restore { family: chains.family, lines });
        plan.differences.extend(differences.into_iter().flatten());
    }
    plan_sets(&mut plan, live, wanted);
    plan
}

/// Where all rules are as wanted, nothing names a set that is not.
fn plan_sets(plan: &mut Plan, live: &Live, wanted: &Wanted) {
    let useless =
        if plan.differences.is_empty() { DifferenceKind::Leftover } else { DifferenceKind::Foreign };
    let wanted_sets: Vec<_> =
        wanted.sets.iter().filter(|set| live.families.contains_key(&set.family)).collect();
    let names: BTreeSet<_> = wanted_sets.iter().map(|set| &set.name).collect();
    let (unfinished, obsolete): (Vec<_>, Vec<_>) =
        live.sets.keys().filter(|name| !names.contains(name)).partition(|name| sets::is_filling(name));
    plan.obsolete = obsolete.iter().map(ToString::to_string).collect();
    let mut older = Older::of(obsolete);
    let mut renamed = BTreeMap::new();
    let mut differences = Vec::new();
    for set in wanted_sets {
        let in_place = live.sets.get(&set.name);
        if in_place.and_then(Option::as_ref) == Some(&set.networks) {
            continue;
        }
        let before = in_place.map_or_else(|| older.take(live, set), |_| Some(&set.name));
        renamed.extend(before.map(|before| (before.as_str(), set.name.as_str())));
        differences.push(set_difference(live, set, before));
        if in_place.is_none() {
            text::create(&mut plan.stand_ins, &set.name, set.family, 0);
            plan.new_sets.push(set.name.clone());
        }
        text::replace(&mut plan.fills, set);
    }
    plan.differences.retain(|difference| !compare::only_renames(difference, &renamed));
    plan.differences.append(&mut differences);
    plan.differences.extend(older.rest().map(|name| useless_set(name, useless)));
    plan.differences.extend(unfinished.iter().map(|name| useless_set(name, DifferenceKind::Leftover)));
    if plan.fills.is_empty() {
        plan.obsolete.extend(unfinished.into_iter().cloned());
    } else {
        let destroy: String = unfinished.iter().map(|name| format!("destroy {name}\n")).collect();
        plan.fills = destroy + &plan.fills;
    }
}

/// Sets of earlier policies, by the beginnings of their names.
struct Older<'a>(BTreeMap<&'a str, Vec<&'a String>>);

impl<'a> Older<'a> {
    fn of(names: Vec<&'a String>) -> Self {
        let mut by_beginning: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for name in names {
            by_beginning.entry(beginning(name)).or_default().push(name);
        }
        Self(by_beginning)
    }

    /// The set that held the same list before its elements changed. Its name has the same beginning; so may the names of
    /// lists with long names, of which it is the one that is most like it.
    fn take(&mut self, live: &Live, set: &Set) -> Option<&'a String> {
        let candidates = self.0.get_mut(beginning(&set.name))?;
        let changes = |(_, name): &(usize, &&String)| {
            let networks = live.sets.get(**name).and_then(Option::as_deref);
            element_changes(networks, &set.networks).count()
        };
        let (index, _) = candidates.iter().enumerate().min_by_key(changes)?;
        Some(candidates.remove(index))
    }

    /// Those that nothing took the place of.
    fn rest(self) -> impl Iterator<Item = &'a String> {
        self.0.into_values().flatten()
    }
}

/// A set's name without the digest at its end.
fn beginning(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(beginning, _)| beginning)
}

/// How a set differs from the one that has its place now, if any.
fn set_difference(live: &Live, set: &Set, before: Option<&String>) -> Difference {
    let kind = if before.is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
    let part =
        Part::Set { set: Some(set.title.clone()), name: set.name.clone(), holds: Some(set.family.name()) };
    let networks = before.map_or(Some([].as_slice()), |name| live.sets.get(name)?.as_deref());
    Difference { elements: Some(element_changes(networks, &set.networks)), ..Difference::new(kind, part) }
}

/// How the elements change; where those that are there are not known, only how many are wanted.
fn element_changes(live: Option<&[IpNetwork]>, wanted: &[IpNetwork]) -> ElementChanges {
    match live {
        Some(live) => compare::elements(live, wanted, |network| network_text(network)),
        None => ElementChanges { live: None, wanted: wanted.len() as u64, added: None, removed: None },
    }
}

/// A network as a policy has it: a single address without its prefix.
fn network_text(network: &IpNetwork) -> String {
    let bits = if network.is_ipv4() { 32 } else { 128 };
    if network.prefix() == bits { network.ip().to_string() } else { network.to_string() }
}

fn useless_set(name: &str, kind: DifferenceKind) -> Difference {
    Difference::new(kind, Part::Set { set: None, name: name.into(), holds: None })
}

/// One table of one family, as it is and as it should be.
struct Comparison<'a> {
    chains: &'a FamilyChains,
    live: Table,
    table: TableName,
    protocols: &'a Protocols,
}

impl Comparison<'_> {
    fn differences(&self) -> Vec<Difference> {
        let mut found: Vec<_> =
            self.wanted().iter().flat_map(|chain| self.chain_differences(chain)).collect();
        let stale = self.stale().map(|name| Part::Chain { chain: name.into(), rules: 0 });
        found.extend(stale.map(|part| Difference::new(DifferenceKind::Foreign, part)));
        let jumps = self.jumps().filter(|jump| !jump.is_fine(&self.live));
        found.extend(jumps.map(|jump| jump_difference(jump, &self.live)));
        for difference in &mut found {
            difference.family = Some(self.chains.family);
            difference.table = Some(self.table.as_str());
        }
        found
    }

    /// The chains that have to be there.
    fn wanted(&self) -> &[Chain] {
        self.chains.table(self.table)
    }

    /// Whether there is something to take out that makes no difference: what stood in for a jump of Docker's.
    fn has_leftovers(&self) -> bool {
        self.jumps().any(|jump| !jump.repair(&self.live).is_empty())
    }

    fn chain_differences(&self, chain: &Chain) -> Vec<Difference> {
        // Nothing of the old layout's is compared: all of it goes.
        let is_old = chain.name == INPUT && is_old_filters(&self.live);
        let Some(live) = self.live.chains.get(&chain.name).filter(|_| !is_old) else {
            let part = Part::Chain { chain: chain.name.clone(), rules: chain.rules.len() };
            return vec![Difference::new(DifferenceKind::Missing, part)];
        };
        let live: Vec<_> = live.rules.iter().map(|rule| (self.normal(&rule.words), rule)).collect();
        let wanted: Vec<_> = chain.rules.iter().map(|rule| (self.normal(&rule.words), rule)).collect();
        compare::rules(
            ChainOf { hook: hook_of(&chain.name), chain: &chain.name },
            (&live, &wanted),
            (|(own, _)| own, |(other, _)| other),
            |(own, _), (other, _)| own == other,
            (
                |(_, rule)| rule_text(&rule.words, None),
                |(_, rule)| rule_text(&rule.words, rule.origin.clone()),
            ),
        )
    }

    fn normal(&self, words: &[String]) -> Vec<Clause> {
        normal(words, self.protocols)
    }

    /// Chains of the engine's own that are of no use any more.
    fn stale(&self) -> impl Iterator<Item = &str> {
        let wanted = self.wanted();
        let own = self.live.own_chains().into_iter().map(String::as_str);
        own.filter(|name| wanted.iter().all(|chain| chain.name != *name))
    }

    fn jumps(&self) -> impl Iterator<Item = &'static Jump> {
        let table = self.table;
        JUMPS.iter().filter(move |jump| jump.table == table)
    }

    /// The table's part of a restore: all of the engine's chains anew, and nothing of others but the jumps.
    fn lines(&self) -> Vec<Line> {
        let wanted = self.wanted();
        let plain = |text: String| Line { text, origin: None };
        let mut lines = vec![plain(format!("*{}", self.table.as_str()))];
        // Naming a chain so empties it.
        lines.extend(wanted.iter().map(|chain| plain(format!(":{} - [0:0]", chain.name))));
        if self.table == TableName::Filter && !self.live.chains.contains_key(DOCKER_USER) {
            // Fails where Docker was faster, instead of emptying its chain.
            lines.push(plain(format!("-N {DOCKER_USER}")));
        }
        for chain in wanted {
            lines.extend(chain.rules.iter().map(|rule| rule_line(chain, rule)));
        }
        lines.extend(self.jumps().flat_map(|jump| jump.repair(&self.live)).map(plain));
        let stale: Vec<_> = self.stale().collect();
        lines.extend(jumps::foreign_ways_in(&self.live, |name| stale.contains(&name)).into_iter().map(plain));
        lines.extend(stale.iter().map(|name| plain(format!("-F {name}"))));
        lines.extend(stale.iter().map(|name| plain(format!("-X {name}"))));
        lines.push(plain("COMMIT".into()));
        lines
    }
}

fn rule_line(chain: &Chain, rule: &Rule) -> Line {
    Line { text: format!("-A {} {}", chain.name, text::line(&rule.words)), origin: rule.origin.clone() }
}

/// A rule as it is shown. Others may have put anything into theirs.
fn rule_text(words: &[String], origin: Option<Origin>) -> RuleText {
    let shown = |text: &str| text.replace(|c: char| c.is_control(), " ");
    RuleText { origin, comment: comment(words).map(shown), text: shown(&text::line(words)) }
}

fn jump_difference(jump: &Jump, table: &Table) -> Difference {
    let is_there = table.rules(jump.from).iter().any(|rule| rule.words == ["-j", jump.to]);
    let kind = if is_there { DifferenceKind::Changed } else { DifferenceKind::Missing };
    Difference::new(kind, Part::Jump { from: jump.from, to: jump.to })
}

/// What takes everything of the engine out of the tables of one family again.
pub(crate) fn removal(family: Family, tables: &Tables) -> Option<Restore> {
    let mut lines = Vec::new();
    for name in TableName::ALL {
        let table = tables.table(name);
        let own = table.own_chains();
        let mut found = jumps::foreign_ways_in(&table, |name| own.iter().any(|chain| *chain == name));
        found.extend(own.iter().map(|chain| format!("-F {chain}")));
        found.extend(own.iter().map(|chain| format!("-X {chain}")));
        if name == TableName::Filter {
            found.extend(removal_of_stand_in(&table));
        }
        if !found.is_empty() {
            lines.push(format!("*{}", name.as_str()));
            lines.extend(found);
            lines.push("COMMIT".into());
        }
    }
    let lines: Vec<_> = lines.into_iter().map(|text| Line { text, origin: None }).collect();
    (!lines.is_empty()).then_some(Restore { family, lines })
}

/// The jump that stood in for Docker's, and Docker's chain where nobody else has anything in it or leads to it.
fn removal_of_stand_in(table: &Table) -> Vec<String> {
    let Some(jump) = JUMPS.iter().find(|jump| jump.to == DOCKER_USER) else { return vec![] };
    let mut lines = jump.removal_of_stand_ins(table);
    let is_unused = table.rules(DOCKER_USER).iter().all(is_own_jump);
    let ways_in = jumps::foreign_ways_in(table, |name| name == DOCKER_USER).len();
    if !lines.is_empty() && is_unused && ways_in == lines.len() {
        lines.push(format!("-X {DOCKER_USER}"));
    }
    lines
}

fn is_own_jump(rule: &saved::Rule) -> bool {
    matches!(rule.words.as_slice(), [jump, to] if jump == "-j" && is_own_chain(to))
}
