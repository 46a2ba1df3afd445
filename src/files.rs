//! The file system, as the policy crate reads it, and as policies are written to it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use dockfw_policy::Files;
use dockfw_system::files;

/// What is behind the name of a file that was replaced. No policy reads such a file.
const KEPT: &str = "rolled-back";
/// The rights of a file that was not there: what a policy says concerns root alone.
const MODE: u32 = 0o600;
/// How many files that were replaced may be kept beside each other.
const MAX_KEPT: u32 = 1000;

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
    let mut file = File::options().create_new(true).write(true).mode(MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Puts these contents in the place of a file, at one instant; its owner and mode stay. A link stays, and leads to the new
/// file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, before) = behind_links(path)?;
    place(&path, bytes, before.as_ref(), || Ok(()))
}

/// Does the same, and keeps the file that was there. Returns the name under which it is kept.
pub(crate) fn replace_and_keep(path: &Path, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
    let (path, before) = behind_links(path)?;
    let keep_before = || before.as_ref().map(|_| keep(&path, |kept| fs::hard_link(&path, kept))).transpose();
    place(&path, bytes, before.as_ref(), keep_before)
}

/// Returns the file that a path leads to, and what is there. What is there and is no file is an error.
fn behind_links(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        result => result?,
    };
    let before = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => Some(result?),
    };
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return Err(io::Error::other("it is not a file"));
    }
    Ok((path, before))
}

/// Writes the new file, does something with the old one, and replaces it.
fn place<T>(
    path: &Path,
    bytes: &[u8],
    before: Option<&Metadata>,
    first: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let new = write_beside(path, bytes, before)?;
    let placed = first().and_then(|done| fs::rename(&new, path).map(|()| done));
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed
}

/// Renames a file to a name under which no policy reads it. Returns the name.
pub(crate) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    // A link keeps what it leads to.
    let kept = keep(path, |kept| fs::hard_link(path, kept))?;
    fs::remove_file(path)?;
    Ok(kept)
}

/// Finds a free name beside a file. `take` fails if there is a file of this name.
fn keep(path: &Path, take: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    for number in 1..=MAX_KEPT {
        let behind = if number == 1 { format!(".{KEPT}") } else { format!(".{KEPT}-{number}") };
        let name = beside(path, &behind);
        match take(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| name),
        }
    }
    Err(io::Error::other(format!("there are {MAX_KEPT} files of this name and .{KEPT} already")))
}

/// Writes a file beside another one, with the owner and the mode of that one.
fn write_beside(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<PathBuf> {
    let new = beside(path, ".dockfw-new");
    // A run that was killed may have left it.
    let _ = fs::remove_file(&new);
    let file = File::options().write(true).create_new(true).mode(MODE).open(&new)?;
    match fill(&file, bytes, like) {
        Ok(()) => Ok(new),
        Err(error) => {
            let _ = fs::remove_file(&new);
            Err(error)
        }
    }
}

fn fill(mut file: &File, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    if let Some(like) = like {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
        file.set_permissions(Permissions::from_mode(like.mode() & 0o777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Returns the name with something behind it.
fn beside(path: &Path, behind: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(behind);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_kept_with_its_owner_and_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dockfw.toml");
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(replace_and_keep(&path, b"a").unwrap(), None);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = directory.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let kept = replace_and_keep(&link, b"b").unwrap().unwrap();
        assert_eq!(kept, directory.path().join("dockfw.toml.rolled-back"));
        assert_eq!([text(&path), text(&kept)], ["b", "a"]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        for path in [&path, &kept] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o640);
        }
        let again = replace_and_keep(&path, b"c").unwrap().unwrap();
        assert_eq!(again, directory.path().join("dockfw.toml.rolled-back-2"));
        let away = put_aside(&path).unwrap();
        assert_eq!([text(&kept), text(&again), text(&away)], ["a", "b", "c"]);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "and nothing else is left");
    }

    #[test]
    fn what_is_no_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        assert!(replace(directory.path(), b"a").is_err());
        assert!(replace(Path::new("/dev/null"), b"a").unwrap_err().to_string().contains("not a file"));
        assert!(replace(&directory.path().join("no/such"), b"a").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
