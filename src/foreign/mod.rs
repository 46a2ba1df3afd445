//! The live rules of others, Docker's among them, and what they do to a packet: where they lead it, and whether they
//! drop it. This is only reported: it never decides what is in force.
//!
//! Pure: [`filters::live`](crate::filters::live) reads the rules. Rules of iptables are read as it writes them, those
//! of nftables as the kernel has them. A condition that can't be answered here (a rate, a set of ipset, a mark) is
//! unknown, and so is what depends on it.

mod answer;
mod chain;
mod doors;
mod hook;
mod iptables;
pub(crate) mod listing;
pub(crate) mod nft;
mod stance;
mod table;
mod translation;
mod verdict;
mod view;
mod walk;

pub(crate) use answer::Answer;
pub(crate) use hook::{Hook, Hooked};
pub(crate) use stance::Closing;
pub(crate) use table::{Chain, Place, Rule, Table, Tables};
pub(crate) use verdict::{Step, Verdict};
pub(crate) use view::{Host, Packet, Tracking, View};
pub(crate) use walk::{Arrival, Objection, Way};

#[cfg(test)]
mod tests;
