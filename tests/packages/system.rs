//! A system to install packages on: a root file system with memory over it, in namespaces of its own.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use crate::shell;

/// A system; gone when its script ends.
pub(crate) struct System {
    lower: PathBuf,
    packages: PathBuf,
}

/// Makes the system, and becomes its first process: a package that runs in a chroot must be able to tell.
const RAISE: &str = r#"
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$LOWER,upperdir=/mnt/upper,workdir=/mnt/work" none /mnt/root
mount -t proc none /mnt/root/proc
mount -t tmpfs none /mnt/root/run
mount -t tmpfs none /mnt/root/tmp
mount --rbind /dev /mnt/root/dev
mkdir /mnt/root/tmp/packages
mount --bind "$PACKAGES" /mnt/root/tmp/packages
export PACKAGES=/tmp/packages
ip link set lo up
cd /mnt/root
exec chroot . sh -euc "$SCRIPT"
"#;

impl System {
    /// A system on top of this root, which stays as it is.
    pub(crate) fn on(lower: &Path, packages: &Path) -> Result<Self> {
        ensure!(Uid::effective().is_root(), "not root");
        Ok(Self { lower: lower.to_owned(), packages: packages.to_owned() })
    }

    /// Runs a script on it, to the end.
    pub(crate) fn run(&self, script: &str) -> Result<Output> {
        let mut command = shell("exec unshare --net --mount --pid --fork --kill-child sh -euc \"$RAISE\"");
        command.env("RAISE", RAISE).env("LOWER", &self.lower).env("PACKAGES", &self.packages);
        command.env("SCRIPT", format!("{}\n{script}", crate::PRELUDE));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.output().context("can't start a shell")
    }
}
