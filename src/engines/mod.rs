//! The two engines, and which one puts the policy in force.

pub(crate) mod decide;
pub(crate) mod facts;

use dockfw_compat::{Facts, Iptables};
use dockfw_policy::compile::compile;
use dockfw_policy::engine::{Engine, EngineError, Requirement};
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::ruleset::Ruleset;

use crate::host::docker;
use crate::nftables::Nftables;
use facts::Survey;

/// The native engine's name.
pub(crate) const NFTABLES: &str = "nftables";
/// The compat engine's name.
pub(crate) const IPTABLES: &str = "iptables";

/// The engine of this name, to be put to work. With `verify`, it compares every element of every set.
fn by_name(name: &str, verify: bool) -> Box<dyn Engine> {
    match name {
        IPTABLES => Box::new(Iptables::new(Facts { docker_uses_nftables: docker::uses_nftables() })),
        _ => Box::new(Nftables::new(verify)),
    }
}

/// The engines, each of which may have left something on the host: to be read and removed, for which they need to know
/// nothing of Docker.
pub(crate) fn all(verify: bool) -> [Box<dyn Engine>; 2] {
    [Box::new(Nftables::new(verify)), Box::new(Iptables::default())]
}

/// The engine that is not this one.
pub(crate) fn other_than(engine: &dyn Engine) -> Box<dyn Engine> {
    let [native, compat] = all(false);
    if engine.name() == NFTABLES { compat } else { native }
}

/// The engine that `backend` means on this host. One that is asked for by name is used or fails; there is no silent
/// fallback.
pub(crate) fn choose(backend: Backend, verify: bool) -> Result<Box<dyn Engine>, EngineError> {
    let name = match backend {
        Backend::Nftables => NFTABLES,
        Backend::Iptables => IPTABLES,
        Backend::Auto => choose_by_facts()?,
    };
    Ok(by_name(name, verify))
}

/// What is in force stays: that it could be read says that it works here, without asking for more.
fn choose_by_facts() -> Result<&'static str, EngineError> {
    if let Some(engine) = in_force(&all(false))? {
        return Ok(engine);
    }
    let decision = decide::decide(&survey()?);
    decision.map(|decision| decision.engine).map_err(|missing| EngineError::Unsupported(missing.join("; ")))
}

/// Reads everything that decides between the engines. An engine that this host can't have at all has its reason
/// among what is missing; a failure that may pass is an error.
pub(crate) fn survey() -> Result<Survey, EngineError> {
    let [native, compat] = [NFTABLES, IPTABLES].map(|name| by_name(name, false));
    Ok(Survey {
        nftables: requirements(native.as_ref())?,
        iptables: requirements(compat.as_ref())?,
        program: facts::program(),
        in_force: in_force(&[native, compat])?,
    })
}

fn requirements(engine: &dyn Engine) -> Result<Vec<Requirement>, EngineError> {
    match engine.probe() {
        Err(EngineError::Unsupported(reason)) => Ok(vec![Requirement {
            what: format!("the {} engine", engine.name()),
            source: "its own probe".into(),
            missing: Some(reason),
            optional: false,
        }]),
        result => result,
    }
}

/// The first engine of which something is there.
fn in_force(engines: &[Box<dyn Engine>]) -> Result<Option<&'static str>, EngineError> {
    for engine in engines {
        if is_present(engine.as_ref())? {
            return Ok(Some(engine.name()));
        }
    }
    Ok(None)
}

/// Whether anything of an engine is on the host. Of one that the host can't have, nothing is.
pub(crate) fn is_present(engine: &dyn Engine) -> Result<bool, EngineError> {
    match engine.read(None) {
        Ok(state) => Ok(state.present),
        Err(EngineError::Unsupported(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Compiles a policy for the engine of this name. The early drop is the native one's alone: in iptables' tables, what depends on the
/// policy must stand in one table to be replaced at once.
pub(crate) fn compile_for(engine: &str, policy: &Policy) -> Ruleset {
    let mut policy = policy.clone();
    policy.engine.prefilter &= engine == NFTABLES;
    compile(&policy)
}
