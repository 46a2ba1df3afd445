//! The disk that a machine starts from.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::matrix::Row;
use crate::{images, roots};

/// What a system runs for the runner: the same everywhere.
pub(crate) const AGENT: &str = include_str!("../guest/agent");
pub(crate) const AGENT_UNIT: &str = include_str!("../guest/agent.service");

/// A disk, to be read only.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    /// As QEMU calls it.
    pub(crate) format: &'static str,
    pub(crate) boot: Boot,
}

/// How it boots.
#[derive(Clone, Debug)]
pub(crate) enum Boot {
    /// By this kernel, which has drivers for NVMe and ext4 built in; the disk is the root file system.
    Kernel(PathBuf),
    /// By its own boot loader; cloud-init finds what it needs on this disk.
    Itself(PathBuf),
}

/// The disk of a row if it can be had; an error is a reason to skip the row.
pub(crate) fn of(row: &Row) -> Result<Disk> {
    match (&row.suite, &row.image) {
        (Some(suite), _) => roots::cached(suite),
        (None, image) => images::checked(image.as_ref().context("neither a suite nor an image")?),
    }
}
