//! The file system, as the policy crate reads it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dockfw_policy::Files;
use nix::libc::O_NONBLOCK;

/// Reads policies from the disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
    }
}

/// Opens a file without ever waiting for another process: lists may be those of users who would have a boot wait for ever.
fn open(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK, to open a pipe is to wait for somebody to write to it.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    // What the caller hands over, as in `--config /dev/stdin`, may take its time.
    if path.starts_with("/dev") && !kind.is_file() {
        return File::open(path);
    }
    if kind.is_fifo() { Err(io::Error::other("it is a pipe, not a file")) } else { Ok(file) }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("dockfw-files-{}", std::process::id()));
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let (said, says) = std::sync::mpsc::channel();
        let pipe = path.clone();
        std::thread::spawn(move || said.send(Disk.read(&pipe, 10)));
        let read = says.recv_timeout(std::time::Duration::from_secs(10));
        fs::remove_file(&path).unwrap();
        assert!(read.unwrap().unwrap_err().to_string().contains("a pipe"));
    }
}
