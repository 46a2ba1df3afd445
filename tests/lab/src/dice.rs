//! Chance that can be repeated.

use std::time::SystemTime;

use anyhow::{Context, Result};

/// The environment variable that repeats a run.
pub const SEED: &str = "DOCKFW_TEST_SEED";

/// The seed that is asked for, or another one each time.
pub fn seed() -> Result<u64> {
    match std::env::var(SEED) {
        Ok(text) => text.parse().with_context(|| format!("{SEED} is no number: {text:?}")),
        Err(_) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            Ok(u64::try_from(now.as_nanos() % 1_000_000_007)?)
        }
    }
}

/// A small generator (xorshift, Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// One that rolls the same for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Spread over all bits, and never 0, from which the generator would not move.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides
    }

    /// Whether one of `sides` came up.
    pub fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices.get(self.roll(choices.len())).expect("there is a choice").clone()
    }

    /// Up to `most` of these, each at most once.
    pub fn some<T: Clone + PartialEq>(&mut self, choices: &[T], most: usize) -> Vec<T> {
        let mut picked = Vec::new();
        for _ in 0..self.roll(most + 1) {
            let choice = self.pick(choices);
            if !picked.contains(&choice) {
                picked.push(choice);
            }
        }
        picked
    }
}
