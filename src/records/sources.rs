//! The files that a policy was read from, as a unit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use dockfw_policy::Files;
use dockfw_policy::digest::Digest;
use serde::{Deserialize, Serialize};

use super::RecordError;

/// The version of the format of saved sources.
const FORMAT: u32 = 1;

/// Files of a policy by their absolute names. A policy loads from them as it did from the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources(BTreeMap<PathBuf, Vec<u8>>);

/// The first line of saved sources; the contents of the files follow, in this order.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    size: usize,
}

impl Sources {
    /// Returns sources of one file.
    pub(crate) fn of_file(path: &Path, text: &str) -> Self {
        Self(BTreeMap::from([(absolute(path), text.as_bytes().to_vec())]))
    }

    /// Returns each file, with its absolute name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// Returns the contents of a file, if it is one of them.
    pub(crate) fn file(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// Returns all of them as they are saved; the same sources always give the same bytes.
    pub(crate) fn seal(&self) -> Result<Sealed, RecordError> {
        let bytes = self.to_bytes().map_err(RecordError::Unrecordable)?;
        Ok(Sealed { digest: digest(&bytes), bytes })
    }

    /// The error is why they can't be saved.
    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let entries = self.0.iter().map(|(path, bytes)| Entry { path: path.clone(), size: bytes.len() });
        let head = Head { format: FORMAT, files: entries.collect() };
        let mut bytes = serde_json::to_vec(&head)
            .map_err(|error| format!("the name of a policy file can't be written down: {error}"))?;
        bytes.push(b'\n');
        bytes.extend(self.0.values().flatten());
        Ok(bytes)
    }

    /// Reads saved sources. The error is what is wrong.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it ends within its first line")?;
        let (head, mut rest) = bytes.split_at(end + 1);
        let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
        if head.format != FORMAT {
            return Err(format!("its format is {}, and this dockfw reads {FORMAT}", head.format));
        }
        let mut files = BTreeMap::new();
        for Entry { path, size } in head.files {
            let (file, others) = rest.split_at_checked(size).ok_or("it ends too early")?;
            files.insert(path, file.to_vec());
            rest = others;
        }
        if rest.is_empty() { Ok(Self(files)) } else { Err("there is something behind its end".into()) }
    }
}

/// Returns what distinguishes the bytes of sources from others: it protects against accidents, as a checksum does.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", Digest::of([bytes]).number())
}

/// Sources in one piece, as they are saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    digest: String,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Returns what distinguishes them from others.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns all of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Only what was read exists here, which is all that a policy needs. From a directory, too, it reads all that counts.
impl Files for Sources {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(&absolute(path)).ok_or(io::ErrorKind::NotFound)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(bytes.get(..limit).unwrap_or(bytes).to_vec())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let directory = absolute(directory);
        Ok(self.0.keys().filter(|path| path.parent() == Some(&directory)).cloned().collect())
    }
}

/// A recorder of the files that a policy is read from.
pub(crate) struct Recorder<'a> {
    files: &'a dyn Files,
    read: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl<'a> Recorder<'a> {
    /// Returns a recorder of what is read from `files`.
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self { files, read: RefCell::default() }
    }

    /// Returns what has been read.
    pub(crate) fn into_sources(self) -> Sources {
        Sources(self.read.into_inner())
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path, limit)?;
        self.read.borrow_mut().insert(absolute(path), bytes.clone());
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.files.list(directory)
    }
}

/// Returns the absolute name, so that the directory in which dockfw was started does not matter.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dockfw_policy::{Strictness, load};

    use super::*;
    use crate::files::Disk;

    fn policy_files() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("dockfw.toml", "trusted = [\"file:lists/vpn.txt\"]\n"),
            ("conf.d/10-web.toml", "[[allow]]\nname = \"web\"\nports = [\"80/tcp\"]\n"),
            ("conf.d/README", "not a policy"),
            ("lists/vpn.txt", "\u{feff}192.0.2.0/24 # caf\u{e9}\r\n2001:db8::1\n"),
        ] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn a_policy_loads_from_its_record_as_it_did_from_the_disk() {
        let directory = policy_files();
        let path = directory.path().join("dockfw.toml");
        let recorder = Recorder::new(&Disk);
        let from_disk = load(&path, &recorder, Strictness::Strict).unwrap().policy;
        let bytes = recorder.into_sources().seal().unwrap().bytes;
        fs::remove_dir_all(directory.path()).unwrap();
        let sources = Sources::from_bytes(&bytes).unwrap();
        assert_eq!(sources.0.len(), 3, "only what counts: {sources:?}");
        assert_eq!(load(&path, &sources, Strictness::Strict).unwrap().policy, from_disk);
    }

    #[test]
    fn what_counts_changes_the_digest_and_what_does_not_count_does_not() {
        let directory = policy_files();
        let digest_now = || {
            let recorder = Recorder::new(&Disk);
            load(&directory.path().join("./dockfw.toml"), &recorder, Strictness::Strict).unwrap();
            recorder.into_sources().seal().unwrap().digest
        };
        let at_first = digest_now();
        fs::write(directory.path().join("conf.d/.10-web.toml.swp"), "an editor's").unwrap();
        assert_eq!(digest_now(), at_first);
        fs::write(directory.path().join("lists/vpn.txt"), "192.0.2.1").unwrap();
        assert_ne!(digest_now(), at_first);
    }

    #[test]
    fn damage_is_told_and_never_a_panic() {
        let whole = Sources(BTreeMap::from([("/a".into(), b"one\n".to_vec()), ("/b".into(), vec![])]));
        let bytes = whole.to_bytes().unwrap();
        assert_eq!(Sources::from_bytes(&bytes), Ok(whole));
        for end in 0..bytes.len() {
            assert!(Sources::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
        let huge = format!("{{\"format\":1,\"files\":[{{\"path\":\"/a\",\"size\":{}}}]}}\n", usize::MAX);
        for bad in [&[bytes.as_slice(), b"x"].concat()[..], huge.as_bytes(), b"{\"format\":2,\"files\":[]}\n"]
        {
            assert!(Sources::from_bytes(bad).is_err());
        }
    }
}
