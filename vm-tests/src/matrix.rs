//! The rows of `matrix.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::those_named;

/// As it was when this program was built: the rows and the scenarios belong together.
const MATRIX: &str = include_str!("../matrix.toml");

/// A system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) name: String,
    /// Its name for people.
    pub(crate) title: String,
    /// The release of Debian that its root is built of.
    pub(crate) suite: Option<String>,
    /// The disk image that it is, in the cache of images.
    pub(crate) image: Option<PathBuf>,
    /// What the kernel's version begins with.
    pub(crate) kernel: String,
    /// What the version of iptables begins with.
    pub(crate) iptables: String,
    /// What `iptables` is.
    pub(crate) variant: Variant,
    /// What Docker's version begins with.
    pub(crate) docker: String,
    /// What `--backend auto` must choose, as `--backend` names it.
    pub(crate) engine: String,
    /// The engine that the system can't have, if there is one.
    pub(crate) refused: Option<String>,
    /// Whether its Docker is to filter with nftables itself.
    #[serde(default)]
    pub(crate) docker_on_nftables: bool,
    /// Which of the packages it takes.
    pub(crate) package: Package,
    /// Its kind of packages.
    #[serde(default)]
    pub(crate) format: Format,
    /// Modules that its kernel refuses to load.
    #[serde(default)]
    pub(crate) denied: Vec<String>,
}

impl Row {
    /// Whether outsiders reach a published port of a container at the container's own address: from 28 on, Docker drops that.
    pub(crate) fn reaches_containers(&self) -> bool {
        let major = self.docker.split('.').next().and_then(|major| major.parse::<u32>().ok());
        major.is_some_and(|major| major < 28)
    }
}

/// What `iptables` is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Variant {
    /// Over nf_tables.
    Nft,
    /// Over xtables.
    Legacy,
}

impl Variant {
    /// As the program's name ends.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }
}

/// Which of the packages in `dist/`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Package {
    /// Those with the system's own libraries.
    Modern,
    /// Those for old systems.
    Old,
}

/// A kind of packages.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Deb,
    Rpm,
}

impl Format {
    /// As the files' names end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

#[derive(Deserialize)]
struct Matrix {
    row: Vec<Row>,
}

/// All rows, in the order of the table.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let matrix: Matrix = toml::from_str(MATRIX).context("vm-tests/matrix.toml")?;
    for row in &matrix.row {
        ensure!(row.suite.is_some() != row.image.is_some(), "{}: either a suite or an image", row.name);
        ensure!(row.image.is_none() || row.denied.is_empty(), "{}: an image boots by itself", row.name);
    }
    Ok(matrix.row)
}

/// The named rows, or all.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Row>> {
    those_named("row", rows()?, names, |row| &row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<_> = rows().unwrap().into_iter().map(|row| row.name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn unknown_rows_are_refused() {
        assert!(chosen(&["windows-11".to_owned()]).is_err());
        assert_eq!(chosen(&["debian-12".to_owned()]).unwrap().len(), 1);
    }
}
