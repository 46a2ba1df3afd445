//! What `iptables-save -c` and `ipset save` print, read into data. Whatever they print, reading never panics; lines
//! without a meaning here are skipped.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use crate::names;
use crate::words::words;

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    /// The table that decides about packets: after connection tracking, before translation and the table filter.
    Mangle,
    /// The table in which Docker filters, and in which people look first for rules.
    Filter,
    /// The table in which dockfw once had rules.
    Raw,
}

impl TableName {
    /// All of them, in the order in which they are restored: the new deciding rules are there before the old ones are
    /// removed.
    pub const ALL: [Self; 3] = [Self::Mangle, Self::Filter, Self::Raw];

    /// Returns the table's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Filter => "filter",
            Self::Raw => "raw",
        }
    }
}

/// The tables of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    tables: BTreeMap<String, Table>,
    /// Tables with rules that iptables can't list.
    pub unreadable: Vec<String>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The table's name; empty for one that is not there.
    pub name: String,
    /// The chains, by name.
    pub chains: BTreeMap<String, Chain>,
}

/// One chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Packets that it matched.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The words after the chain's name, unquoted.
    pub words: Vec<String>,
}

impl Tables {
    /// Returns the table of this name; one that is not there is empty.
    pub fn table(&self, name: TableName) -> Table {
        self.tables.get(name.as_str()).cloned().unwrap_or_default()
    }

    /// Returns the tables that there are.
    pub fn all(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Returns whether any table has a chain of Docker's: not DOCKER-USER, which others create as well.
    pub(crate) fn have_docker(&self) -> bool {
        const DOCKERS: [&str; 3] = ["DOCKER", "DOCKER-FORWARD", "DOCKER-ISOLATION-STAGE-1"];
        self.tables.values().any(|table| DOCKERS.iter().any(|name| table.chains.contains_key(*name)))
    }

    /// Reads what `iptables-save` printed.
    pub fn parse(text: &str) -> Self {
        let mut tables = Self::default();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                current = name.trim().into();
                let table = Table { name: current.clone(), ..Table::default() };
                tables.tables.entry(current.clone()).or_insert(table);
            } else if line.starts_with('#') {
                tables.unreadable.extend(incompatible(line));
            } else if let Some(table) = tables.tables.get_mut(&current) {
                table.read(line);
            }
        }
        tables
    }
}

/// Returns the table of ``# Table `filter' is incompatible, use 'nft' tool.``
fn incompatible(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Table `").filter(|_| line.contains("is incompatible"))?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

impl Table {
    fn read(&mut self, line: &str) {
        if let Some(chain) = line.strip_prefix(':') {
            let name = chain.split(' ').next().unwrap_or_default();
            self.chains.entry(name.into()).or_default();
            return;
        }
        let (packets, bytes, line) = counters(line);
        let mut words = words(line);
        if words.len() < 2 || words.first().is_none_or(|word| word != "-A") {
            return;
        }
        let rest = words.split_off(2);
        if let Some(name) = words.pop() {
            self.chains.entry(name).or_default().rules.push(Rule { packets, bytes, words: rest });
        }
    }

    /// Returns the rules of a chain; one that is not there has none.
    pub fn rules(&self, chain: &str) -> &[Rule] {
        self.chains.get(chain).map_or(&[], |chain| &chain.rules)
    }
}

/// Returns the counters before a rule, `[packets:bytes]`, and the rule.
fn counters(line: &str) -> (u64, u64, &str) {
    let split = || {
        let (counters, rule) = line.strip_prefix('[')?.split_once("] ")?;
        let (packets, bytes) = counters.split_once(':')?;
        Some((packets.parse().ok()?, bytes.parse().ok()?, rule))
    };
    split().unwrap_or((0, 0, line))
}

/// Returns the engine's own sets among those that `ipset save` printed, with their elements sorted. A set of another
/// type than the engine's can't have the right elements: nothing.
pub fn own_sets(text: &str) -> BTreeMap<String, Option<Vec<IpNetwork>>> {
    let mut found: BTreeMap<String, Option<Vec<IpNetwork>>> = BTreeMap::new();
    let mut current: Option<(&str, Vec<IpNetwork>)> = None;
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("create"), Some(name), kind) => {
                finish(&mut found, current.take());
                if names::is_own_set(name) {
                    found.insert(name.into(), None);
                    current = (kind == Some("hash:net")).then(|| (name, Vec::new()));
                }
            }
            (Some("add"), Some(name), Some(element)) => {
                let set = current.as_mut().filter(|(current, _)| *current == name);
                if let Some((_, networks)) = set {
                    match element.parse().ok().filter(|_| words.next().is_none()) {
                        Some(network) => networks.push(network),
                        // An exception (`nomatch`), a timeout, or something unreadable.
                        None => current = None,
                    }
                }
            }
            _ => {}
        }
    }
    finish(&mut found, current);
    found
}

fn finish(found: &mut BTreeMap<String, Option<Vec<IpNetwork>>>, set: Option<(&str, Vec<IpNetwork>)>) {
    if let Some((name, mut networks)) = set {
        networks.sort_unstable();
        found.insert(name.into(), Some(networks));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAVED: &str = "# Generated by iptables-nft-save\n*filter\n:INPUT ACCEPT [0:0]\n:FILTERS - [0:0]\n\
        [12:3456] -A INPUT -j FILTERS\n[0:0] -A FILTERS -m comment --comment \"allow \\'web\\'\" -j RETURN\n\
        -A FILTERS -j DROP\nCOMMIT\n# Completed\n*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n\
        # Table `nat' is incompatible, use 'nft' tool.\n";

    #[test]
    fn tables_chains_rules_and_counters_are_read() {
        let tables = Tables::parse(SAVED);
        let filter = tables.table(TableName::Filter);
        assert_eq!(filter.rules("INPUT"), [Rule { packets: 12, bytes: 3456, words: words("-j FILTERS") }]);
        assert_eq!(filter.rules("FILTERS")[0].words[3], "allow 'web'");
        assert_eq!(filter.rules("FILTERS").len(), 2);
        assert_eq!(tables.unreadable, ["nat"]);
        assert!(!tables.have_docker());
    }

    #[test]
    fn only_own_sets_are_read() {
        let text = "create f2b hash:ip family inet\nadd f2b 192.0.2.1\n\
            create dockfw4-trusted-0123456789 hash:net family inet hashsize 64 maxelem 65536\n\
            add dockfw4-trusted-0123456789 192.0.2.1\nadd dockfw4-trusted-0123456789 10.0.0.0/8\n\
            create dockfw6-trusted-0123456789 hash:net family inet6\nadd dockfw6-trusted-0123456789 ::1 nomatch\n\
            create dockfw-new4-0123456789 hash:ip family inet\n";
        let sets = own_sets(text);
        assert_eq!(sets.len(), 3);
        let networks = ["10.0.0.0/8", "192.0.2.1/32"].map(|network| network.parse().unwrap());
        assert_eq!(sets["dockfw4-trusted-0123456789"], Some(networks.to_vec()));
        assert_eq!(sets["dockfw6-trusted-0123456789"], None);
        assert_eq!(sets["dockfw-new4-0123456789"], None);
    }

    proptest! {
        #[test]
        fn nothing_makes_reading_panic(text in "(\\*filter\n|:A - \\[0:0\\]\n|\\[|-A |A |\"|\\\\|create |add |\\PC|\n){0,60}") {
            Tables::parse(&text);
            own_sets(&text);
        }
    }
}
