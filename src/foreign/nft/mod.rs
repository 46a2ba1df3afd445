//! Rules as nf_tables has them: expressions that load parts of a packet into registers, and compare those.
//!
//! Numbers are the kernel's (linux/netfilter/nf_tables.h).

mod decode;
mod fib;
mod lookups;
mod machine;
mod packet;
mod registers;
mod set;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use dockfw_policy::address::Family;

use super::{Step, View};
pub(super) use decode::address;
use decode::{Expression, Translated};
pub(crate) use decode::{elements, rule};
pub(super) use lookups::{Field, Lookup};
pub(crate) use set::{Element, Set};

/// The elements of a table's sets, by the sets' names. A set that could not be read is missing.
pub(crate) type Sets = BTreeMap<String, Set>;

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    expressions: Vec<Expression>,
    /// The rule in nft's words.
    text: String,
}

impl Rule {
    /// Returns what it does with a packet.
    pub(super) fn step(&self, sets: &Sets, view: &View<'_>) -> Step {
        machine::run(&self.expressions, sets, view)
    }

    /// Returns whether it gives packets a mark.
    pub(super) fn marks(&self) -> bool {
        self.expressions.contains(&Expression::Mark)
    }

    /// Returns whether it gives connections a helper of connection tracking.
    pub(super) fn helps(&self) -> bool {
        self.expressions.contains(&Expression::Helper)
    }

    /// Returns whether it excludes packets from connection tracking.
    pub(super) fn untracks(&self) -> bool {
        self.expressions.contains(&Expression::Untrack)
    }

    /// Returns the sets that it asks.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &str> {
        self.expressions.iter().filter_map(Expression::set)
    }

    /// Returns which parts of a packet it looks up in sets.
    pub(super) fn lookups(&self) -> Vec<Lookup<'_>> {
        lookups::lookups(&self.expressions)
    }

    /// Returns whether it leads packets elsewhere.
    pub(super) fn translates(&self) -> bool {
        let leads =
            |one: &Expression| matches!(one, Expression::Translate(Translated { is_source: false, .. }));
        self.expressions.iter().any(leads)
    }

    /// Returns numbers of a port's size that it compares with.
    pub(super) fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        self.expressions.iter().filter_map(Expression::ports)
    }

    /// Returns the addresses of a family that it compares with.
    pub(super) fn addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.expressions.iter().filter_map(move |one| one.address(family))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
