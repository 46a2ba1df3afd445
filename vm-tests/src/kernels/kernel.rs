//! A kernel in the cache: an image, and its modules as they lie on a system. Debian's are fetched; others, the operator brings.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dockfw_lab::cache_directory;

use super::fetch;
use super::rows::Row;

/// What boots.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// `lib/modules/VERSION`.
    pub(crate) modules: PathBuf,
    /// The root of a system that has this kernel, where its programs are to be used.
    pub(crate) system: Option<PathBuf>,
}

/// The kernel of a row; an error is a reason to skip it.
pub(crate) fn of(row: &Row) -> Result<Kernel> {
    let directory = cache_directory("DOCKFW_VMS", "vms")?.join("kernels").join(&row.name);
    if let Some(suite) = &row.suite {
        fetch::fetch(suite, &directory)?;
    }
    let kernel = Kernel::at(&directory, &row.name)?;
    let system = row.iptables.is_some().then(|| directory.join("root"));
    ensure!(system.as_ref().is_none_or(|root| root.is_dir()), "no kernels/{}/root in DOCKFW_VMS", row.name);
    Ok(Kernel { system, ..kernel })
}

impl Kernel {
    fn at(directory: &Path, row: &str) -> Result<Self> {
        let image = directory.join("vmlinuz");
        ensure!(image.is_file(), "no kernels/{row}/vmlinuz in DOCKFW_VMS");
        let versions = fs::read_dir(directory.join("lib/modules"));
        let versions = versions.with_context(|| format!("no kernels/{row}/lib/modules in DOCKFW_VMS"))?;
        let versions = versions.collect::<Result<Vec<_>, _>>()?;
        let [version] = versions.as_slice() else {
            anyhow::bail!("kernels/{row}/lib/modules in DOCKFW_VMS holds {} kernels'", versions.len());
        };
        Ok(Self { image, modules: version.path(), system: None })
    }

    /// As `uname -r` says it.
    pub(crate) fn version(&self) -> String {
        self.modules.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
