//! Chains of one hook, in the making.

use super::connection;
use crate::wanted::{Chain, Rule};

/// The chains of one hook, as rules are added. The first has a name, its continuations have that name with a number.
///
/// In a chain that is the target of a goto, RETURN returns to where the first one was called.
pub(super) struct Chains {
    name: String,
    /// How many continuations there are.
    count: usize,
    done: Vec<Chain>,
    open: Chain,
}

impl Chains {
    /// Returns a chain without rules.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.into(), count: 0, done: vec![], open: Chain { name: name.into(), rules: vec![] } }
    }

    /// Adds rules.
    pub(super) fn add(&mut self, rules: impl IntoIterator<Item = Rule>) {
        self.open.rules.extend(rules);
    }

    /// Adds whole chains that rules lead to.
    pub(super) fn add_whole(&mut self, chains: Vec<Chain>) {
        self.done.extend(chains);
    }

    /// Returns the name of the next continuation.
    pub(super) fn next(&self) -> String {
        format!("{}-{}", self.name, self.count + 2)
    }

    /// Goes on in the next continuation.
    pub(super) fn go_on(&mut self) {
        let next = self.next();
        self.add([connection(&["-g", &next])]);
        self.count += 1;
        self.done.push(std::mem::replace(&mut self.open, Chain { name: next, rules: vec![] }));
    }

    /// Returns all of them.
    pub(super) fn done(mut self) -> Vec<Chain> {
        self.done.push(self.open);
        self.done
    }
}
