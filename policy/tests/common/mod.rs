//! Policies that are read from memory.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use dockfw_policy::policy::Policy;
use dockfw_policy::{Files, Loaded, Rejected, Strictness, load};

/// The main file of all policies here.
pub const MAIN: &str = "/etc/dockfw/dockfw.toml";

/// Files in memory. A path that ends in `/` is a directory, which can't be read.
#[derive(Default)]
pub struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// The files of these names, below the directory of the main file.
    pub fn of<B: AsRef<[u8]>>(files: &[(&str, B)]) -> Self {
        let path = |name: &str| Path::new("/etc/dockfw").join(name);
        Self(files.iter().map(|(name, bytes)| (path(name), bytes.as_ref().to_vec())).collect())
    }

    /// One policy file.
    pub fn main(text: impl AsRef<[u8]>) -> Self {
        Self::of(&[("dockfw.toml", text)])
    }

    pub fn load(&self) -> Result<Loaded, Rejected> {
        self.load_with(Strictness::Strict)
    }

    pub fn load_with(&self, options: Strictness) -> Result<Loaded, Rejected> {
        load(Path::new(MAIN), self, options)
    }

    /// The policy, which must be a good one.
    pub fn policy(&self) -> Policy {
        self.load().unwrap_or_else(|rejected| panic!("{rejected}")).policy
    }

    /// The errors, of which there must be some, as text.
    pub fn errors(&self) -> String {
        self.load().err().unwrap().to_string()
    }

    /// The warnings to a policy that must be a good one.
    pub fn warnings(&self) -> String {
        self.load().unwrap_or_else(|rejected| panic!("{rejected}")).warnings.render(false)
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let end = bytes.len().min(usize::try_from(limit).unwrap());
        Ok(bytes.get(..end).unwrap().to_vec())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let inside: Vec<_> = self.0.keys().filter(|path| path.parent() == Some(directory)).cloned().collect();
        if inside.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(inside.into_iter().rev().collect())
        }
    }
}
