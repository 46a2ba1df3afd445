//! The stand-in for the compat engine in a program that was built without it. It puts nothing in force, but recognises
//! and removes what another dockfw left.

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{Engine, EngineError, EngineName, Requirement, State};
use dockfw_policy::ruleset::Ruleset;
use dockfw_xtables::ipset::Ipset;
use dockfw_xtables::presence::presence;
use dockfw_xtables::remove::remove;
use dockfw_xtables::variants::Variants;

use crate::filters::nf_tables;

/// The engine that is missing.
const NAME: EngineName = EngineName::Iptables;

/// The stand-in for the engine.
pub(super) struct Absent;

/// Returns the stand-in for the engine.
pub(super) fn engine() -> Absent {
    Absent
}

/// Fails: the engine is not built in.
pub(super) fn must_be_built_in() -> Result<(), EngineError> {
    Err(EngineError::NotBuiltIn(NAME))
}

/// Fails: the code that writes a ruleset for the engine's programs is not built in.
pub(super) fn listing(_: &Ruleset) -> Result<String, EngineError> {
    Err(EngineError::NotBuiltIn(NAME))
}

impl Engine for Absent {
    fn name(&self) -> EngineName {
        NAME
    }

    fn probe(&self) -> Result<Vec<Requirement>, EngineError> {
        Ok(vec![Requirement {
            what: format!("the {NAME} engine"),
            source: "this program".into(),
            missing: Some(format!(
                "this dockfw was built without it; use {}, or install a dockfw that has it",
                NAME.other()
            )),
            optional: false,
        }])
    }

    fn must_be_fit(&self) -> Result<(), EngineError> {
        must_be_built_in()
    }

    fn check(&self, _: &Ruleset) -> Result<(), EngineError> {
        must_be_built_in()
    }

    fn apply(&self, _: &Ruleset) -> Result<Vec<Difference>, EngineError> {
        Err(EngineError::NotBuiltIn(NAME))
    }

    /// Whatever is there can't be what is wanted.
    fn read(&self, _: Option<&Ruleset>) -> Result<State, EngineError> {
        let presence = presence(nf_tables::chains_of_iptables().ok())?;
        let differences = presence.as_difference(NAME).into_iter().collect();
        Ok(State { presence, differences, ..State::default() })
    }

    fn remove(&self) -> Result<bool, EngineError> {
        remove(&Variants::find()?, Ipset::find().as_ref())
    }
}
