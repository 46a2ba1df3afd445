//! From the common form to chains of iptables and sets of ipset.
//!
//! One rule of the common form may become several here: a rule of iptables has one interface, one range of dialled
//! ports and one ICMP type. To pass is RETURN, never ACCEPT: what others decide afterwards still counts.

mod arrival;
mod chains;
mod conditions;
mod row;
mod tree;

use std::collections::HashMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;
use dockfw_policy::interface::{IfPattern, reduced};
use dockfw_policy::policy::Rate;
use dockfw_policy::reverse_path;
use dockfw_policy::ruleset::{self, Action, Hook, Match, Origin, Ruleset, SetName};
use dockfw_xtables::names::{FORWARD, INPUT, LIVE, PREROUTING, SOURCES};

use crate::sets;
use crate::wanted::{self, Chain, FamilyChains, Rule, Set, Wanted};

use arrival::Arrival;
use chains::Chains;
use row::{Part, Row};

/// The most bytes of a comment that are kept: XT_MAX_COMMENT_LEN (linux/netfilter/xt_comment.h) without the closing
/// NUL.
const MAX_COMMENT: usize = 255;
/// The most bytes of a log line's beginning: `prefix` of xt_log_info (linux/netfilter/xt_LOG.h) without the closing
/// NUL.
const MAX_LOG_PREFIX: usize = 29;
/// LOG_INFO (syslog.h): what nftables' `log level info` means.
const LOG_LEVEL: &str = "6";

/// The error for what iptables can't express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("iptables can't express {what}; it is part of {origin}")]
pub(crate) struct Inexpressible {
    what: String,
    origin: Origin,
}

impl From<Inexpressible> for EngineError {
    fn from(error: Inexpressible) -> Self {
        Self::Unsupported(error.to_string())
    }
}

/// Writes a ruleset as sets and chains.
pub(crate) fn lower(ruleset: &Ruleset) -> Result<Wanted, Inexpressible> {
    let arrival = Arrival::of(ruleset);
    let lists = ruleset.addresses.iter().chain(&arrival.named);
    let sets: Vec<Set> = lists.flat_map(sets::of_list).collect();
    let chains = |family| Lowering::of(ruleset, family, &sets).chains(&arrival);
    let families = [chains(Family::Ipv4)?, chains(Family::Ipv6)?];
    Ok(Wanted { sets, families })
}

/// The lowering of one family.
pub(crate) struct Lowering<'a> {
    ruleset: &'a Ruleset,
    family: Family,
    /// The family's sets, by their lists in the ruleset.
    sets: HashMap<&'a str, &'a Set>,
}

impl<'a> Lowering<'a> {
    fn of(ruleset: &'a Ruleset, family: Family, sets: &'a [Set]) -> Self {
        let own = sets.iter().filter(|set| set.family == family);
        Self { ruleset, family, sets: own.map(|set| (set.title.as_str(), set)).collect() }
    }

    fn chains(&self, arrival: &Arrival) -> Result<FamilyChains, Inexpressible> {
        let checks = reverse_path::before_routing(self.ruleset);
        let mut mangle = self.chain(SOURCES, &self.excepting(checks.iter()))?;
        mangle.retain(|chain| !chain.rules.is_empty());
        mangle.extend(self.arriving(arrival, &checks)?);
        for (hook, name) in [(Hook::Input, INPUT), (Hook::Forward, FORWARD)] {
            let rules = self.ruleset.rules(hook).filter(|rule| !reverse_path::asks(rule));
            let mut rules = self.excepting(rules);
            live_first(&mut rules);
            mangle.extend(self.chain(name, &rules)?);
        }
        Ok(FamilyChains { family: self.family, mangle, filter: wanted::signposts() })
    }

    /// Returns the chains for arriving packets: one for those of live connections, which most packets are, and one for all
    /// others.
    fn arriving(&self, arrival: &Arrival, checks: &[ruleset::Rule]) -> Result<Vec<Chain>, Inexpressible> {
        let live = self.chain(LIVE, &self.excepting(arrival.live.iter()))?;
        let mut others = self.excepting(arrival.others.iter());
        others.iter_mut().for_each(|one| one.goes_on = is_checked(one.rule, checks));
        let mut others = self.chain(PREROUTING, &others)?;
        if let Some(first) = others.first_mut() {
            let words = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-g", LIVE];
            first.rules.insert(0, connection(&words));
        }
        Ok([live, others].concat())
    }

    /// Returns those of these rules that can match, each with the interfaces that it is not for.
    fn excepting<'r>(&self, rules: impl Iterator<Item = &'r ruleset::Rule>) -> Vec<Excepting<'r>> {
        let excepting = |rule| Some(Excepting { excluded: self.excluded(rule)?, rule, goes_on: false });
        rules.filter_map(excepting).collect()
    }

    /// Returns the chain with these rules, and its continuations.
    fn chain(&self, name: &str, rules: &[Excepting<'_>]) -> Result<Vec<Chain>, Inexpressible> {
        let mut chains = Chains::named(name);
        for alike in rules.chunk_by(|one, next| one.excluded == next.excluded) {
            match around(alike) {
                [] => self.add_in_runs(&mut chains, alike)?,
                around => self.add_with_detour(&mut chains, alike, around)?,
            }
        }
        Ok(chains.done())
    }

    fn add_in_runs(&self, chains: &mut Chains, rules: &[Excepting<'_>]) -> Result<(), Inexpressible> {
        let is_by_port = |one: &Excepting<'_>| tree::passes_by_port(one.rule);
        for run in rules.chunk_by(|one, next| is_by_port(one) == is_by_port(next)) {
            if run.iter().all(is_by_port) {
                self.add_by_ports(chains, run)?;
                continue;
            }
            for one in run {
                chains.add(self.rows(one, one.excluded.first())?);
            }
        }
        Ok(())
    }

    /// Adds rules, around which packets from some interfaces go: a rule has one interface, and no "or".
    fn add_with_detour(
        &self,
        chains: &mut Chains,
        rules: &[Excepting<'_>],
        around: &[IfPattern],
    ) -> Result<(), Inexpressible> {
        let next = chains.next();
        chains.add(around.iter().map(|pattern| detour(pattern, &next)));
        for one in rules {
            chains.add(self.rows(one, None)?);
        }
        chains.go_on();
        Ok(())
    }

    /// Returns the interfaces that a rule is not for, or nothing if that is all of them.
    fn excluded(&self, rule: &ruleset::Rule) -> Option<Vec<IfPattern>> {
        let mut patterns = Vec::new();
        for condition in &rule.matches {
            if let Match::NotIn(name) = condition {
                patterns.extend(self.patterns(name));
            }
        }
        let patterns = reduced(&patterns);
        (!patterns.iter().any(IfPattern::is_any)).then_some(patterns)
    }

    /// Returns the patterns of a list of interfaces, none of them covered by another.
    fn patterns(&self, name: &SetName) -> Vec<IfPattern> {
        reduced(self.ruleset.interface_list(name).map_or(&[], |list| &list.patterns))
    }

    /// Returns the rules that together do what one does: one for each combination of its matches' alternatives.
    fn rows(&self, one: &Excepting<'_>, except: Option<&IfPattern>) -> Result<Vec<Rule>, Inexpressible> {
        let rule = one.rule;
        let fault = |what: String| Inexpressible { what, origin: rule.origin.clone() };
        let first = except.map(|pattern| Part::negated("-i", &interface(pattern)));
        let mut rows = vec![Row::default().with(first.as_slice()).map_err(fault)?];
        for condition in &rule.matches {
            let alternatives = self.alternatives(condition).map_err(fault)?;
            let mut longer = Vec::new();
            for row in rows.iter().flatten() {
                for parts in &alternatives {
                    longer.push(row.clone().with(parts).map_err(fault)?);
                }
            }
            rows = longer;
        }
        let finish = |row: Row| Rule {
            words: [row.words(), effects(rule, one.goes_on)].concat(),
            origin: Some(rule.origin.clone()),
        };
        Ok(rows.into_iter().flatten().map(finish).collect())
    }
}

/// A rule, and the interfaces that it is not for.
struct Excepting<'a> {
    excluded: Vec<IfPattern>,
    rule: &'a ruleset::Rule,
    /// Whether the source of passing packets still has to be checked.
    goes_on: bool,
}

/// Among the rules at the beginning that pass, the one for live connections comes first: it handles most packets.
fn live_first(rules: &mut [Excepting<'_>]) {
    let passing = rules.iter().take_while(|one| one.rule.action == Action::Pass).count();
    if let Some(passing) = rules.get_mut(..passing) {
        passing.sort_by_key(|one| one.rule.matches != [Match::Established]);
    }
}

/// Returns whether a rule lets packets pass from an interface for which these rules check the sources.
fn is_checked(rule: &ruleset::Rule, checks: &[ruleset::Rule]) -> bool {
    let [Match::In(_)] = rule.matches.as_slice() else { return false };
    let mut asking = checks.iter().filter(|check| reverse_path::asks(check));
    rule.action == Action::Pass && asking.any(|check| check.matches.starts_with(&rule.matches))
}

/// Returns the interfaces that have to go around rules which are not for them: none if each rule can contain `! -i`
/// itself.
fn around<'a>(alike: &'a [Excepting<'_>]) -> &'a [IfPattern] {
    let excluded = alike.first().map_or(&[][..], |first| &first.excluded);
    let is_taken = |one: &Excepting<'_>| {
        one.rule.matches.iter().any(|condition| matches!(condition, Match::Loopback | Match::In(_)))
    };
    if excluded.len() < 2 && !alike.iter().any(is_taken) { &[] } else { excluded }
}

/// Returns a rule that only leads from one chain to another.
fn connection(words: &[&str]) -> Rule {
    Rule { words: words.iter().map(ToString::to_string).collect(), origin: None }
}

fn detour(pattern: &IfPattern, to: &str) -> Rule {
    connection(&["-i", &interface(pattern), "-g", to])
}

/// Returns a pattern as iptables writes it.
fn interface(pattern: &IfPattern) -> String {
    match pattern {
        // Nothing can follow fifteen bytes (IFNAMSIZ, linux/if.h), and iptables has no room for the `+`.
        IfPattern::Prefix(prefix) if prefix.len() < 15 => format!("{prefix}+"),
        IfPattern::Prefix(name) | IfPattern::Name(name) => name.clone(),
    }
}

/// Returns what a rule does once its matches hold, after a comment that names its owner.
fn effects(rule: &ruleset::Rule, goes_on: bool) -> Vec<String> {
    let mut words = Vec::new();
    if let Action::Log { rate, .. } = &rule.action {
        words.extend(["-m".into(), "limit".into(), "--limit".into(), limit(*rate)]);
    }
    words.extend(["-m".into(), "comment".into(), "--comment".into(), comment(rule)]);
    match &rule.action {
        Action::Pass if goes_on => words.extend(["-g".into(), SOURCES.into()]),
        Action::Pass => words.extend(["-j".into(), "RETURN".into()]),
        Action::Drop => words.extend(["-j".into(), "DROP".into()]),
        Action::Log { prefix, .. } => {
            let prefix = plain(prefix, MAX_LOG_PREFIX);
            let log = ["-j", "LOG", "--log-prefix", &prefix, "--log-level", LOG_LEVEL];
            words.extend(log.map(String::from));
        }
    }
    words
}

/// The unit of xt_limit: XT_LIMIT_SCALE (linux/netfilter/xt_limit.h) to a second.
const LIMIT_SCALE: u32 = 10_000;

/// Returns a rate as iptables-save writes it: in the unit that suits the time between two packets, which is what the
/// kernel keeps.
fn limit(rate: Rate) -> String {
    let seconds = |unit: u32| unit * LIMIT_SCALE;
    let between = (seconds(rate.unit().seconds()) / rate.count()).max(1);
    let units = [("day", 86_400), ("hour", 3_600), ("min", 60), ("sec", 1)];
    let longer = units.iter().take_while(|(_, unit)| {
        let unit = seconds(*unit);
        between <= unit && unit / between >= unit % between
    });
    let (name, unit) = longer.last().or(units.first()).copied().unwrap_or(("sec", 1));
    format!("{}/{name}", seconds(unit) / between)
}

/// Returns the rule's counter, if it has one, and its description.
fn comment(rule: &ruleset::Rule) -> String {
    let counter = rule.counter.as_ref().map(|counter| format!("{counter}: ")).unwrap_or_default();
    plain(&format!("{counter}{}", rule.origin.what), MAX_COMMENT)
}

/// Returns the counter that a comment names.
pub(crate) fn counter_of(comment: &str) -> Option<SetName> {
    comment.split_once(": ").and_then(|(counter, _)| SetName::new(counter))
}

/// Returns a string as one word of a restore: of limited length, without what ends a word or a line.
fn plain(text: &str, max: usize) -> String {
    let text = text.replace(['"', '\\'], "'").replace(|c: char| c.is_control(), " ");
    let fitting = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= max);
    text.get(..fitting.last().unwrap_or(0)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
