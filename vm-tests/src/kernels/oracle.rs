//! The figures of the test program that holds packets against policies while these change (`tests/oracle`).

use std::fmt;

use dockfw_lab::Engine;

use super::rows::Row;

/// What a machine must see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floors {
    /// How many policies are put in force.
    pub(super) applies: u64,
    /// How many packets are held against them.
    pub(super) packets: u64,
}

impl Floors {
    /// With the first of a row's engines.
    const FIRST: Self = Self { applies: 50, packets: 20_000 };
    /// With the compat engine beside the native one: an apply takes it many seconds in an emulated machine, and what it rests on is
    /// the same in all kernels.
    const SECOND: Self = Self { applies: 8, packets: 2_000 };

    /// Those of an engine of a row.
    pub(super) fn of(row: &Row, engine: Engine) -> Self {
        if row.engines.first() == Some(&engine) { Self::FIRST } else { Self::SECOND }
    }
}

/// How many entries its longest lists have. With so many, the gap that kernels with `nft_array` leave in a transaction of both
/// sets and rules is some dozen packets long, and one in six applies is of such lists; with 2,000, it took a dozen applies of all
/// kinds until one packet fell into it. More take long to put in force in an emulated machine.
const ENTRIES: u64 = 10_000;
/// An emulated machine is a few times slower than the one that it runs on.
const PATIENCE: u64 = 4;

/// What it is told by its environment, beside its floors.
pub(super) fn environment(seconds: u64) -> [(&'static str, u64); 3] {
    [
        ("DOCKFW_ORACLE_SECONDS", seconds),
        ("DOCKFW_ORACLE_ENTRIES", ENTRIES),
        ("DOCKFW_LAB_PATIENCE", PATIENCE),
    ]
}

/// What it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Policies that were put in force.
    pub(crate) applies: u64,
    /// Packets that were sent and held against them.
    pub(crate) packets: u64,
    /// Packets that no policy accounts for which may have been in force.
    pub(crate) wrong: u64,
}

impl Counts {
    /// Reads them from what it prints at its end.
    pub(super) fn read(output: &str) -> Option<Self> {
        let neither = number_before(output, " decided by neither policy, ")?;
        let mixed = number_before(output, " by a mixture;")?;
        Some(Self {
            applies: number_before(output, " applies, ")?,
            packets: number_before(output, " packets sent ")?,
            wrong: neither + mixed,
        })
    }

    /// What is wrong with them.
    pub(super) fn fault(&self, Floors { applies, packets }: Floors) -> Option<String> {
        let is_enough = self.applies >= applies && self.packets >= packets;
        let fault = match (self.wrong, is_enough) {
            (0, true) => return None,
            (0, false) => format!("fewer than {applies} applies or {packets} packets"),
            (wrong, _) => format!("{wrong} wrong verdicts"),
        };
        Some(format!("{fault} ({self})"))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} applies, {} packets, {} wrong verdicts", self.applies, self.packets, self.wrong)
    }
}

/// The number right before the first of these words.
fn number_before(output: &str, words: &str) -> Option<u64> {
    let (before, _) = output.split_once(words)?;
    before.rsplit(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
running 1 test
        seed 42 (to repeat it: with DOCKFW_TEST_SEED=42)
        51 applies, 6 of them killed, in 20 s
        20123 packets sent (1006 a second), 15000 arrived, 5123 dropped
        2 decided by neither policy, 1 by a mixture; the longest burst of wrong verdicts: 2 in 1.5ms
test native ... FAILED
";

    #[test]
    fn figures_are_read() {
        let counts = Counts::read(SAID).unwrap();
        assert_eq!(counts, Counts { applies: 51, packets: 20_123, wrong: 3 });
        assert_eq!(Counts::read("running 1 test\ntest native ... ignored\n"), None);
    }

    #[test]
    fn too_little_is_a_fault_and_so_is_a_wrong_verdict() {
        let fault = |applies, packets, wrong| Counts { applies, packets, wrong }.fault(Floors::FIRST);
        assert_eq!(fault(50, 20_000, 0), None);
        assert!(fault(49, 20_000, 0).is_some() && fault(50, 19_999, 0).is_some());
        assert!(fault(50, 20_000, 1).is_some_and(|fault| fault.starts_with("1 wrong")));
    }
}
