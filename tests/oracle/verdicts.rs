//! What the policies say of a packet, by the walk over each. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use dockfw_lab::{Dice, Engine};
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::walk::{Decision, Verdict, explain_path, verdict};

use crate::epochs::{Mask, WITHOUT, only};
use crate::policies;
use crate::streams::Stream;

/// A bit for each set of addresses that each policy asks for.
type Lists = u128;

/// Any port that no rule speaks of, where it is of no matter which one it is.
pub(crate) const ANY_PORT: u16 = 40_000;

/// All that a verdict of a policy may depend on: the policy, the stream's number, the port, and of the source nothing but which of the
/// policy's sets have it. (What rules ask beside that is about addresses that no packet here has: loopback's, and IPv6's of one link.)
pub(crate) type Key = (usize, usize, u16, Lists);

/// A source of packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) address: IpAddr,
    /// The lists that have it.
    pub(crate) lists: Lists,
}

/// The policies, compiled.
pub(crate) struct Policies {
    pub(crate) names: Vec<String>,
    pub(crate) rulesets: Vec<Ruleset>,
    /// The bits of each one's lists.
    lists: Vec<Lists>,
}

impl Policies {
    pub(crate) fn new(names: Vec<String>, rulesets: Vec<Ruleset>) -> Result<Self> {
        let lengths: Vec<_> = rulesets.iter().map(|ruleset| ruleset.source_sets().count()).collect();
        ensure!(lengths.iter().sum::<usize>() < 128 && lengths.len() < 31, "too many policies, or lists");
        let starts = lengths.iter().scan(0, |next, length| {
            *next += length;
            Some(*next - length)
        });
        let lists = starts.zip(&lengths).map(|(start, length)| ((1 << length) - 1) << start).collect();
        Ok(Self { names, rulesets, lists })
    }

    /// A source, and which lists have it.
    pub(crate) fn source(&self, address: IpAddr) -> Source {
        let all = self.rulesets.iter().flat_map(Ruleset::source_sets);
        let bits = all.enumerate().map(|(bit, list)| Lists::from(list.contains(address)) << bit);
        Source { address, lists: bits.fold(0, |lists, bit| lists | bit) }
    }

    /// What a policy's verdict about a packet may depend on.
    pub(crate) fn key(&self, policy: usize, stream: usize, source: Source, to: u16) -> Key {
        (policy, stream, to, source.lists & self.lists[policy])
    }

    /// Policies of no matter which seed, with short lists.
    pub(crate) fn example() -> Self {
        let written = policies::written(Path::new("/policies"), &mut Dice::new(7), 100);
        let rulesets = written.iter().map(|written| policies::compiled(written, Engine::Native));
        let names = written.iter().map(|written| written.name.to_owned()).collect();
        Self::new(names, rulesets.collect::<Result<_>>().unwrap()).unwrap()
    }

    /// What each hook under a policy decides about a packet.
    pub(crate) fn explained(
        &self,
        policy: usize,
        stream: &Stream,
        source: Source,
        [from, to]: [u16; 2],
    ) -> Vec<Decision<'_>> {
        explain_path(&self.rulesets[policy], &stream.packet(source.address, from, to))
    }

    /// The names of some of them.
    pub(crate) fn named(&self, mask: Mask) -> String {
        let without = (mask & WITHOUT != 0).then_some("without dockfw");
        let names = self.names.iter().enumerate().filter(|(policy, _)| mask & only(*policy) != 0);
        let names = names.map(|(_, name)| name.as_str()).chain(without);
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
    }
}

/// Which policies let what through, as far as was asked.
#[derive(Default)]
pub(crate) struct Verdicts {
    known: HashMap<Key, bool>,
}

impl Verdicts {
    /// Those of some policies that let such a packet through.
    pub(crate) fn passing(
        &mut self,
        policies: &Policies,
        candidates: Mask,
        (number, stream): (usize, &Stream),
        source: Source,
        to: u16,
    ) -> Mask {
        let all = policies.rulesets.iter().enumerate().filter(|(policy, _)| candidates & only(*policy) != 0);
        let passing = all.filter(|(policy, ruleset)| {
            *self.known.entry(policies.key(*policy, number, source, to)).or_insert_with(|| {
                verdict(ruleset, &stream.packet(source.address, ANY_PORT, to)) == Verdict::Pass
            })
        });
        passing.fold(candidates & WITHOUT, |mask, (policy, _)| mask | only(policy))
    }
}
