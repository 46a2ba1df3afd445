//! Holds the fate of each packet against the policies that may have decided it. Pure.

use std::time::{Duration, Instant};

use dockfw_policy::walk::{Decision, Verdict};

use crate::epochs::{Epoch, Finding, Mask, only};
use crate::ledger::Sent;
use crate::streams::Stream;
use crate::verdicts::{Policies, Verdicts};

/// Wrong verdicts closer together than this are one burst.
const APART: Duration = Duration::from_millis(20);
/// How many wrong verdicts are told about.
const TOLD: usize = 5;

/// What came of all packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) arrived: u64,
    pub(crate) dropped: u64,
    /// Decided by no policy that may have been in force.
    pub(crate) neither: u64,
    /// After a kill, by another policy than other packets.
    pub(crate) mixtures: u64,
    /// The longest burst of wrong verdicts: how many in how long.
    pub(crate) burst: (u64, Duration),
    /// The first wrong ones, in words.
    pub(crate) told: Vec<String>,
    current: Option<Burst>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    count: u64,
    first: Instant,
    last: Instant,
}

/// Who judges.
pub(crate) struct Judge<'a> {
    policies: &'a Policies,
    streams: &'a [Stream],
    verdicts: Verdicts,
    epochs: Vec<Epoch>,
    pub(crate) tally: Tally,
}

impl<'a> Judge<'a> {
    /// Before anything is in force.
    pub(crate) fn new(policies: &'a Policies, streams: &'a [Stream], first: Epoch) -> Self {
        let (verdicts, tally) = (Verdicts::default(), Tally::default());
        Self { policies, streams, verdicts, epochs: vec![first], tally }
    }

    /// Opens an epoch, and gives its number.
    pub(crate) fn open(&mut self, epoch: Epoch) -> u32 {
        self.epochs.push(epoch);
        self.epochs.len() as u32 - 1
    }

    /// What may be in force, as far as was seen.
    pub(crate) fn left(&self) -> [Mask; 2] {
        self.epochs.last().map(Epoch::left).unwrap_or_default()
    }

    /// Judges a packet of a stream.
    pub(crate) fn hold(&mut self, number: usize, sent: &Sent, arrived: bool) {
        let stream = &self.streams[number];
        let epoch = &mut self.epochs[sent.epoch as usize];
        let candidates = epoch.candidates[stream.family as usize];
        let passing =
            self.verdicts.passing(self.policies, candidates, (number, stream), sent.source, sent.to);
        let agreeing = if arrived { passing } else { candidates & !passing };
        *if arrived { &mut self.tally.arrived } else { &mut self.tally.dropped } += 1;
        match epoch.hold(stream.family as usize, agreeing) {
            Finding::Fine => return,
            Finding::Neither => self.tally.neither += 1,
            Finding::Mixture => self.tally.mixtures += 1,
        }
        self.tally.lengthen_burst(sent.at);
        if self.tally.told.len() < TOLD {
            let told = self.told(stream, sent, arrived);
            self.tally.told.push(told);
        }
    }

    /// A wrong verdict in words.
    fn told(&self, stream: &Stream, sent: &Sent, arrived: bool) -> String {
        let epoch = &self.epochs[sent.epoch as usize];
        let candidates = epoch.candidates[stream.family as usize];
        let fate = if arrived { "got through" } else { "was dropped" };
        let when = if epoch.is_changing() { "while an apply ran" } else { "while none ran" };
        let of_others = epoch.decided(stream.family as usize).map(|mask| self.policies.named(mask));
        let of_others = of_others.map(|names| format!(", and {names} decided others")).unwrap_or_default();
        let mut lines = vec![format!(
            "{stream}, from {} ({}) port {} to port {}: {fate} {when}; {} may have been in force{of_others}",
            sent.source.address,
            self.standing(sent),
            sent.from,
            sent.to,
            self.policies.named(candidates),
        )];
        let policies = (0..self.policies.rulesets.len()).filter(|policy| candidates & only(*policy) != 0);
        lines.extend(policies.map(|policy| self.as_decided_by(policy, stream, sent)));
        lines.join("\n")
    }

    /// How a policy decides about a packet.
    fn as_decided_by(&self, policy: usize, stream: &Stream, sent: &Sent) -> String {
        let decisions = self.policies.explained(policy, stream, sent.source, [sent.from, sent.to]);
        let decisions: Vec<_> = decisions.iter().map(decided).collect();
        format!("  \"{}\": {}", self.policies.names[policy], decisions.join(", "))
    }

    /// What the policies think of a source.
    fn standing(&self, sent: &Sent) -> String {
        let having = |list: &str| {
            let has = |policy: &usize| {
                let lists = &self.policies.rulesets[*policy].addresses;
                lists
                    .iter()
                    .any(|one| one.name.as_str() == list && one.addresses.contains(sent.source.address))
            };
            match (0..self.policies.rulesets.len()).filter(has).count() {
                0 => format!("never {list}"),
                all if all == self.policies.rulesets.len() => format!("always {list}"),
                some => format!("{list} under {some} policies"),
            }
        };
        format!("{}, {}", having("trusted"), having("blocked"))
    }
}

impl Tally {
    /// How many packets were judged.
    pub(crate) fn packets(&self) -> u64 {
        self.arrived + self.dropped
    }

    /// How many verdicts were wrong.
    pub(crate) fn wrong(&self) -> u64 {
        self.neither + self.mixtures
    }

    fn lengthen_burst(&mut self, at: Instant) {
        let burst = match self.current {
            Some(burst) if at.saturating_duration_since(burst.last) < APART => {
                Burst { count: burst.count + 1, last: burst.last.max(at), ..burst }
            }
            _ => Burst { count: 1, first: at, last: at },
        };
        self.current = Some(burst);
        let length = burst.last.saturating_duration_since(burst.first);
        self.burst = self.burst.max((burst.count, length));
    }
}

/// A decision in a line.
fn decided(decision: &Decision<'_>) -> String {
    let verdict = if decision.verdict == Verdict::Pass { "passes" } else { "drops" };
    let by = decision.by.map(|by| format!(" by rule {}, {}", by.index, by.rule.origin.what));
    format!("{:?} {verdict}{}", decision.hook, by.unwrap_or_default()).to_lowercase()
}

trials![the_policy_in_force_decides, a_mixture_is_found, bursts_are_measured];

/// "closed to all" and "open, hosts blocked".
const PAIR: [Mask; 2] = [1, 2];

/// A judge over an epoch, what came of packets that are told as source, port and fate.
fn judged(epoch: Epoch, packets: &[(&str, u16, bool)]) -> Tally {
    let (policies, streams) = (Policies::example(), [Stream::example()]);
    let mut judge = Judge::new(&policies, &streams, epoch);
    for (source, to, arrived) in packets {
        let source = policies.source(source.parse().unwrap());
        judge.hold(0, &Sent { source, from: 40_000, to: *to, epoch: 0, at: Instant::now() }, *arrived);
    }
    judge.tally
}

fn the_policy_in_force_decides() {
    let [closed, open] = PAIR;
    let packets = [("198.51.100.7", 7000, true), ("10.112.0.5", 7000, true), ("10.242.0.5", 7000, false)];
    let wrong = |epoch| judged(epoch, &packets).neither;
    assert_eq!(wrong(Epoch::settled([open; 2], true)), 0);
    assert_eq!(wrong(Epoch::settled([closed; 2], true)), 1);
    assert_eq!(wrong(Epoch::changing([closed | open; 2])), 0);
    // The one that neither lets in.
    let tally = judged(Epoch::changing([closed | open; 2]), &[("10.242.0.5", 7000, true)]);
    assert_eq!((tally.neither, tally.mixtures, tally.arrived), (1, 0, 1));
    assert!(tally.told[0].contains("\"open, hosts blocked\": prerouting drops"), "{}", tally.told[0]);
}

fn a_mixture_is_found() {
    let [closed, open] = PAIR;
    let packets = [("198.51.100.7", 7000, true), ("198.51.100.7", 7001, false)];
    let tally = judged(Epoch::settled([closed | open; 2], true), &packets);
    assert_eq!((tally.neither, tally.mixtures), (0, 1));
}

fn bursts_are_measured() {
    let mut tally = Tally::default();
    let start = Instant::now();
    for milliseconds in [0, 5, 30, 40, 45, 100] {
        tally.lengthen_burst(start + Duration::from_millis(milliseconds));
    }
    assert_eq!(tally.burst, (3, Duration::from_millis(15)));
}
