//! The file system, as the policy crate reads it, and as policies are written to it.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io, process};

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

/// Writes a file that must not exist yet, and its directory if need be. Who may connect concerns root alone.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Replaces a file as a whole: whoever reads it meanwhile reads the old text or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", process::id()));
    let written = path.with_file_name(name);
    let replaced = write_new(&written, text).and_then(|()| fs::rename(&written, path));
    replaced.inspect_err(|_| _ = fs::remove_file(&written))
}
