//! The lines of the old layout in table filter. Pure code.

use std::collections::BTreeMap;

use super::filters::{asks_the_set, is_old_filters};
use super::rule::OldRule;
use crate::jumps::jumps_into;
use crate::names::{DOCKER_USER, INPUT, is_own_chain};
use crate::saved::{Rule, Table};
use crate::words::{self, rule_line, words};

/// The chains that the old layout has rules in; the first is its own, the second Docker's.
pub const CHAINS: [&str; 2] = [INPUT, DOCKER_USER];

/// Rules of the old layout in one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldPart {
    /// The chain.
    pub chain: String,
    /// The rules, as `iptables-save` writes them.
    pub rules: Vec<String>,
}

/// The old layout's rules, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The rules of FILTERS, if that chain is the old layout's.
    filters: Vec<Rule>,
    /// The rules of others that lead to FILTERS, with their chains.
    jumps: Vec<(String, Rule)>,
    /// Those in DOCKER-USER, with their places in it, from 1. This engine's own jump has no place: it is removed before
    /// they are restored, or makes room.
    user: Vec<(usize, Rule)>,
}

impl Layout {
    /// Returns the layout, if anything of it is there.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let mut layout = Self::default();
        if is_old_filters(table) {
            layout.filters = table.rules(INPUT).to_vec();
            layout.jumps = jumps_into(table, |name| name == INPUT);
        }
        if asks_the_set(table, DOCKER_USER) {
            let user = rules_of_others(table, DOCKER_USER).enumerate();
            let user = user.map(|(index, rule)| (index + 1, rule.clone()));
            layout.user = user.filter(|(_, rule)| is_old_user_rule(rule)).collect();
        }
        (layout != Self::default()).then_some(layout)
    }

    /// Returns what there is, for people.
    pub(super) fn parts(&self) -> Vec<OldPart> {
        let mut parts = Vec::new();
        let mut add = |chain: &str, rule: &Rule| {
            let line = rule_line(chain, &rule.words);
            match parts.iter_mut().find(|part: &&mut OldPart| part.chain == chain) {
                Some(part) => part.rules.push(line),
                None => parts.push(OldPart { chain: chain.into(), rules: vec![line] }),
            }
        };
        self.jumps.iter().for_each(|(chain, rule)| add(chain, rule));
        self.filters.iter().for_each(|rule| add(INPUT, rule));
        self.user.iter().for_each(|(_, rule)| add(DOCKER_USER, rule));
        parts
    }

    /// Returns the lines of a restore that remove it. They delete by specification, because a number may mean another rule
    /// by now.
    pub(super) fn removal(&self) -> Vec<String> {
        let delete = |chain: &str, rule: &Rule| format!("-D {chain} {}", words::line(&rule.words));
        let mut lines = vec!["*filter".to_owned()];
        lines.extend(self.jumps.iter().map(|(chain, rule)| delete(chain, rule)));
        if !self.filters.is_empty() {
            lines.extend([format!("-F {INPUT}"), format!("-X {INPUT}")]);
        }
        lines.extend(self.user.iter().map(|(_, rule)| delete(DOCKER_USER, rule)));
        lines.push("COMMIT".into());
        lines
    }

    /// Returns the lines of a restore that put it back in its place.
    pub(super) fn put_back(&self, table: &Table) -> String {
        let mut lines = vec!["*filter".to_owned()];
        if !self.filters.is_empty() {
            lines.push(format!(":{INPUT} - [0:0]"));
            lines.extend(self.filters.iter().map(|rule| rule_line(INPUT, &rule.words)));
        }
        for (chain, rule) in &self.jumps {
            let place =
                rules_of_others(table, chain).position(|other| other == rule).map_or(1, |index| index + 1);
            lines.push(insertion(chain, place, &rule.words));
        }
        let user = self.user.iter().map(|(place, rule)| insertion(DOCKER_USER, *place, &rule.words));
        lines.extend(user);
        lines.push("COMMIT\n".into());
        lines.join("\n")
    }
}

fn rules_of_others<'a>(table: &'a Table, chain: &str) -> impl Iterator<Item = &'a Rule> {
    table.rules(chain).iter().filter(|rule| !leads_to_own(rule))
}

/// Returns whether a rule of DOCKER-USER is the old layout's. The last line, which lets the rest continue, stays:
/// Docker before 28.2 made one like it.
fn is_old_user_rule(rule: &Rule) -> bool {
    OldRule::read(&rule.words).is_some_and(|old| old != OldRule::Return)
}

fn insertion(chain: &str, place: usize, words: &[String]) -> String {
    format!("-I {chain} {place} {}", words::line(words))
}

/// Returns what restores everything that two strings of [`Layout::put_back`] restore. If both have rules of a part, the
/// newer ones count: after an interrupted take-over, only one part is left to be found.
pub(super) fn merged(newer: &str, older: &str) -> String {
    let mut lines = vec!["*filter"];
    for is_part in [is_of_filters, is_of_user] {
        let (newer, older) = (part(newer, is_part), part(older, is_part));
        lines.extend(if newer.is_empty() { older } else { newer });
    }
    lines.push("COMMIT\n");
    lines.join("\n")
}

fn part(text: &str, is_part: fn(&str) -> bool) -> Vec<&str> {
    text.lines().filter(|line| is_part(line)).collect()
}

fn is_of_filters(line: &str) -> bool {
    !matches!(line, "*filter" | "COMMIT") && !is_of_user(line)
}

fn is_of_user(line: &str) -> bool {
    let parts = words(line);
    let rule = insertion_of(&parts).filter(|(chain, ..)| *chain == DOCKER_USER);
    rule.is_some_and(|(.., rule)| OldRule::read(rule).is_some_and(|old| old != OldRule::Return))
}

/// Returns the lines that restore what `saved` holds, on a host whose table now is this one. A jump of this engine's
/// keeps its place before the restored rules: until it is removed, both decide.
pub(super) fn restoration(saved: &str, table: &Table) -> Vec<String> {
    let mut ends = BTreeMap::new();
    // If the old layout has its chain again, that one may have been changed since.
    let is_rule_of_filters =
        |line: &str| words(line).get(1).is_some_and(|chain| chain == INPUT) || line.starts_with(':');
    let lines = saved.lines().filter(|line| !(is_old_filters(table) && is_rule_of_filters(line)));
    lines.filter_map(|line| adapted(line, table, &mut ends)).collect()
}

/// Returns one line, with its place adapted to what is there; nothing for what is there already.
fn adapted(line: &str, table: &Table, ends: &mut BTreeMap<String, usize>) -> Option<String> {
    let parts = words(line);
    let Some((chain, place, rule)) = insertion_of(&parts) else { return Some(line.into()) };
    let live = table.rules(chain);
    let is_there = if chain == DOCKER_USER {
        asks_the_set(table, DOCKER_USER)
    } else {
        live.iter().any(|other| other.words == rule)
    };
    if is_there {
        return None;
    }
    let own = live.iter().take_while(|rule| leads_to_own(rule)).count();
    let end =
        ends.entry(chain.into()).or_insert_with(|| live.iter().take_while(|rule| !is_end(rule)).count() + 1);
    let place = (place + own).min(*end);
    *end += 1;
    Some(insertion(chain, place, rule))
}

/// Returns chain, place and rule of `-I CHAIN PLACE RULE`.
fn insertion_of(parts: &[String]) -> Option<(&str, usize, &[String])> {
    match parts {
        [insert, chain, place, rule @ ..] if insert == "-I" => Some((chain, place.parse().ok()?, rule)),
        _ => None,
    }
}

/// Returns whether no packet reaches the rules after this one.
fn is_end(rule: &Rule) -> bool {
    rule.words == ["-j", "RETURN"]
}

fn leads_to_own(rule: &Rule) -> bool {
    matches!(rule.words.as_slice(), [jump, to] if jump == "-j" && to != INPUT && is_own_chain(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::{TableName, Tables};

    const OLD: &str = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:FILTERS - [0:0]\n\
        -A INPUT -s 192.0.2.66/32 -j DROP\n-A INPUT -j FILTERS\n\
        -A DOCKER-USER -j f2b\n-A DOCKER-USER -i docker0 -j RETURN\n-A DOCKER-USER -s 172.17.0.0/16 -j RETURN\n\
        -A DOCKER-USER -d 192.0.2.9/32 -j DROP\n-A DOCKER-USER -m set ! --match-set ip_allow src -j DROP\n\
        -A DOCKER-USER -j RETURN\n-A FILTERS -i lo -j ACCEPT\n-A FILTERS -s 192.0.2.7/32 -j ACCEPT\n\
        -A FILTERS -m set ! --match-set ip_allow src -j DROP\n-A FILTERS -j RETURN\nCOMMIT\n";

    fn table(text: &str) -> Table {
        Tables::parse(text).table(TableName::Filter)
    }

    #[test]
    fn what_is_the_old_layouts_goes_and_lines_of_others_stay() {
        let lines = Layout::of(&table(OLD)).unwrap().removal();
        let expected = [
            "*filter",
            "-D INPUT -j FILTERS",
            "-F FILTERS",
            "-X FILTERS",
            "-D DOCKER-USER -i docker0 -j RETURN",
            "-D DOCKER-USER -s 172.17.0.0/16 -j RETURN",
            "-D DOCKER-USER -m set ! --match-set ip_allow src -j DROP",
            "COMMIT",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_chain_that_only_shares_the_name_is_nobodys_business() {
        for foreign in [OLD.replace("ip_allow", "whitelist"), OLD.replace("! --match-set", "--match-set")] {
            assert_eq!(Layout::of(&table(&foreign)), None);
        }
        assert_eq!(Layout::of(&Table::default()), None);
    }

    #[test]
    fn all_of_it_comes_back_to_its_place() {
        let old = table(OLD);
        let saved = Layout::of(&old).unwrap().put_back(&old);
        let without = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n-A INPUT -s 192.0.2.66/32 -j DROP\n\
            -A DOCKER-USER -j f2b\n-A DOCKER-USER -d 192.0.2.9/32 -j DROP\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
        let places = |lines: Vec<String>| {
            let places = lines.iter().filter(|line| line.starts_with("-I"));
            places
                .map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        let expected = ["INPUT 2", "DOCKER-USER 2", "DOCKER-USER 3", "DOCKER-USER 5"];
        assert_eq!(places(restoration(&saved, &table(without))), expected);
        let shorter = without.replace("-A DOCKER-USER -j f2b\n-A DOCKER-USER -d 192.0.2.9/32 -j DROP\n", "");
        let expected = ["INPUT 2", "DOCKER-USER 1", "DOCKER-USER 2", "DOCKER-USER 3"];
        assert_eq!(
            places(restoration(&saved, &table(&shorter))),
            expected,
            "before the rule that ends the chain"
        );
        let changed = table(&OLD.replace("192.0.2.7", "192.0.2.8"));
        assert_eq!(restoration(&saved, &changed), ["*filter", "COMMIT"], "it is there already");
    }

    #[test]
    fn it_comes_back_behind_the_jump_that_is_about_to_go() {
        let old = table(OLD);
        let saved = Layout::of(&old).unwrap().put_back(&old);
        let taken = "*filter\n:INPUT ACCEPT [0:0]\n:FILTERS - [0:0]\n:DOCKER-USER - [0:0]\n:DOCKFW-USER - [0:0]\n\
            -A INPUT -j FILTERS\n-A DOCKER-USER -j DOCKFW-USER\n-A DOCKER-USER -j f2b\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
        let lines = restoration(&saved, &table(taken));
        assert!(lines.contains(&"-I DOCKER-USER 3 -i docker0 -j RETURN".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("-I INPUT")), "{lines:?}");
    }

    #[test]
    fn the_jump_of_this_engine_takes_no_place() {
        let with_own = OLD.replacen("-A DOCKER-USER", "-A DOCKER-USER -j DOCKFW-USER\n-A DOCKER-USER", 1);
        let saved = |text: &str| Layout::of(&table(text)).unwrap().put_back(&table(text));
        assert_eq!(saved(&with_own), saved(OLD));
    }

    #[test]
    fn what_was_kept_stays_where_less_is_found() {
        let put_back = |text: &str| Layout::of(&table(text)).unwrap().put_back(&table(text));
        let all = put_back(OLD);
        let user = put_back(
            &OLD.replace("-m set ! --match-set ip_allow src -j DROP\n-A FILTERS -j RETURN", "-j DROP"),
        );
        assert!(!user.contains("FILTERS"), "{user}");
        assert_eq!(merged(&user, &all), all);
        let newer = all.replace("192.0.2.7", "192.0.2.8").replace("docker0", "docker1");
        assert_eq!(merged(&newer, &all), newer, "what is there now counts");
    }
}
