//! The figures of the test program that holds packets against policies while these change (`tests/oracle`).

use std::fmt;

/// What every machine must see of it.
pub(super) const APPLIES: u64 = 50;
pub(super) const PACKETS: u64 = 20_000;

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
    /// Reads its last line of figures: `oracle: 50 applies, 20000 packets, 0 wrong verdicts`.
    pub(super) fn read(output: &str) -> Option<Self> {
        let line = output.lines().rev().find_map(|line| line.trim().strip_prefix("oracle: "))?;
        let count = |what: &str| {
            let mut parts = line.split(", ");
            parts.find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
        };
        Some(Self { applies: count("applies")?, packets: count("packets")?, wrong: count("wrong verdicts")? })
    }

    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<String> {
        let is_enough = self.applies >= APPLIES && self.packets >= PACKETS;
        let fault = match (self.wrong, is_enough) {
            (0, true) => return None,
            (0, false) => format!("fewer than {APPLIES} applies or {PACKETS} packets"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_the_last_line() {
        let output = "test native ... ok\noracle: 1 applies, 2 packets, 3 wrong verdicts\n\
                      oracle: 51 applies, 20000 packets, 0 wrong verdicts\ntest result: ok.\n";
        let counts = Counts::read(output).unwrap();
        assert_eq!(counts, Counts { applies: 51, packets: 20_000, wrong: 0 });
        assert_eq!(counts.fault(), None);
        assert_eq!(Counts::read("test result: ok. 1 passed"), None);
    }

    #[test]
    fn too_little_is_a_fault_and_so_is_a_wrong_verdict() {
        for (applies, packets, wrong) in [(49, 20_000, 0), (50, 19_999, 0), (50, 20_000, 1)] {
            assert!(Counts { applies, packets, wrong }.fault().is_some());
        }
    }
}
