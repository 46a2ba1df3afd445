//! The file system, as the policy crate reads it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use dockfw_policy::Files;
use dockfw_system::files;

/// Reads policies from the disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        files::read(path, limit)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
    }
}
