//! Reads files without ever waiting for another process, and never more than was asked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// What a caller passes, as in `--config /dev/stdin`. It may take its time.
const HANDED_OVER: [&str; 2] = ["/dev/stdin", "/dev/fd"];

/// Returns the first `limit` bytes of a file, or all of it if it has no more.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the same as a string, with a replacement for what is not UTF-8. Nothing if the file can't be read.
pub fn read_text(path: &Path, limit: u64) -> Option<String> {
    let bytes = read(path, limit).inspect_err(|error| log::debug!("can't read {}: {error}", path.display()));
    bytes.ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file to read it. A pipe is an error: opening one waits for a writer.
pub fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if HANDED_OVER.iter().any(|place| path.starts_with(place)) && !kind.is_file() {
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
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let (said, says) = std::sync::mpsc::channel();
        std::thread::spawn(move || said.send(read(&path, 10)));
        let read = says.recv_timeout(std::time::Duration::from_secs(10));
        assert!(read.unwrap().unwrap_err().to_string().contains("a pipe"));
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        assert_eq!(read(Path::new("/dev/zero"), 3).unwrap(), [0; 3]);
        assert_eq!(read_text(Path::new("/nonexistent"), 3), None);
    }
}
