//! The rows of `kernels.toml`.

use anyhow::{Context, Result};
use dockfw_lab::Engine;
use serde::Deserialize;

use crate::those_named;

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
    /// What the version of the system's own iptables begins with, where that is to be used.
    pub(crate) iptables: Option<String>,
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
    those_named("kernel", rows()?, names, |row| &row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own_and_something_to_do() {
        let rows = rows().unwrap();
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.len());
        assert!(rows.iter().all(|row| !row.engines.is_empty()));
    }

    #[test]
    fn unknown_rows_are_refused() {
        assert!(chosen(&["linux-2.4".to_owned()]).is_err());
        assert_eq!(chosen(&["linux-3.10".to_owned()]).unwrap().len(), 1);
    }
}
