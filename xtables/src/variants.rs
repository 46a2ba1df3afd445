//! The variants of iptables on this host, and which of them Docker uses.

use dockfw_policy::engine::EngineError;
use dockfw_system::programs::find;

use crate::run::ask;
use crate::saved::Tables;
use crate::tools::{Tools, Variant, missing};

/// The programs of the variants, with the one that Docker uses in front.
#[derive(Clone, Debug)]
pub struct Variants {
    /// Those of the variant that has Docker's chains, or else of the one that Docker would find.
    pub used: Tools,
    /// Those of the other one, if they are there.
    pub other: Option<Tools>,
    /// Whether Docker's chains are in both.
    pub is_docker_in_both: bool,
}

impl Variants {
    /// Looks for the programs, and for Docker's chains.
    pub fn find() -> Result<Self, EngineError> {
        let (usual, other) = installed()?;
        // A variant that can't be read has no chains of Docker's that matter here.
        let in_other = other.as_ref().is_some_and(|other| has_docker(other).unwrap_or(false));
        let in_usual = in_other && has_docker(&usual)?;
        let is_docker_in_both = in_usual && in_other;
        Ok(match other {
            Some(other) if in_other && !in_usual => {
                Self { used: other, other: Some(usual), is_docker_in_both }
            }
            other => Self { used: usual, other, is_docker_in_both },
        })
    }
}

/// Returns the programs of the variant that Docker finds, and those of the other one, if they are there.
pub(crate) fn installed() -> Result<(Tools, Option<Tools>), EngineError> {
    let iptables = find("iptables").ok_or_else(|| missing("iptables"))?;
    let variant = Variant::of_version(&ask(&iptables, &["--version"])?);
    let usual = Tools::find(variant, "").ok_or_else(|| missing("iptables-restore"))?;
    let other = Tools::find(variant.other(), &format!("-{}", variant.other().name()));
    Ok((usual, other))
}

/// Returns the variants of iptables with Docker's chains: one, both or none. A variant that can't be read has none.
pub fn with_docker() -> Result<Vec<Variant>, EngineError> {
    let (usual, other) = installed()?;
    let in_usual = has_docker(&usual)?.then_some(usual.variant);
    let other = other.filter(|other| has_docker(other).unwrap_or(false)).map(|other| other.variant);
    Ok(in_usual.into_iter().chain(other).collect())
}

fn has_docker(tools: &Tools) -> Result<bool, EngineError> {
    Ok(tools.read()?.values().any(Tables::have_docker))
}
