//! The facts that decide between the engines, as read from this host.

use std::fmt;
use std::str::FromStr;

use dockfw_policy::engine::{EngineName, Requirement};
use serde::{Serialize, Serializer};

use crate::host::programs::said;

/// Everything that decides between the engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Survey {
    /// What the native engine needs.
    pub(crate) nftables: Vec<Requirement>,
    /// What the compat engine needs.
    pub(crate) iptables: Vec<Requirement>,
    /// The iptables that dockerd would find.
    pub(crate) program: Option<Program>,
    /// The engine whose rules are on the host.
    pub(crate) in_force: Option<EngineName>,
    /// What is unknown of that, and why.
    pub(crate) unknown: Vec<String>,
}

/// An iptables program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Program {
    /// Its version.
    pub(crate) version: Version,
    /// `nf_tables` or `legacy`.
    pub(crate) variant: String,
}

/// A version of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error for a string that is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = text.split('.').map(|part| part.parse().map_err(|_| NoVersion));
        let mut next = || parts.next().unwrap_or(Ok(0));
        Ok(Self(next()?, next()?, next()?))
    }
}

/// Returns the iptables that dockerd would find, if there is one that reports its version.
pub(crate) fn program() -> Option<Program> {
    program_of(&said("iptables", &["--version"])?)
}

/// Reads `iptables v1.8.9 (nf_tables)`. Before 1.8 there was only one variant, and no word for it.
fn program_of(said: &str) -> Option<Program> {
    let rest = said.trim().strip_prefix("iptables v")?;
    let (version, variant) = rest.split_once(' ').unwrap_or((rest, "(legacy)"));
    let variant = variant.trim_matches(['(', ')']).to_owned();
    Some(Program { version: version.parse().ok()?, variant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let program = |said| program_of(said).map(|program| (program.version, program.variant));
        assert_eq!(program("iptables v1.4.21\n"), Some((Version(1, 4, 21), "legacy".into())));
        assert_eq!(program("iptables v1.8.9 (nf_tables)\n"), Some((Version(1, 8, 9), "nf_tables".into())));
        assert_eq!(program("iptables v1.8.9 (legacy)\n"), Some((Version(1, 8, 9), "legacy".into())));
        assert_eq!(program("bash: iptables: not found"), None);
        assert!(Version(1, 8, 10) > Version(1, 8, 9) && Version(1, 6, 1) < Version(1, 8, 0));
    }
}
