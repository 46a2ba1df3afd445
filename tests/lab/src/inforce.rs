//! What is in force, whatever it is called: rules as a tree from the hooks down, with chains and sets replaced by what is in them.
//!
//! Two rulesets with the same tree do the same to packets, if their chains and sets have other names, or others lie beside them that
//! no rule leads to. Pure: texts of `iptables-save`, `ipset save` and `nft --json list` in, a tree out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

/// Sets and counters by name: what each of them is.
pub type Parts = BTreeMap<String, String>;

/// The rules of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    chains: BTreeMap<String, Chain>,
    parts: Parts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    /// The hook that packets come from, if any do.
    hook: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    text: String,
    chains: Vec<String>,
    parts: Vec<String>,
}

/// The tree of a table, and what is beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The tree as text.
    pub text: String,
    /// Sets and counters that rules name.
    pub used: BTreeSet<String>,
    /// Chains and parts of the table's own that no rule leads to.
    pub unused: BTreeSet<String>,
}

impl Rules {
    /// The tree of these rules.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut reached = BTreeSet::new();
        for (name, chain) in &self.chains {
            if let Some(hook) = &chain.hook {
                tree.text += &format!("{hook}\n");
                self.climb(name, 1, &mut tree, &mut reached);
            }
        }
        let chains = self.chains.keys().filter(|name| !reached.contains(*name));
        let parts = self.parts.keys().filter(|name| !tree.used.contains(*name));
        tree.unused = chains.chain(parts).cloned().collect();
        tree
    }

    fn climb(&self, name: &str, depth: usize, tree: &mut Tree, reached: &mut BTreeSet<String>) {
        reached.insert(name.to_owned());
        for rule in self.chains.get(name).into_iter().flat_map(|chain| &chain.rules) {
            tree.text += &format!("{}{}\n", "    ".repeat(depth), rule.text);
            tree.used.extend(rule.parts.iter().cloned());
            for chain in &rule.chains {
                self.climb(chain, depth + 1, tree, reached);
            }
        }
    }
}

/// The sets in what `ipset save` prints: `create NAME TYPE family FAMILY ...`, `add NAME ELEMENT`.
#[must_use]
pub fn ipsets(saved: &str) -> Parts {
    let mut sets: BTreeMap<&str, (String, BTreeSet<&str>)> = BTreeMap::new();
    for line in saved.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["create", name, kind, rest @ ..] => {
                let family = rest.windows(2).find(|pair| pair.first() == Some(&"family"));
                let family = family.and_then(|pair| pair.last()).unwrap_or(&"");
                sets.entry(name).or_default().0 = format!("{kind} {family}");
            }
            ["add", name, element @ ..] => {
                sets.entry(name).or_default().1.extend(element);
            }
            _ => {}
        }
    }
    let written = |(kind, elements): (String, BTreeSet<&str>)| {
        format!("{kind} {{{}}}", elements.into_iter().collect::<Vec<_>>().join(","))
    };
    sets.into_iter().map(|(name, set)| (name.to_owned(), written(set))).collect()
}

/// The tables in what `iptables-save` prints, without those that do nothing.
#[must_use]
pub fn xtables(saved: &str, sets: &Parts) -> BTreeMap<String, Rules> {
    let mut tables: BTreeMap<String, Rules> = BTreeMap::new();
    let mut name = "";
    for line in saved.lines() {
        let table = tables.entry(name.to_owned()).or_default();
        match (line.split_at_checked(1), line.split(' ').collect::<Vec<_>>().as_slice()) {
            (Some(("*", table)), _) => name = table,
            (Some((":", _)), [chain, policy, ..]) => declare(table, chain.trim_start_matches(':'), policy),
            (_, ["-A", chain, words @ ..]) => add(table, chain, words, sets),
            _ => {}
        }
    }
    tables.values_mut().for_each(|table| table.chains.retain(|_, chain| !does_nothing(chain)));
    tables.retain(|_, table| !table.chains.is_empty());
    tables
}

const IDLE: &str = " (policy ACCEPT)";

fn declare(table: &mut Rules, name: &str, policy: &str) {
    let hook = (policy != "-").then(|| format!("{name} (policy {policy})"));
    table.chains.entry(name.to_owned()).or_default().hook = hook;
}

fn does_nothing(chain: &Chain) -> bool {
    chain.rules.is_empty() && chain.hook.as_ref().is_some_and(|hook| hook.ends_with(IDLE))
}

fn add(table: &mut Rules, chain: &str, words: &[&str], sets: &Parts) {
    let mut rule = Rule::default();
    let mut before = "";
    let mut written = Vec::new();
    for word in words {
        match (before, sets.get(*word)) {
            ("--match-set", Some(content)) => {
                rule.parts.push((*word).to_owned());
                written.push(content.as_str());
            }
            ("-j" | "-g", _) if table.chains.contains_key(*word) => {
                rule.chains.push((*word).to_owned());
                written.push("to");
            }
            _ => written.push(word),
        }
        before = word;
    }
    rule.text = written.join(" ");
    table.chains.entry(chain.to_owned()).or_default().rules.push(rule);
}

/// The tables in what `nft --json list ruleset` prints, by family and name.
pub fn nftables(listed: &str) -> Result<BTreeMap<String, Rules>> {
    let listed: Value = serde_json::from_str(listed).context("nft does not write JSON")?;
    let objects = listed.get("nftables").and_then(Value::as_array).context("nft lists nothing")?;
    let objects = || objects.iter().filter_map(Value::as_object).flatten();
    let mut tables: BTreeMap<String, Rules> = BTreeMap::new();
    // Rules name sets, and may be listed before them.
    for (kind, object) in objects().filter(|(kind, _)| *kind != "rule") {
        tables.entry(table_of(object)).or_default().declare(kind, object);
    }
    for (_, object) in objects().filter(|(kind, _)| *kind == "rule") {
        let table = tables.entry(table_of(object)).or_default();
        let rule = rule(object, &table.parts);
        table.chains.entry(text(object, "chain").into()).or_default().rules.push(rule);
    }
    tables.retain(|_, table| *table != Rules::default());
    Ok(tables)
}

impl Rules {
    fn declare(&mut self, kind: &str, object: &Value) {
        let name = text(object, "name").to_owned();
        match kind {
            "chain" => self.chains.entry(name).or_default().hook = hook(object),
            "set" | "map" => drop(self.parts.insert(name, content(object))),
            "counter" => drop(self.parts.insert(name, kind.into())),
            _ => {}
        }
    }
}

fn table_of(object: &Value) -> String {
    format!("{} {}", text(object, "family"), text(object, "table"))
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn hook(chain: &Value) -> Option<String> {
    let part = |key: &str| chain[key].to_string();
    chain.get("hook").map(|_| ["type", "hook", "prio", "policy"].map(part).join(" "))
}

fn content(set: &Value) -> String {
    let mut elements: Vec<_> =
        set["elem"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    elements.sort();
    format!("{} {} {{{}}}", set["type"], set["flags"], elements.join(","))
}

fn rule(object: &Value, parts: &Parts) -> Rule {
    let mut rule = Rule::default();
    let mut expressions = object["expr"].clone();
    resolve(&mut expressions, parts, &mut rule);
    rule.text = format!("{expressions} {}", object["comment"]);
    rule
}

/// Replaces what has a name by what it is, and forgets what was counted.
fn resolve(value: &mut Value, parts: &Parts, rule: &mut Rule) {
    match value {
        Value::String(word) => {
            let name = word.strip_prefix('@').unwrap_or_default();
            if let Some(content) = parts.get(name) {
                rule.parts.push(name.to_owned());
                *word = content.clone();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| resolve(value, parts, rule)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(key, value)| resolve_field(key, value, parts, rule));
        }
        _ => {}
    }
}

fn resolve_field(key: &str, value: &mut Value, parts: &Parts, rule: &mut Rule) {
    match (key, &*value) {
        ("jump" | "goto", chain) => rule.chains.push(text(chain, "target").to_owned()),
        ("counter", Value::String(name)) => rule.parts.push(name.clone()),
        ("counter", _) => {}
        _ => return resolve(value, parts, rule),
    }
    *value = Value::Null;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn saved(chain: &str, set: &str) -> String {
        format!(
            "# Generated by iptables-save\n*mangle\n:PREROUTING ACCEPT [3:120]\nCOMMIT\n*filter\n:INPUT ACCEPT [7:420]\n\
             :FORWARD DROP [0:0]\n:{chain} - [0:0]\n:LEFT - [0:0]\n-A INPUT -j {chain}\n-A {chain} -p tcp -m comment \
             --comment \"a: b\" -j RETURN\n-A {chain} -m set --match-set {set} src -j DROP\nCOMMIT\n"
        )
    }

    #[test]
    fn names_of_chains_and_sets_do_not_matter() {
        let sets = |name: &str| {
            ipsets(&format!(
                "create {name} hash:net family inet hashsize 64 maxelem 9\nadd {name} 192.0.2.2\nadd {name} 192.0.2.1\n"
            ))
        };
        let tree = |chain, set| {
            let tables = xtables(&saved(chain, set), &sets(set));
            assert_eq!(tables.keys().collect::<Vec<_>>(), ["filter"], "the other does nothing");
            tables["filter"].tree()
        };
        let (one, other) = (tree("ONE", "one"), tree("OTHER", "other"));
        assert_eq!(one.text, other.text);
        assert_eq!(
            one.text,
            "FORWARD (policy DROP)\nINPUT (policy ACCEPT)\n    -j to\n        -p tcp -m comment --comment \"a: b\" -j RETURN\n        \
             -m set --match-set hash:net inet {192.0.2.1,192.0.2.2} src -j DROP\n"
        );
        assert_eq!(one.used, ["one".into()].into());
        assert_eq!(one.unused, ["LEFT".into()].into());
    }

    #[test]
    fn what_is_in_a_set_matters() {
        let text = |elements: &str| {
            let sets = ipsets(&format!("create one hash:net family inet\n{elements}"));
            xtables(&saved("ONE", "one"), &sets)["filter"].tree().text
        };
        assert_ne!(text("add one 192.0.2.1\n"), text(""));
        assert_ne!(text(""), xtables(&saved("ONE", "one"), &Parts::new())["filter"].tree().text);
    }

    fn listed(set: &str, element: &str, packets: u32) -> String {
        let rule = |chain: &str, expressions: Value| json!({"rule": {"family": "inet", "table": "t", "chain": chain, "expr": expressions}});
        json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "t"}},
            {"counter": {"family": "inet", "table": "t", "name": "dropped", "packets": packets}},
            {"set": {"family": "inet", "table": "t", "name": set, "type": "ipv4_addr", "elem": [element]}},
            {"set": {"family": "inet", "table": "t", "name": "left", "type": "ipv4_addr"}},
            {"chain": {"family": "inet", "table": "t", "name": "a", "type": "filter", "hook": "input", "prio": -10, "policy": "accept"}},
            {"chain": {"family": "inet", "table": "t", "name": "b"}},
            rule("a", json!([{"match": {"op": "==", "right": format!("@{set}")}}, {"counter": {"packets": packets}}, {"jump": {"target": "b"}}])),
            rule("b", json!([{"counter": "dropped"}, {"drop": null}])),
        ]})
        .to_string()
    }

    #[test]
    fn in_nftables_too() {
        let tree = |set, element, packets| {
            let tables = nftables(&listed(set, element, packets)).unwrap();
            assert_eq!(tables.keys().collect::<Vec<_>>(), ["inet t"]);
            tables["inet t"].tree()
        };
        let one = tree("one", "192.0.2.1", 1);
        assert_eq!(one.text, tree("other", "192.0.2.1", 2).text);
        assert_ne!(one.text, tree("one", "192.0.2.2", 1).text);
        assert_eq!(one.unused, ["left".into()].into());
        assert_eq!(one.text.lines().count(), 3, "{}", one.text);
        assert!(nftables("").is_err());
    }
}
