//! A run of Ansible, and what is expected of it.

use anyhow::{Result, ensure};
use std::process::Output;

/// One that has ended.
pub(crate) struct Play {
    code: Option<i32>,
    pub(crate) said: String,
}

impl Play {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), said: text(&output.stdout) + &text(&output.stderr) }
    }

    /// How many tasks on all hosts ended like this, as in `changed=3`.
    pub(crate) fn count(&self, how: &str) -> u32 {
        let recap = self.said.split_once("PLAY RECAP").map_or("", |(_, recap)| recap);
        let values = recap.split_whitespace().filter_map(|word| word.strip_prefix(how)?.strip_prefix('='));
        values.filter_map(|value| value.parse::<u32>().ok()).sum()
    }

    /// Wants success, and tasks that changed something, or none.
    pub(crate) fn succeeds(&self, changes: bool) -> Result<&Self> {
        ensure!(self.code == Some(0), "exit code {:?}:\n{}", self.code, self.said);
        let changed = self.count("changed");
        ensure!((changed > 0) == changes, "{changed} tasks changed something:\n{}", self.said);
        Ok(self)
    }

    pub(crate) fn fails(&self) -> Result<&Self> {
        ensure!(
            self.code != Some(0) && self.count("failed") > 0,
            "exit code {:?}:\n{}",
            self.code,
            self.said
        );
        Ok(self)
    }

    pub(crate) fn says(&self, part: &str) -> Result<&Self> {
        ensure!(self.said.contains(part), "{part:?} is not in:\n{}", self.said);
        Ok(self)
    }
}
