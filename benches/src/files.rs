//! Policies as files, and the same for nft and ipset.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::firewall::Dockfw;

/// A policy in a directory of its own.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Writes a policy, and the files that it names.
    pub(crate) fn write(directory: PathBuf, policy: &str, lists: &[(&str, &[String])]) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        let files = Self { directory };
        for (name, entries) in lists {
            files.put(name, &entries.join("\n"))?;
        }
        files.put("dockfw.toml", policy)?;
        Ok(files)
    }

    fn put(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.directory.join(name), text)?)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    /// Puts the policy in force. `--force`, for in a namespace of its own dockfw finds itself on a host without Docker.
    pub(crate) fn apply(&self, dockfw: &Dockfw) -> Vec<String> {
        let (program, policy) = (dockfw.program.to_string_lossy(), self.path("dockfw.toml"));
        [&*program, "--config", &policy, "apply", "--force", "--backend", dockfw.engine.backend()]
            .map(String::from)
            .into()
    }

    /// Loads the same by `nft -f`, in place of what an earlier call loaded.
    pub(crate) fn nft(&self, program: &Path) -> Result<Vec<String>> {
        let mut show = Command::new(program);
        let text = dockfw_lab::run(show.args(["--config", &self.path("dockfw.toml"), "show"]))?;
        let table = text.lines().find(|line| line.starts_with("table ")).context("no table is shown")?;
        let table = table.trim_end_matches(['{', ' ']);
        self.put("nft", &format!("{table}\ndelete {table}\n{text}"))?;
        Ok(["nft", "-f", &self.path("nft")].map(String::from).into())
    }

    /// Runs commands of ipset.
    pub(crate) fn ipset(&self, name: &str, commands: &str) -> Result<Vec<String>> {
        self.put(name, commands)?;
        Ok(["ipset", "-exist", "restore", "-file", &self.path(name)].map(String::from).into())
    }
}
