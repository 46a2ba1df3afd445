//! A system to install packages on: a root file system with memory over it, in namespaces of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use tempfile::NamedTempFile;

use crate::shell;

/// A system; gone when its script ends.
pub(crate) struct System {
    lower: PathBuf,
    packages: PathBuf,
}

/// Lays it out.
const LAY: &str = include_str!("lay.sh");
/// Then runs the script as its first process.
const ENTER: &str = "exec chroot . sh -euc \"$SCRIPT\"";
/// Or else has systemd boot it, by which the script is started.
const BOOT: &str = include_str!("boot.sh");
const IN_CGROUP: &str = include_str!("cgroup.sh");

impl System {
    /// A system on top of this root, which stays as it is.
    pub(crate) fn on(lower: &Path, packages: &Path) -> Result<Self> {
        ensure!(Uid::effective().is_root(), "not root");
        Ok(Self { lower: lower.to_owned(), packages: packages.to_owned() })
    }

    /// Runs a script on it, to the end.
    pub(crate) fn run(&self, script: &str) -> Result<Output> {
        let mut command = shell("exec unshare --net --mount --pid --fork --kill-child sh -euc \"$RAISE\"");
        command.env("RAISE", format!("{LAY}\nmount --rbind /dev dev\n{ENTER}"));
        self.start(command, script)
    }

    /// Boots it by systemd after `prepare` has been run on it, and runs a script once it is up, to the end.
    pub(crate) fn boot(&self, prepare: &str, script: &str) -> Result<Output> {
        let said = NamedTempFile::new()?;
        let mut command = shell("exec unshare --mount --fork --kill-child sh -euc \"$IN_CGROUP\"");
        command.env("IN_CGROUP", IN_CGROUP).env("BOOT", format!("{LAY}\n{BOOT}")).env("SAID", said.path());
        command.env("PREPARE", format!("{}\n{prepare}", crate::PRELUDE));
        self.start(command, script)
    }

    fn start(&self, mut command: Command, script: &str) -> Result<Output> {
        command.env("LOWER", &self.lower).env("PACKAGES", &self.packages);
        command.env("SCRIPT", format!("{}\n{script}", crate::PRELUDE));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.output().context("can't start a shell")
    }
}
