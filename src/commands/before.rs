//! The rules that decide before an apply, by the kernel and the records.

use anyhow::Context;
use dockfw_policy::engine::{Engine, EngineName};
use dockfw_policy::ruleset::Ruleset;

use super::last::Last;
use crate::engines::{self, compile_for};

/// The rules that decide before an apply.
pub(super) enum Before {
    /// None of dockfw's.
    Nothing,
    /// Those of a recorded policy.
    Recorded {
        /// The engine that has them.
        engine: EngineName,
        /// The rules.
        ruleset: Ruleset,
        /// The policy.
        last: Box<Last>,
    },
    /// They are unknown, for this reason.
    Unknown(String),
}

/// Returns what is in force, by the records; the kernel's rules must be those. `verify`: as [`engines::all`] has it.
pub(super) fn before(verify: bool) -> Before {
    for engine in engines::all(verify) {
        match engines::has_rules(engine.as_ref()) {
            Ok(true) => {
                return recorded(engine.as_ref()).unwrap_or_else(|why| Before::Unknown(format!("{why:#}")));
            }
            Ok(false) => {}
            Err(error) => return Before::Unknown(engines::untold(engine.as_ref(), &error)),
        }
    }
    Before::Nothing
}

fn recorded(engine: &dyn Engine) -> anyhow::Result<Before> {
    let last = Last::of_host()?.context("the policy in force is not recorded")?;
    let ruleset = compile_for(engine.name(), &last.policy);
    let is_unchanged = engine.read(Some(&ruleset))?.is_in_force();
    let recorded = Before::Recorded { engine: engine.name(), ruleset, last: Box::new(last) };
    is_unchanged.then_some(recorded).context("another program changed the rules in force")
}

/// Returns the rules of a host without dockfw.
pub(super) fn no_rules() -> Ruleset {
    Ruleset::default()
}
