//! The engines that dockfw has.

use std::fmt;

use serde::Deserialize;

/// An engine. It is shown, and written in files of the tests, as in `native`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// That of nf_tables.
    Native,
    /// That of ipset and iptables.
    Compat,
}

impl Engine {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Native, Self::Compat];

    /// Returns the one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Native => Self::Compat,
            Self::Compat => Self::Native,
        }
    }

    /// Returns the engine as `--backend` and `dockfw probe` name it.
    #[must_use]
    pub fn backend(self) -> &'static str {
        match self {
            Self::Native => "nftables",
            Self::Compat => "iptables",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Compat => "compat",
        })
    }
}
