//! Rules that pass, by ports, as a tree of chains. Pure code.
//!
//! iptables asks one rule after the other. Instead of all of a long list, a packet meets only those of its port: each
//! chain is for a block of ports and leads on to chains for parts of it. Blocks begin at multiples of their size, so
//! that a rule more or less changes the chains of its own ports alone.

use dockfw_policy::ruleset::{self, Action, Match, PortField};
use dockfw_policy::service::{PortRange, Transport};

use super::{Inexpressible, Lowering, connection};
use crate::wanted::{Chain, Rule};

/// How many rules of iptables stay a list.
const LIST: usize = 16;
/// How many rules of iptables get no chain of their own in a tree.
const FEW: usize = 2;
/// How many rules of iptables a chain at an end of a tree has at most, unless they are for the same port.
const LEAF: usize = 8;
/// A block has four parts: then packets meet few chains, and few rules that lead on in each.
const BITS: u32 = 2;

/// What the ports of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ports {
    field: PortField,
    transport: Transport,
}

impl Ports {
    /// Returns what the ports of a rule are, if it passes by them.
    pub(super) fn of(rule: &ruleset::Rule) -> Option<Self> {
        if rule.action != Action::Pass {
            return None;
        }
        let mut ports = rule.matches.iter().filter_map(|condition| match condition {
            Match::Ports { transport, port, .. } => Some(Self { field: *port, transport: *transport }),
            _ => None,
        });
        ports.next().filter(|one| ports.next().is_none() && one.field != PortField::Source)
    }
}

/// The rules of iptables for one range of ports.
struct Entry {
    range: PortRange,
    rules: Vec<Rule>,
}
