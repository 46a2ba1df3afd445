//! The lines of the old layout in table filter. Pure code.

use super::{OldPart, OldRule, SET, rule_line};
use std::collections::BTreeMap;

use crate::jumps::jumps_into;
use crate::saved::{Rule, Table, words};
use crate::text;
use crate::wanted::{DOCKER_USER, INPUT, is_own_chain};

/// The chains that the old layout has rules in; the first is its own, the second Docker's.
pub const CHAINS: [&str; 2] = [INPUT, DOCKER_USER];

/// Where the old layout's rules are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The rules of FILTERS, where that chain is the old layout's.
    filters: Vec<Rule>,
    /// The rules of others that lead to FILTERS, with their chains.
    jumps: Vec<(String, Rule)>,
    /// Those in DOCKER-USER, with their places in it, from 1.
    user: Vec<(usize, Rule)>,
}

/// Whether FILTERS is the old layout's: it asks the set `ip_allow`.
pub(crate) fn is_old_filters(table: &Table) -> bool {
    asks_the_set(table, INPUT)
}

fn asks_the_set(table: &Table, chain: &str) -> bool {
    table
        .rules(chain)
        .iter()
        .any(|rule| OldRule::read(&rule.words).is_some_and(|old| old.gate() == Some(SET)))
}

impl Layout {
    /// The layout, if anything of it is there.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let mut layout = Self::default();
        if is_old_filters(table) {
            layout.filters = table.rules(INPUT).to_vec();
            layout.jumps = jumps_into(table, |name| name == INPUT);
        }
        if asks_the_set(table, DOCKER_USER) {
            let rules =
                table.rules(DOCKER_USER).iter().enumerate().map(|(index, rule)| (index + 1, rule.clone()));
            layout.user = rules.filter(|(_, rule)| is_old_user_rule(rule)).collect();
        }
        (layout != Self::default()).then_some(layout)
    }

    /// What there is, for people.
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

    /// The lines of a restore that take it out. By specification, since a number may mean another rule by now.
    pub(super) fn removal(&self) -> Vec<String> {
        let delete = |chain: &str, rule: &Rule| format!("-D {chain} {}", text::line(&rule.words));
        let mut lines = vec!["*filter".to_owned()];
        lines.extend(self.jumps.iter().map(|(chain, rule)| delete(chain, rule)));
        if !self.filters.is_empty() {
            lines.extend([format!("-F {INPUT}"), format!("-X {INPUT}")]);
        }
        lines.extend(self.user.iter().map(|(_, rule)| delete(DOCKER_USER, rule)));
        lines.push("COMMIT".into());
        lines
    }

    /// The lines of a restore that bring it back to where it was.
    pub(super) fn put_back(&self, table: &Table) -> String {
        let mut lines = vec!["*filter".to_owned()];
        if !self.filters.is_empty() {
            lines.push(format!(":{INPUT} - [0:0]"));
            lines.extend(self.filters.iter().map(|rule| rule_line(INPUT, &rule.words)));
        }
        for (chain, rule) in &self.jumps {
            let place =
                table.rules(chain).iter().position(|other| other == rule).map_or(1, |index| index + 1);
            lines.push(insertion(chain, place, &rule.words));
        }
        let user = self.user.iter().map(|(place, rule)| insertion(DOCKER_USER, *place, &rule.words));
        lines.extend(user);
        lines.push("COMMIT\n".into());
        lines.join("\n")
    }
}

/// The last line, which lets the rest go on, stays: Docker before 28.2 made one like it.
fn is_old_user_rule(rule: &Rule) -> bool {
    OldRule::read(&rule.words).is_some_and(|old| old != OldRule::Return)
}

fn insertion(chain: &str, place: usize, words: &[String]) -> String {
    format!("-I {chain} {place} {}", text::line(words))
}

/// The lines that bring back what `saved` holds, on a host whose table now is this one. A jump of this engine's keeps its
/// place before the rules that come back: until it goes, both decide.
pub(super) fn restoration(saved: &str, table: &Table) -> Vec<String> {
    let mut lengths = BTreeMap::new();
    saved.lines().filter_map(|line| adapted(line, table, &mut lengths)).collect()
}

/// One line, with its place fitted to what is there; nothing for what is there already.
fn adapted(line: &str, table: &Table, lengths: &mut BTreeMap<String, usize>) -> Option<String> {
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
    let length = lengths.entry(chain.into()).or_insert(live.len());
    let place = (place + own).min(*length + 1);
    *length += 1;
    Some(insertion(chain, place, rule))
}

/// Chain, place and rule of `-I CHAIN PLACE RULE`.
fn insertion_of(parts: &[String]) -> Option<(&str, usize, &[String])> {
    match parts {
        [insert, chain, place, rule @ ..] if insert == "-I" => Some((chain, place.parse().ok()?, rule)),
        _ => None,
    }
}

fn leads_to_own(rule: &Rule) -> bool {
    matches!(rule.words.as_slice(), [jump, to] if jump == "-j" && to != INPUT && is_own_chain(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::Tables;
    use crate::wanted::TableName;

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
        let expected = ["INPUT 2", "DOCKER-USER 2", "DOCKER-USER 3", "DOCKER-USER 4"];
        assert_eq!(places(restoration(&saved, &table(&shorter))), expected);
        assert_eq!(places(restoration(&saved, &old)), [""; 0], "it is there already");
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
}
