//! The rows of `kernels.toml`.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::must_be_among;

/// As it was when this program was built.
const ROWS: &str = include_str!("../../kernels.toml");

/// A kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Its name on the command line and in the cache.
    pub(crate) name: String,
    /// Its name for people.
    pub(crate) title: String,
    /// The release of Debian that it is fetched from.
    pub(crate) suite: Option<String>,
    /// What its version begins with.
    pub(crate) kernel: String,
    /// The engines that must work with it; the others must be refused.
    pub(crate) engines: Vec<Engine>,
}

/// An engine.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// That of nf_tables.
    Native,
    /// That of ipset and iptables.
    Compat,
}

impl Engine {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Native, Self::Compat];

    /// As tests call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Compat => "compat",
        }
    }

    /// As `--backend` and `dockfw probe` call it.
    pub(crate) fn backend(self) -> &'static str {
        match self {
            Self::Native => "nftables",
            Self::Compat => "iptables",
        }
    }
}

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

/// All rows, in the order of the page.
fn rows() -> Result<Vec<Row>> {
    let rows: Rows = toml::from_str(ROWS).context("vm-tests/kernels.toml")?;
    Ok(rows.row)
}

/// The named rows, or all.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Row>> {
    let rows = rows()?;
    must_be_among("kernel", names, rows.iter().map(|row| row.name.as_str()))?;
    let is_wanted = |row: &Row| names.is_empty() || names.contains(&row.name);
    Ok(rows.into_iter().filter(is_wanted).collect())
}
