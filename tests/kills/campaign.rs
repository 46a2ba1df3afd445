//! At which calls dockfw is killed, and what is said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use dockfw_lab::{Counted, Dies};

use crate::acts::{Kill, KillFixture};

/// How many kills at random there are for each act.
const SAMPLE: usize = 4;
/// Runs vary: after so many that came to their end before the number, there is no call of that number.
const BEYOND: usize = 5;
/// How often progress is said.
const PROGRESS: usize = 250;

/// How many calls are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Those next to the changes, and some at random.
    Some,
    /// All after which the world can be another one.
    Telling,
    /// All.
    Every,
}

impl Amount {
    pub(crate) const VARIABLE: &str = "DOCKFW_KILLS";

    pub(crate) fn wanted() -> Result<Self> {
        match env::var(Self::VARIABLE).as_deref() {
            Err(_) | Ok("") => Ok(Self::Some),
            Ok("telling") => Ok(Self::Telling),
            Ok("all") => Ok(Self::Every),
            Ok(other) => Err(anyhow!("{} is telling or all, not {other}", Self::VARIABLE)),
        }
    }
}

/// Kills of one act.
pub(crate) struct Campaign<'a> {
    name: &'a str,
    fixture: KillFixture<'a>,
    counted: Counted,
    kills: usize,
    /// Which parts were changed by the kill at a number.
    changed: BTreeMap<usize, BTreeSet<&'static str>>,
    /// What was wrong, and at which calls.
    wrong: BTreeMap<String, Vec<String>>,
}

impl<'a> Campaign<'a> {
    pub(crate) fn new(name: &'a str, fixture: KillFixture<'a>) -> Self {
        let (changed, wrong) = (BTreeMap::new(), BTreeMap::new());
        Self { name, fixture, counted: Counted::Telling, kills: 0, changed, wrong }
    }

    pub(crate) fn run(mut self, amount: Amount, seed: u64) -> Result<()> {
        let start = Instant::now();
        let done = match amount {
            Amount::Some => self.some(seed),
            Amount::Telling => self.all(Counted::Telling),
            Amount::Every => self.all(Counted::Every),
        };
        let calls = done.map_err(|error| anyhow!("{}{error:#}", self.report()))?;
        let (seconds, wrong) = (start.elapsed().as_secs(), self.count_wrong());
        eprintln!("{}: {} kills at {calls} calls, {seconds} s, {wrong} wrong", self.name, self.kills);
        ensure!(wrong == 0, "{}", self.report());
        Ok(())
    }

    /// Each number, until there is none any more.
    fn all(&mut self, counted: Counted) -> Result<usize> {
        self.counted = counted;
        let calls = self.fixture.count(counted)?;
        let (mut at, mut ended) = (0, 0);
        while ended < BEYOND {
            at += 1;
            ended = if self.kill(at)? { 0 } else { ended + 1 };
            if at % PROGRESS == 0 {
                eprintln!("{}: {at} of {calls}, {} wrong", self.name, self.count_wrong());
            }
        }
        Ok(calls)
    }

    /// Where everything dies, looks for the calls at which the parts change: a program that goes on to its end has no such. Elsewhere,
    /// kills at some.
    fn some(&mut self, seed: u64) -> Result<usize> {
        if self.fixture.dies == Dies::Everything {
            return self.search();
        }
        self.counted = Counted::Every;
        let calls = self.fixture.count(self.counted)?;
        sample(calls, SAMPLE, seed).into_iter().try_for_each(|at| self.kill(at).map(drop))?;
        Ok(calls)
    }

    fn search(&mut self) -> Result<usize> {
        let calls = self.fixture.count(self.counted)?;
        for part in self.fixture.ends.changed(self.fixture.ends.after) {
            while let Some(at) = self.next_of_search(part, calls) {
                self.kill(at)?;
            }
        }
        Ok(calls)
    }

    /// Half way between the last kill that left a part as it was, and the first that changed it.
    fn next_of_search(&self, part: &str, calls: usize) -> Option<usize> {
        let is_changed = |(_, parts): &(&usize, &BTreeSet<&str>)| parts.contains(part);
        let first = self.changed.iter().find(is_changed).map_or(calls + 1, |(at, _)| *at);
        let earlier = self.changed.range(..first).next_back().map_or(0, |(at, _)| *at);
        (first - earlier > 1).then_some(earlier.midpoint(first))
    }

    /// Whether anybody was killed.
    fn kill(&mut self, at: usize) -> Result<bool> {
        let Kill { at: call, calls, found, wrong } =
            self.fixture.kill(self.counted, at).with_context(|| format!("killed at call {at}"))?;
        self.kills += usize::from(call.is_some());
        let place = match &call {
            Some(call) => format!("call {at}, {call}"),
            None => format!("call {at}, of {calls}: it came to its end"),
        };
        wrong.into_iter().for_each(|wrong| self.wrong.entry(wrong).or_default().push(place.clone()));
        if self.counted == Counted::Telling {
            self.changed.insert(at, self.fixture.ends.changed(&found));
        }
        Ok(call.is_some())
    }

    fn count_wrong(&self) -> usize {
        self.wrong.values().map(Vec::len).sum()
    }

    fn report(&self) -> String {
        let mut report = String::new();
        for (wrong, places) in &self.wrong {
            let _ = write!(report, "after {} kills:\n{wrong}\n", places.len());
            places.iter().for_each(|place| report += &format!("    killed at {place}\n"));
        }
        report
    }
}

/// Numbers up to `calls`, one from each of so many equal shares.
pub(crate) fn sample(calls: usize, shares: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut numbers = Vec::new();
    for share in 0..shares {
        // Knuth's linear congruential generator (The Art of Computer Programming, 3.3.4): its high bits are random enough.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [first, end] = [share, share + 1].map(|share| share * calls / shares);
        let offset = usize::try_from(state >> 33).unwrap_or(0) % (end - first).max(1);
        numbers.push(first + offset + 1);
    }
    numbers
}
