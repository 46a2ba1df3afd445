//! What is said of a run.

use std::time::Duration;

use anyhow::{Result, bail};
use dockfw_lab::SEED;
use libtest_mimic::Completion;

use crate::driver::Done;
use crate::judge::Tally;
use crate::settings::Settings;
use crate::streams::Stream;

/// What came of a run.
pub(crate) struct Report {
    pub(crate) done: Done,
    pub(crate) tally: Tally,
    /// Streams that do not arrive without dockfw either.
    pub(crate) left_out: Vec<Stream>,
    pub(crate) time: Duration,
    /// Whether it came to its end.
    pub(crate) outcome: Result<()>,
}

impl Report {
    /// Prints the figures; an error if any verdict was wrong, or if the run did not come to its end.
    pub(crate) fn verdict(self) -> Result<Completion> {
        self.print();
        if self.tally.wrong() == 0 {
            return self.outcome.map(|()| Completion::Completed);
        }
        let (wrong, sent, told) = (self.tally.wrong(), self.tally.packets(), self.tally.told.join("\n"));
        let outcome = self.outcome.err().map(|error| format!("\nand then: {error:#}")).unwrap_or_default();
        bail!(
            "{wrong} of {sent} packets came out as no policy has it that may have been in force. The first:\n{told}{outcome}"
        );
    }

    fn print(&self) {
        let (tally, Done { applies, kills }) = (&self.tally, self.done);
        let (sent, seconds) = (tally.packets(), self.time.as_secs_f64());
        println!("        {applies} applies, {kills} of them killed, in {seconds:.0} s");
        println!(
            "        {sent} packets sent ({:.0} a second), {} arrived, {} dropped",
            sent as f64 / seconds,
            tally.arrived,
            tally.dropped
        );
        let (wrong, length) = tally.burst;
        println!(
            "        {} decided by neither policy, {} by a mixture; longest burst of wrong verdicts: {wrong} in {length:.1?}",
            tally.neither, tally.mixtures
        );
        for stream in &self.left_out {
            println!("        left out, for it does not arrive without dockfw either: {stream}");
        }
    }
}

impl Settings {
    /// What repeats the policies, their order and the sources, if not the moments.
    pub(crate) fn how_to_repeat(&self) -> String {
        format!("{SEED}={}", self.seed)
    }
}
