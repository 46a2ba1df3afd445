//! dockfw's engine for hosts whose firewall is still xtables: ipset and iptables in the FILTERS / DOCKER-USER layout.

use dockfw_policy::engine::{Changes, Engine, EngineError, Requirement, State};
use dockfw_policy::ruleset::Ruleset;

/// The compat engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Iptables;

fn not_built() -> EngineError {
    EngineError::Unsupported("the iptables engine is not built yet; use --backend nftables".into())
}

impl Engine for Iptables {
    fn name(&self) -> &'static str {
        "iptables"
    }

    fn probe(&self) -> Result<Vec<Requirement>, EngineError> {
        Err(not_built())
    }

    fn check(&self, _: &Ruleset) -> Result<(), EngineError> {
        Err(not_built())
    }

    fn apply(&self, _: &Ruleset) -> Result<Changes, EngineError> {
        Err(not_built())
    }

    fn read(&self, _: Option<&Ruleset>) -> Result<State, EngineError> {
        Err(not_built())
    }

    fn remove(&self) -> Result<bool, EngineError> {
        Err(not_built())
    }
}
