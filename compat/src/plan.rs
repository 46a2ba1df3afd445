//! What has to be done so that what is on the host becomes what is wanted. Pure code.
//!
//! Sets come first: each is complete under its final name before a rule names it. Then each family's rules change in
//! one restore. The sets that no rule names any more go last, when both families are over.

use std::collections::BTreeMap;
use std::fmt;

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Origin;
use ipnetwork::IpNetwork;

use crate::jumps::{self, JUMPS, Jump};
use crate::normal::{Clause, Protocols, comment, normal};
use crate::saved::{self, Table, Tables};
use crate::sets;
use crate::text::{self, Finish};
use crate::wanted::{
    Chain, DOCKER_USER, FamilyChains, Rule, Set, TableName, Wanted, family_name, is_own_chain,
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
    /// Whether anything of the engine is there.
    pub(crate) fn is_present(&self) -> bool {
        !self.sets.is_empty() || self.families.values().any(Tables::have_own)
    }
}

/// What differs, and what is to be done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What differs.
    pub(crate) differences: Vec<Difference>,
    /// For `ipset restore`, if anything.
    pub(crate) sets: String,
    /// For `iptables-restore` of each family, in this order.
    pub(crate) restores: Vec<Restore>,
    /// Sets that are of no use once the rules are in force.
    pub(crate) obsolete: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.obsolete.is_empty()
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
    /// The text.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }
}

/// One difference between what is on the host and what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    kind: Kind,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    Foreign,
    Changed,
}

impl Difference {
    /// The difference as a line on what is to be done, or was done, about it.
    pub(crate) fn as_change(&self) -> String {
        let verb = match self.kind {
            Kind::Missing => "add",
            Kind::Foreign => "remove",
            Kind::Changed => "replace",
        };
        format!("{verb} {}", self.what)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Missing => write!(f, "{} is missing", self.what),
            Kind::Foreign => write!(f, "{} is not of this policy", self.what),
            Kind::Changed => write!(f, "{} differs", self.what),
        }
    }
}

/// Compares, and plans.
pub(crate) fn plan(live: &Live, wanted: &Wanted, protocols: &Protocols) -> Plan {
    let mut plan = Plan::default();
    // IPv6 first. It is the family for which a host more often lacks something, and where it is refused, IPv4 has not
    // changed yet.
    for chains in wanted.families.iter().rev() {
        let Some(tables) = live.families.get(&chains.family) else { continue };
        let filter = tables.table(TableName::Filter);
        let comparisons = TableName::ALL.map(|table| Comparison {
            chains,
            live: tables.table(table),
            table,
            protocols,
            is_needed: table != TableName::Mangle
                || !JUMPS.iter().any(|jump| jump.is_made_by_docker(&filter)),
        });
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

fn plan_sets(plan: &mut Plan, live: &Live, wanted: &Wanted) {
    let wanted_sets = wanted.sets.iter().filter(|set| live.families.contains_key(&set.family));
    let mut fills = String::new();
    for set in wanted_sets.clone() {
        let Some((kind, finish)) = compare_set(live, set) else { continue };
        plan.differences.push(Difference { kind, what: set.to_string() });
        text::fill(&mut fills, set, finish);
    }
    let is_wanted = |name: &str| wanted_sets.clone().any(|set| set.name == name);
    let (unfinished, obsolete): (Vec<_>, Vec<_>) =
        live.sets.keys().filter(|name| !is_wanted(name)).cloned().partition(|name| sets::is_filling(name));
    if fills.is_empty() {
        plan.obsolete = [obsolete, unfinished].concat();
    } else {
        plan.sets = unfinished.iter().map(|name| format!("destroy {name}\n")).collect::<String>() + &fills;
        plan.obsolete = obsolete;
    }
}

fn compare_set(live: &Live, set: &Set) -> Option<(Kind, Finish)> {
    match live.sets.get(&set.name) {
        Some(Some(networks)) if *networks == set.networks => None,
        Some(_) => Some((Kind::Changed, Finish::Swap)),
        None => {
            let beginning = set.name.rsplit_once('-').map_or("", |(beginning, _)| beginning);
            let has_older =
                live.sets.keys().any(|name| name.rsplit_once('-').is_some_and(|(b, _)| b == beginning));
            Some((if has_older { Kind::Changed } else { Kind::Missing }, Finish::Rename))
        }
    }
}

/// One table of one family, as it is and as it should be.
struct Comparison<'a> {
    chains: &'a FamilyChains,
    live: Table,
    table: TableName,
    protocols: &'a Protocols,
    /// Whether the table's chains have to be there.
    is_needed: bool,
}

impl Comparison<'_> {
    fn differences(&self) -> Vec<Difference> {
        let chains = self.wanted().iter().flat_map(|chain| self.chain_differences(chain));
        let stale = self.stale().map(|name| (Kind::Foreign, format!("chain {name}")));
        let stale = stale.filter(|_| self.is_needed || !self.is_as_if_needed());
        let jumps = self.jumps().filter(|jump| !jump.is_fine(&self.live));
        let jumps = jumps.map(|jump| (Kind::Changed, format!("the jump from {} to {}", jump.from, jump.to)));
        let found = chains.chain(stale).chain(jumps);
        let (family, table) = (family_name(self.chains.family), self.table.as_str());
        let place = if self.table == TableName::Filter { String::new() } else { format!("{table}, ") };
        found.map(|(kind, what)| Difference { kind, what: format!("{family}: {place}{what}") }).collect()
    }

    /// The chains that have to be there.
    fn wanted(&self) -> &[Chain] {
        if self.is_needed { self.chains.table(self.table) } else { &[] }
    }

    /// Whether chains that are not needed any more do just what they did when they were: no reason for an apply.
    fn is_as_if_needed(&self) -> bool {
        self.chains.table(self.table).iter().all(|chain| self.chain_differences(chain).is_empty())
    }

    /// Whether there is something to take out that makes no difference.
    fn has_leftovers(&self) -> bool {
        self.stale().next().is_some() || self.jumps().any(|jump| !jump.repair(&self.live).is_empty())
    }

    /// How a chain differs, each thing once: many rules may come from one line of the policy.
    fn chain_differences(&self, chain: &Chain) -> Vec<(Kind, String)> {
        if !self.live.chains.contains_key(&chain.name) {
            return vec![(Kind::Missing, format!("chain {} ({} rules)", chain.name, chain.rules.len()))];
        }
        let live = self.live.rules(&chain.name);
        let wanted_forms: Vec<_> = chain.rules.iter().map(|rule| self.normal(&rule.words)).collect();
        let live_forms: Vec<_> = live.iter().map(|rule| self.normal(&rule.words)).collect();
        if wanted_forms == live_forms {
            return vec![];
        }
        let missing = chain.rules.iter().zip(&wanted_forms).filter(|(_, form)| !live_forms.contains(form));
        let foreign = live.iter().zip(&live_forms).filter(|(_, form)| !wanted_forms.contains(form));
        let missing = missing.map(|(rule, _)| (Kind::Missing, of_rule(rule, chain)));
        let foreign = foreign.map(|(rule, _)| (Kind::Foreign, of_live_rule(rule, chain)));
        let mut found: Vec<_> = missing.chain(foreign).collect();
        found.dedup();
        if found.is_empty() {
            found.push((Kind::Changed, format!("the order or number of the rules in {}", chain.name)));
        }
        found
    }

    fn normal(&self, words: &[String]) -> Vec<Clause> {
        normal(words, self.protocols)
    }

    /// Chains of the engine's own that are of no use any more.
    fn stale(&self) -> impl Iterator<Item = &str> {
        let wanted = self.wanted();
        let own = self.live.chains.keys().map(String::as_str).filter(|name| is_own_chain(name));
        own.filter(|name| wanted.iter().all(|chain| chain.name != *name))
    }

    fn jumps(&self) -> impl Iterator<Item = &'static Jump> {
        // Docker's own chain is in table filter, whatever the engine has there.
        let has_chains = !self.wanted().is_empty();
        let table = self.table;
        JUMPS.iter().filter(move |jump| jump.table == table && has_chains)
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

fn of_rule(rule: &Rule, chain: &Chain) -> String {
    match &rule.origin {
        Some(origin) => format!("{} in {}", origin.what, chain.name),
        None => format!("`{}` in {}", text::line(&rule.words), chain.name),
    }
}

fn of_live_rule(rule: &saved::Rule, chain: &Chain) -> String {
    let words = text::line(&rule.words).replace(|c: char| c.is_control(), " ");
    match comment(&rule.words).and_then(|comment| comment.split_once(": ")) {
        Some((_, what)) => format!("{what} in {} as it was (`{words}`)", chain.name),
        None => format!("`{words}` in {}", chain.name),
    }
}

/// What takes everything of the engine out of the tables of one family again.
pub(crate) fn removal(family: Family, tables: &Tables) -> Option<Restore> {
    let mut lines = Vec::new();
    for name in TableName::ALL {
        let table = tables.table(name);
        let own: Vec<_> = table.chains.keys().filter(|chain| is_own_chain(chain)).collect();
        let mut found = jumps::foreign_ways_in(&table, is_own_chain);
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
