//! What has to be done to turn what is on the host into what is wanted. Pure code.
//!
//! Sets come first: each is complete before a rule in force names it. Then each family's rules change in one restore.
//! The sets that no rule names any more are destroyed last, after both families.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use dockfw_policy::difference::compare::{self, ChainOf, RuleText};
use dockfw_policy::difference::{Difference, DifferenceKind, ElementChanges, Part};
use dockfw_policy::ruleset::Origin;
use dockfw_xtables::clauses::{Clause, Protocols, comment, normal};
use dockfw_xtables::jumps::foreign_ways_in;
use dockfw_xtables::names::{DOCKER_USER, INPUT, is_filling_set};
use dockfw_xtables::old::is_old_filters;
use dockfw_xtables::ownership::own_chains;
use dockfw_xtables::restore::{Line, Restore};
use dockfw_xtables::saved::{Table, TableName};
use dockfw_xtables::words;
use ipnetwork::IpNetwork;

use crate::jumps::{JUMPS, Jump};
use crate::live::Live;
use crate::set_lines;
use crate::wanted::{Chain, FamilyChains, Rule, Set, Wanted, hook_of};

/// What differs, and what has to be done about it.
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
    /// Returns whether packets meet what is wanted, whatever else there is to do.
    pub(crate) fn is_in_force(&self) -> bool {
        self.differences.iter().all(Difference::is_harmless)
    }
}

/// Compares, and plans.
pub(crate) fn plan(live: &Live, wanted: &Wanted, protocols: &Protocols) -> Plan {
    let mut plan = Plan::default();
    // IPv6 comes first. It is the family for which a host more often lacks something, and if it is refused, IPv4 has not
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

/// If all rules are as wanted, no rule names an unwanted set.
fn plan_sets(plan: &mut Plan, live: &Live, wanted: &Wanted) {
    let useless =
        if plan.differences.is_empty() { DifferenceKind::Leftover } else { DifferenceKind::Foreign };
    let wanted_sets: Vec<_> =
        wanted.sets.iter().filter(|set| live.families.contains_key(&set.family)).collect();
    let names: BTreeSet<_> = wanted_sets.iter().map(|set| &set.name).collect();
    let (unfinished, obsolete): (Vec<_>, Vec<_>) =
        live.sets.keys().filter(|name| !names.contains(name)).partition(|name| is_filling_set(name));
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
            set_lines::create(&mut plan.stand_ins, &set.name, set.family, 0);
            plan.new_sets.push(set.name.clone());
        }
        set_lines::replace(&mut plan.fills, set);
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

    /// Returns the set that held the same list before its elements changed. Its name has the same beginning. Lists with
    /// long names may share a beginning: then it is the set with the fewest changes.
    fn take(&mut self, live: &Live, set: &Set) -> Option<&'a String> {
        let candidates = self.0.get_mut(beginning(&set.name))?;
        let changes = |(_, name): &(usize, &&String)| {
            let networks = live.sets.get(**name).and_then(Option::as_deref);
            element_changes(networks, &set.networks).count()
        };
        let (index, _) = candidates.iter().enumerate().min_by_key(changes)?;
        Some(candidates.remove(index))
    }

    /// Returns the sets that nothing replaced.
    fn rest(self) -> impl Iterator<Item = &'a String> {
        self.0.into_values().flatten()
    }
}

/// Returns a set's name without the digest at its end.
fn beginning(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(beginning, _)| beginning)
}

/// Returns how a set differs from the one that has its place now, if any.
fn set_difference(live: &Live, set: &Set, before: Option<&String>) -> Difference {
    let kind = if before.is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
    let part =
        Part::Set { set: Some(set.title.clone()), name: set.name.clone(), holds: Some(set.family.name()) };
    let networks = before.map_or(Some([].as_slice()), |name| live.sets.get(name)?.as_deref());
    Difference { elements: Some(element_changes(networks, &set.networks)), ..Difference::new(kind, part) }
}

/// Returns how the elements change; if the existing ones are unknown, only how many are wanted.
fn element_changes(live: Option<&[IpNetwork]>, wanted: &[IpNetwork]) -> ElementChanges {
    match live {
        Some(live) => compare::elements(live, wanted, |network| network_text(network)),
        None => ElementChanges { live: None, wanted: wanted.len() as u64, added: None, removed: None },
    }
}

/// Returns a network as a policy has it: a single address without its prefix.
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

    /// Returns the chains that have to be there.
    fn wanted(&self) -> &[Chain] {
        self.chains.table(self.table)
    }

    /// Returns whether there is something to remove that makes no difference: a stand-in for a jump of Docker's.
    fn has_leftovers(&self) -> bool {
        self.jumps().any(|jump| !jump.repair(&self.live).is_empty())
    }

    fn chain_differences(&self, chain: &Chain) -> Vec<Difference> {
        // Nothing of the old layout is compared: all of it is removed.
        let is_old = chain.name == INPUT && is_old_filters(&self.live);
        let Some(live) = self.live.chains.get(&chain.name).filter(|_| !is_old) else {
            let part = Part::Chain { chain: chain.name.clone(), rules: chain.rules.len() };
            return vec![Difference::new(DifferenceKind::Missing, part)];
        };
        // The normal form takes many times the memory of the words, so it is never there of all rules.
        compare::rules(
            ChainOf { hook: hook_of(&chain.name), chain: &chain.name },
            (&live.rules, &chain.rules),
            (|own| digest(&self.normal(&own.words)), |other| digest(&self.normal(&other.words))),
            |own, other| own.words == other.words || self.normal(&own.words) == self.normal(&other.words),
            (|rule| rule_text(&rule.words, None), |rule| rule_text(&rule.words, rule.origin.clone())),
        )
    }

    fn normal(&self, words: &[String]) -> Vec<Clause> {
        normal(words, self.protocols)
    }

    /// Returns the chains of the engine's own that are of no use any more.
    fn stale(&self) -> impl Iterator<Item = &str> {
        let wanted = self.wanted();
        let own = own_chains(&self.live).into_iter().map(String::as_str);
        own.filter(|name| wanted.iter().all(|chain| chain.name != *name))
    }

    fn jumps(&self) -> impl Iterator<Item = &'static Jump> {
        let table = self.table;
        JUMPS.iter().filter(move |jump| jump.table == table)
    }

    /// Returns the table's part of a restore: all of the engine's chains anew, and nothing of others but the jumps.
    fn lines(&self) -> Vec<Line> {
        let wanted = self.wanted();
        let mut lines = vec![Line::plain(format!("*{}", self.table.as_str()))];
        // Naming a chain like this empties it.
        lines.extend(wanted.iter().map(|chain| Line::plain(format!(":{} - [0:0]", chain.name))));
        if self.table == TableName::Filter && !self.live.chains.contains_key(DOCKER_USER) {
            // This fails if Docker was faster, instead of emptying its chain.
            lines.push(Line::plain(format!("-N {DOCKER_USER}")));
        }
        for chain in wanted {
            lines.extend(chain.rules.iter().map(|rule| rule_line(chain, rule)));
        }
        lines.extend(self.jumps().flat_map(|jump| jump.repair(&self.live)).map(Line::plain));
        let stale: Vec<_> = self.stale().collect();
        lines.extend(foreign_ways_in(&self.live, |name| stale.contains(&name)).into_iter().map(Line::plain));
        lines.extend(stale.iter().map(|name| Line::plain(format!("-F {name}"))));
        lines.extend(stale.iter().map(|name| Line::plain(format!("-X {name}"))));
        lines.push(Line::plain("COMMIT"));
        lines
    }
}

/// Returns a number that is the same for rules that are the same.
fn digest(clauses: &[Clause]) -> u64 {
    let mut hasher = DefaultHasher::new();
    clauses.hash(&mut hasher);
    hasher.finish()
}

fn rule_line(chain: &Chain, rule: &Rule) -> Line {
    Line { text: words::rule_line(&chain.name, &rule.words), origin: rule.origin.clone() }
}

/// Returns a rule as it is shown. Others may have written anything into theirs.
fn rule_text(words: &[String], origin: Option<Origin>) -> RuleText {
    let shown = |text: &str| text.replace(|c: char| c.is_control(), " ");
    RuleText { origin, comment: comment(words).map(shown), text: shown(&words::line(words)) }
}

fn jump_difference(jump: &Jump, table: &Table) -> Difference {
    let is_there = table.rules(jump.from).iter().any(|rule| rule.words == ["-j", jump.to]);
    let kind = if is_there { DifferenceKind::Changed } else { DifferenceKind::Missing };
    Difference::new(kind, Part::Jump { from: jump.from, to: jump.to })
}
