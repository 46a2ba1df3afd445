//! What a policy is read from, and how strictly: what the loader and the resolver share.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What a policy is read from.
pub trait Files {
    /// Returns the first `limit` bytes of a file, or all if it has no more.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Returns the full paths of what lies in a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
}

/// Files that are in memory only. No directory has any.
#[derive(Clone, Debug, Default)]
pub struct FilesInMemory(BTreeMap<PathBuf, Vec<u8>>);

impl FilesInMemory {
    /// Returns files of these paths and contents.
    pub fn new<P: Into<PathBuf>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }
}

impl Files for FilesInMemory {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.get(..length).unwrap_or_default().to_vec())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// What happens to entries that are refused for the operator's safety, such as trusting everyone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It is an error.
    #[default]
    Strict,
    /// The operator asks for it, and nothing is reported.
    Forced,
    /// The policy was confirmed once, maybe when less was refused. So it is a warning, and a name that has become built in
    /// since means what it meant then.
    Confirmed,
}

impl Strictness {
    /// Returns the strictness for a policy that an operator forces, or does not.
    pub fn forced(is_forced: bool) -> Self {
        if is_forced { Self::Forced } else { Self::Strict }
    }
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It has more than this many bytes.
    TooBig(u64),
    /// The system's reason.
    Failed(io::Error),
}

impl Unread {
    /// Returns what happened to the file of this name.
    pub(crate) fn message(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::TooBig(limit) => format!("{path} has more than {} MiB", limit >> 20),
            Self::Failed(error) => format!("can't read {path}: {error}"),
        }
    }

    /// Returns what to do about it, for a policy file.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::TooBig(_) => "put long lists into files of their own: \"file:lists/vpn.txt\"",
            Self::Failed(error) if error.kind() == io::ErrorKind::NotFound => {
                "write the policy there, or name another file with --config"
            }
            Self::Failed(error) if error.kind() == io::ErrorKind::IsADirectory => {
                "name a file, not a directory"
            }
            Self::Failed(_) => "the file must be readable for whoever runs dockfw",
        }
    }
}

/// Returns the whole of a file that is not too big.
pub(crate) fn read(files: &dyn Files, path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    let bytes = files.read(path, limit + 1).map_err(Unread::Failed)?;
    if bytes.len() as u64 > limit { Err(Unread::TooBig(limit)) } else { Ok(bytes) }
}
