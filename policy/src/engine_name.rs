//! The names of the engines.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The engines, whether a program was built with them or not: what one of them left on a host, or in a record, is
/// recognised all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// The native one.
    Nftables,
    /// The compat one.
    Iptables,
}

impl EngineName {
    /// All of them. The first one is preferred.
    pub const ALL: [Self; 2] = [Self::Nftables, Self::Iptables];

    /// Returns the other one.
    pub fn other(self) -> Self {
        match self {
            Self::Nftables => Self::Iptables,
            Self::Iptables => Self::Nftables,
        }
    }

    /// Returns the name, as in `--backend`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
