//! Where rules lead, and which rules of others lead to the engine's chains. Pure code.

use crate::clauses::{clauses, option};
use crate::names::is_own_chain;
use crate::saved::{Rule, Table};
use crate::words;

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `-j`: to a chain, which it may return from, or to a target.
    Jump(&'a str),
    /// `-g`: to a chain, from which it does not return here.
    Goto(&'a str),
}

/// Returns where a rule leads; nothing if it has no target.
pub fn target(rule: &Rule) -> Option<Target<'_>> {
    let clauses = clauses(&rule.words);
    let found = clauses.iter().find(|clause| matches!(option(clause), "-j" | "-g"))?;
    let name = found.get(1)?;
    // The name is borrowed from the rule, not from its copy.
    let name = rule.words.iter().find(|word| *word == name)?;
    Some(if option(found) == "-g" { Target::Goto(name) } else { Target::Jump(name) })
}

/// Returns the rules outside of the engine's chains that lead into some of them, as lines that delete these rules.
pub fn foreign_ways_in(table: &Table, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let into = jumps_into(table, is_meant);
    into.iter().map(|(chain, rule)| format!("-D {chain} {}", words::line(&rule.words))).collect()
}

/// Returns the rules outside of the engine's chains that lead into some chains, with the chains that they are in.
pub(crate) fn jumps_into(table: &Table, is_meant: impl Fn(&str) -> bool) -> Vec<(String, Rule)> {
    let foreign = table.chains.iter().filter(|(name, _)| !is_own_chain(name));
    let rules = foreign.flat_map(|(name, chain)| chain.rules.iter().map(move |rule| (name, rule)));
    let into = rules.filter(|(_, rule)| match target(rule) {
        Some(Target::Jump(name) | Target::Goto(name)) => is_meant(name),
        None => false,
    });
    into.map(|(chain, rule)| (chain.clone(), rule.clone())).collect()
}

/// Returns the lines that delete every rule of these words from a chain. They delete by specification, because a number
/// may mean another rule by now. Not for words with ports: old versions ignore those.
pub fn deletions(table: &Table, chain: &str, words: &[String]) -> Vec<String> {
    let count = table.rules(chain).iter().filter(|rule| rule.words == words).count();
    vec![format!("-D {chain} {}", words::line(words)); count]
}
