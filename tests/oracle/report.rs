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
}

impl Report {
    /// Prints the figures; an error if any verdict was wrong.
    pub(crate) fn verdict(&self, settings: &Settings) -> Result<Completion> {
        let (tally, Done { applies, kills }) = (&self.tally, self.done);
        let (sent, seconds) = (tally.packets(), self.time.as_secs_f64());
        println!("        seed {} (to repeat it: {})", settings.seed, settings.how_to_repeat());
        println!("        {applies} applies, {kills} of them killed, in {seconds:.0} s");
        println!(
            "        {sent} packets sent ({:.0} a second), {} arrived, {} dropped",
            sent as f64 / seconds,
            tally.arrived,
            tally.dropped
        );
        let (wrong, length) = tally.burst;
        println!(
            "        {} decided by neither policy, {} by a mixture; the longest burst of wrong verdicts: {wrong} in {length:.1?}",
            tally.neither, tally.mixtures
        );
        for stream in &self.left_out {
            println!("        left out, for it does not arrive without dockfw either: {stream}");
        }
        if tally.wrong() > 0 {
            bail!(
                "{} of {sent} packets came out as no policy that may have been in force has it. The first of them:\n{}\n{}",
                tally.wrong(),
                tally.told.join("\n"),
                settings.how_to_repeat()
            );
        }
        Ok(Completion::Completed)
    }
}

impl Settings {
    /// What repeats the policies, their order and the packets, if not the moments.
    pub(crate) fn how_to_repeat(&self) -> String {
        format!("with {SEED}={}", self.seed)
    }
}
