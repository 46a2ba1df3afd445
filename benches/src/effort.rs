//! How much is measured.

use std::time::Duration;

/// How long and how often, and with what sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How often each contender has its turn with packets.
    pub(crate) rounds: usize,
    /// How often it loads a short list, and a long one.
    short_loads: usize,
    long_loads: usize,
    /// How long one rate is measured.
    pub(crate) period: Duration,
    /// How many entries are loaded.
    pub(crate) entries: &'static [u32],
    /// How many scoped rules a policy has.
    pub(crate) rules: &'static [u32],
    /// How many networks are trusted.
    pub(crate) addresses: &'static [u32],
    /// How many rules name one group, of so many hosts.
    pub(crate) group: u32,
    /// How many entries there are while something else changes.
    pub(crate) in_place: u32,
    /// How many ports containers publish.
    pub(crate) ports: u16,
}

impl Effort {
    /// Within an hour.
    pub(crate) const WHOLE: Self = Self {
        rounds: 5,
        short_loads: 5,
        long_loads: 3,
        period: Duration::from_millis(400),
        entries: &[1000, 65_536, 100_000, 500_000, 1_000_000],
        rules: &[10, 100, 1000, 5000],
        addresses: &[0, 1000, 65_536, 1_000_000],
        group: 1_000_000,
        in_place: 1_000_000,
        ports: 500,
    };
    /// Within five minutes: to see that it works, and roughly how fast.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        short_loads: 1,
        long_loads: 1,
        period: Duration::from_millis(100),
        entries: &[1000, 65_536],
        rules: &[10, 1000],
        addresses: &[0, 1000, 65_536],
        group: 65_536,
        in_place: 65_536,
        ports: 50,
    };

    /// How often a contender loads something with so many entries.
    pub(crate) fn loads(&self, entries: u32) -> usize {
        if entries > 100_000 { self.long_loads } else { self.short_loads }
    }

    /// The most rules that a policy has.
    pub(crate) fn most_rules(&self) -> u32 {
        self.rules.iter().copied().max().unwrap_or_default()
    }
}

/// In one order and then in the other: whatever one leaves behind for the next is not always found by the same one.
pub(crate) fn in_turn<T>(contenders: &[T], round: usize) -> Vec<&T> {
    let forwards = contenders.iter();
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_round_goes_backwards() {
        assert_eq!(in_turn(&[1, 2, 3], 0), [&1, &2, &3]);
        assert_eq!(in_turn(&[1, 2, 3], 1), [&3, &2, &1]);
    }
}
