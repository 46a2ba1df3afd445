//! Rules as `iptables-save` writes them down.

mod condition;
mod parse;
mod target;

use dockfw_compat::words;
use dockfw_policy::address::Family;
use dockfw_policy::printable;

use super::{
    Answer, Chain, Hook, Hooked, Rule as AnyRule, Step, Table, Tracking, Verdict, View, translation,
};
use condition::Asked;
use target::Target;

/// The chains that the kernel itself has, with their hooks and priorities (`enum nf_ip_hook_priorities`,
/// linux/netfilter_ipv4.h), by their tables.
const BUILT_IN: [(&str, &str, Hook, i32); 10] = [
    ("raw", "PREROUTING", Hook::Prerouting, -300),
    ("mangle", "PREROUTING", Hook::Prerouting, -150),
    ("nat", "PREROUTING", Hook::Prerouting, -100),
    ("mangle", "INPUT", Hook::Input, -150),
    ("filter", "INPUT", Hook::Input, 0),
    ("security", "INPUT", Hook::Input, 50),
    ("mangle", "FORWARD", Hook::Forward, -150),
    ("filter", "FORWARD", Hook::Forward, 0),
    ("security", "FORWARD", Hook::Forward, 50),
    ("mangle", "POSTROUTING", Hook::Postrouting, -150),
];
/// The chains of packets that the host itself sends, or that leave.
const OUTWARD: [&str; 2] = ["OUTPUT", "POSTROUTING"];
/// What dockfw's own chains are called in table mangle and beside it.
const OWN: &str = "DOCKFW-";
/// Its chain that has no such name.
const FILTERS: &str = "FILTERS";

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The rule as it was written down.
    pub(super) text: String,
    /// Whether it gives packets a mark.
    pub(super) marks: bool,
    /// Whether it gives connections a helper of connection tracking.
    pub(super) helps: bool,
    conditions: Vec<Asked>,
    target: Target,
}

impl Rule {
    /// The rule in a line, with its chain; nothing: the line has none.
    fn parse(line: &str) -> Option<(String, Self)> {
        let words = words(line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ["-A", chain, rest @ ..] = words.as_slice() else { return None };
        let (conditions, target) = parse::parse(rest);
        let helps = matches!(target, ["-j", "CT", ..]) && target.contains(&"--helper");
        let target = Target::parse(target);
        let marks = target.marks() && !OUTWARD.contains(chain);
        let rule = Self { text: printable(line), marks, helps, conditions, target };
        Some(((*chain).to_owned(), rule))
    }

    /// What it does with a packet.
    pub(super) fn step(&self, view: &View<'_>) -> Step {
        let mut holds = Answer::Yes;
        for condition in &self.conditions {
            holds = holds.and(condition.holds(view));
            if holds == Answer::No {
                return Step { holds, untracks: holds, verdicts: vec![] };
            }
        }
        let untracks = if self.untracks() { holds } else { Answer::No };
        Step { holds, untracks, verdicts: self.target.verdicts(view) }
    }

    /// The ports that it asks the dialled one to be of.
    pub(super) fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        self.conditions.iter().flat_map(Asked::ports)
    }

    /// The single addresses that it asks the destination to be.
    pub(super) fn destinations(&self) -> impl Iterator<Item = std::net::IpAddr> {
        self.conditions.iter().filter_map(Asked::destination)
    }

    /// Whether it leads packets elsewhere.
    pub(super) fn translates(&self) -> bool {
        self.target.translates()
    }

    /// Whether it takes packets out of connection tracking.
    pub(super) fn untracks(&self) -> bool {
        matches!(self.target, Target::Untrack)
    }

    fn leads_to_own(&self, has_own: bool) -> bool {
        matches!(&self.target, Target::Chain { name, .. } if name.starts_with(OWN) || has_own && name == FILTERS)
    }
}

/// The tables in what a program like `iptables-save` has written of a family. `variant`: what people call the program's rules, as in
/// `iptables-legacy`. dockfw's own chains are left out.
pub(crate) fn tables(text: &str, family: Family, variant: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table {
                name: format!("table {name} of {variant}"),
                of_iptables: Some(name.to_owned()),
                family: Some(family),
                ..Table::default()
            });
        } else if let Some(table) = tables.last_mut() {
            add(table, line);
        }
    }
    tables.iter_mut().for_each(leave_out_own);
    tables
}

fn add(table: &mut Table, line: &str) {
    let name = table.of_iptables.as_deref().unwrap_or_default();
    if let Some((chain, policy)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
        let drops = policy.starts_with("DROP");
        table.chains.entry(chain.into()).or_default().hooked = hooked(name, chain, drops);
    } else if let Some((chain, rule)) = Rule::parse(line) {
        table.chains.entry(chain).or_default().rules.push(AnyRule::Iptables(rule));
    }
}

fn hooked(table: &str, chain: &str, drops: bool) -> Option<Hooked> {
    let (.., hook, priority) = BUILT_IN.into_iter().find(|(of, name, ..)| (*of, *name) == (table, chain))?;
    Some(Hooked { hook, priority, translates: table == "nat", drops })
}

/// What dockfw decides is walked elsewhere.
fn leave_out_own(table: &mut Table) {
    let has_own = table.chains.keys().any(|name| name.starts_with(OWN));
    for Chain { rules, .. } in table.chains.values_mut() {
        rules.retain(|rule| !matches!(rule, AnyRule::Iptables(rule) if rule.leads_to_own(has_own)));
    }
    table.chains.retain(|name, _| !name.starts_with(OWN));
}
