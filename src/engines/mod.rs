//! The two engines, and which one puts the policy in force.

#[cfg(not(feature = "compat"))]
mod absent;
#[cfg(feature = "compat")]
mod compat;
pub(crate) mod decide;
pub(crate) mod facts;

use dockfw_policy::compile::{EarlyDrop, compile_with};
use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{Engine, EngineError, EngineName, Presence, Requirement, State};
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::reverse_path;
use dockfw_policy::ruleset::Ruleset;

use crate::filters::helpers;
use crate::lock::Lock;
use crate::message::Message;
use crate::nftables::Nftables;
use crate::output::{note, warning};
#[cfg(not(feature = "compat"))]
use absent as compat;
use facts::Survey;

/// Returns the engine of this name. With `verify`, it compares every element of every set.
fn by_name(name: EngineName, verify: bool) -> Box<dyn Engine> {
    match name {
        EngineName::Nftables => Box::new(Nftables::new(verify)),
        EngineName::Iptables => Box::new(compat::engine()),
    }
}

/// Fails if this program was built without the engine.
fn must_be_built_in(name: EngineName) -> Result<(), EngineError> {
    match name {
        EngineName::Nftables => Ok(()),
        EngineName::Iptables => compat::must_be_built_in(),
    }
}

/// Returns both engines: each may have left something on the host.
pub(crate) fn all(verify: bool) -> [Box<dyn Engine>; 2] {
    EngineName::ALL.map(|name| by_name(name, verify))
}

/// Returns the other engine.
fn other_than(engine: &dyn Engine) -> Box<dyn Engine> {
    by_name(engine.name().other(), false)
}

/// What is on the host, compared with a policy that should be in force.
pub(crate) struct Compared {
    /// How the two differ.
    pub(crate) differences: Vec<Difference>,
    /// Why packets do not reach what is there, if so.
    pub(crate) unfit: Option<String>,
}

impl Compared {
    /// Returns whether packets meet the policy, and nothing else.
    pub(crate) fn is_same(&self) -> bool {
        self.differences.is_empty() && self.unfit.is_none()
    }
}

/// The engine that is to put a policy in force.
pub(crate) struct Chosen {
    /// The engine.
    pub(crate) engine: Box<dyn Engine>,
    /// The other one.
    other: Box<dyn Engine>,
    /// How much of the other engine is on the host.
    left: Presence,
}

impl Chosen {
    /// Returns the engine that `backend` means on this host.
    pub(crate) fn by(backend: Backend, verify: bool) -> Result<Self, EngineError> {
        Ok(Self::of(choose(backend, verify)?))
    }

    /// Returns this engine, which had a policy in force once, whether it still works here or not.
    pub(crate) fn named(engine: EngineName) -> Self {
        Self::of(by_name(engine, false))
    }

    fn of(engine: Box<dyn Engine>) -> Self {
        let other = other_than(engine.as_ref());
        let left = presence_beside(other.as_ref());
        Self { engine, other, left }
    }

    /// Returns the engine that a policy was in force by, if it still works here; otherwise as `auto`.
    pub(crate) fn preferring(last: EngineName) -> Result<Self, EngineError> {
        let chosen = Self::named(last);
        let missing = decide::missing(&requirements(chosen.engine.as_ref())?);
        if missing.is_empty() {
            return Ok(chosen);
        }
        let (name, missing) = (chosen.engine.name(), missing.join("; "));
        warning(
            Message::new(format!("the {name} engine no longer works on this host: {missing}"))
                .meaning("it held the policy in force until now; dockfw changes to another engine"),
        );
        Ok(Self::named(decided()?))
    }

    /// Returns whether rules of dockfw are on the host, of either engine.
    pub(crate) fn is_any_there(&self) -> Result<bool, EngineError> {
        Ok(self.left == Presence::Rules || has_rules(self.engine.as_ref())?)
    }

    /// Returns how what is on the host differs from a policy that is in force, by this engine alone.
    pub(crate) fn differences(&self, ruleset: &Ruleset) -> Result<Vec<Difference>, EngineError> {
        self.compare(ruleset).map(|compared| compared.differences)
    }

    /// Returns the same, and whether packets reach what is there.
    pub(crate) fn compare(&self, ruleset: &Ruleset) -> Result<Compared, EngineError> {
        let State { mut differences, unfit, .. } = self.engine.read(Some(ruleset))?;
        differences.extend(self.left_of_other());
        Ok(Compared { differences, unfit })
    }

    /// Returns everything that the other engine has on the host: it is never wanted.
    fn left_of_other(&self) -> Option<Difference> {
        self.left.as_difference(self.other.name())
    }

    /// Puts a policy in force. Returns the differences that this removed. Rules of the other engine stay beside it, until
    /// [`clear_other`](Self::clear_other): the host has rules at every moment between the two.
    pub(crate) fn put_in_force(
        &self,
        ruleset: &Ruleset,
        lock: &Lock,
    ) -> Result<Vec<Difference>, EngineError> {
        share(lock)?;
        self.engine.apply(ruleset)
    }

    /// Removes what the other engine has on the host, now that this one's rules are in force. Returns what was removed. If
    /// it fails, both rulesets decide, which blocks more and lets nothing more in.
    pub(crate) fn clear_other(&self, lock: &Lock) -> Result<Option<Difference>, EngineError> {
        if self.left == Presence::Nothing {
            return Ok(None);
        }
        share(lock)?;
        let [engine, other] = [self.engine.name(), self.other.name()];
        self.other.remove().map_err(|error| not_removed(engine, other, error))?;
        if self.left == Presence::Rules {
            note(format_args!(
                "the policy is in force by {engine} now; the rules of the {other} engine are removed"
            ));
        }
        Ok(self.left_of_other())
    }
}

fn not_removed(engine: EngineName, other: EngineName, error: EngineError) -> EngineError {
    let doing = format!(
        "the policy is in force by {engine}, but rules of {other} could not be removed, and filter packets too; dockfw boot tries again"
    );
    error.after_the_fact(doing)
}

fn share(lock: &Lock) -> Result<(), EngineError> {
    lock.share().map_err(|source| EngineError::Io { doing: "can't share the lock".into(), source })
}

/// Removes everything of both engines. Returns whether there was anything. An error if an engine can't read its rules
/// or can't remove all of them; the other engine's rules are removed all the same.
pub(crate) fn remove(lock: &Lock) -> Result<bool, EngineError> {
    share(lock)?;
    match all(false).map(|engine| (engine.name(), remove_all_of(engine.as_ref()))) {
        [(_, Ok(one)), (_, Ok(other))] => Ok(one | other),
        [(gone, Ok(true)), (left, Err(error))] | [(left, Err(error)), (gone, Ok(true))] => {
            let doing = format!("the rules of the {gone} engine are removed; removing what {left} may have");
            Err(error.after_the_fact(doing))
        }
        [(_, Err(error)), _] | [_, (_, Err(error))] => Err(error),
    }
}

fn remove_all_of(engine: &dyn Engine) -> Result<bool, EngineError> {
    match engine.remove() {
        // An engine that this host does not support, unless it was in use once.
        Err(EngineError::Unsupported(reason)) if presence(engine)? == Presence::Nothing => {
            log::debug!("{}: {reason}", engine.name());
            Ok(false)
        }
        removed => removed,
    }
}

/// Returns the engine that `backend` means on this host. An engine that is named is used, or this fails; there is no
/// silent fallback.
fn choose(backend: Backend, verify: bool) -> Result<Box<dyn Engine>, EngineError> {
    let name = match backend {
        Backend::Named(name) => must_be_built_in(name).map(|()| name)?,
        Backend::Auto => choose_by_facts()?,
    };
    Ok(by_name(name, verify))
}

/// Returns the engine in force as long as it can work here, or else the decided one.
fn choose_by_facts() -> Result<EngineName, EngineError> {
    if let Some(name) = in_force(&all(false)).engine {
        match why_unfit(by_name(name, false).as_ref())? {
            None => return Ok(name),
            Some(reason) => log::warn!("the {name} engine, which is in force, can't go on: {reason}"),
        }
    }
    decided()
}

/// Returns the engine that all facts speak for.
fn decided() -> Result<EngineName, EngineError> {
    let decision = decide::decide(&survey()?);
    decision.map(|decision| decision.engine).map_err(|missing| EngineError::Unsupported(missing.join("; ")))
}

/// What this host has for a policy.
pub(crate) enum Prospect {
    /// An engine that works.
    Works,
    /// An engine that works, but not the one whose rules are in force: that one does not work any more, for this reason.
    Moves(String),
    /// No engine that works, for this reason.
    NoneWorks(String),
}

/// Returns what this host has for a policy with this backend.
pub(crate) fn prospect(backend: Backend) -> Result<Prospect, EngineError> {
    match backend {
        Backend::Named(name) => {
            let why = why_unusable(by_name(name, false).as_ref())?;
            Ok(why.map_or(Prospect::Works, |why| Prospect::NoneWorks(not_for_this_host(name, &why))))
        }
        Backend::Auto => prospect_by_facts(),
    }
}

fn prospect_by_facts() -> Result<Prospect, EngineError> {
    let moves = match in_force(&all(false)).engine {
        Some(name) => match why_unfit(by_name(name, false).as_ref())? {
            None => return Ok(Prospect::Works),
            Some(reason) => Prospect::Moves(not_for_this_host(name, &reason)),
        },
        None => Prospect::Works,
    };
    match decided() {
        Ok(_) => Ok(moves),
        Err(EngineError::Unsupported(missing)) => {
            Ok(Prospect::NoneWorks(format!("no engine works on this host: {missing}")))
        }
        Err(error) => Err(error),
    }
}

/// Returns why an engine can't put a policy in force on this host, if so.
fn why_unusable(engine: &dyn Engine) -> Result<Option<String>, EngineError> {
    let unfit = why_unfit(engine)?;
    if unfit.is_some() {
        return Ok(unfit);
    }
    let missing = decide::missing(&requirements(engine)?);
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}

fn not_for_this_host(name: EngineName, reason: &str) -> String {
    format!("the {name} engine is not for this host: {reason}")
}

/// Returns why an engine can't work on this host, if so.
fn why_unfit(engine: &dyn Engine) -> Result<Option<String>, EngineError> {
    match engine.must_be_fit() {
        Err(EngineError::Unsupported(reason)) => Ok(Some(reason)),
        Err(error @ EngineError::NotBuiltIn(_)) => Ok(Some(error.to_string())),
        fit => fit.map(|()| None),
    }
}

/// Reads everything that decides between the engines. If this host can't have an engine at all, the reason is among
/// what is missing; a failure that may be temporary is an error.
pub(crate) fn survey() -> Result<Survey, EngineError> {
    let [native, compat] = all(false);
    let (nftables, iptables) = (requirements(native.as_ref())?, requirements(compat.as_ref())?);
    let InForce { engine, unknown } = in_force(&[native, compat]);
    Ok(Survey { nftables, iptables, program: facts::program(), in_force: engine, unknown })
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

/// Which engine has rules on the host.
struct InForce {
    /// The first one that has.
    engine: Option<EngineName>,
    /// What is unknown, and why.
    unknown: Vec<String>,
}

fn in_force(engines: &[Box<dyn Engine>]) -> InForce {
    let mut unknown = Vec::new();
    let engine = engines.iter().find(|engine| {
        has_rules(engine.as_ref()).unwrap_or_else(|error| {
            unknown.push(untold(engine.as_ref(), &error));
            false
        })
    });
    InForce { engine: engine.map(|engine| engine.name()), unknown }
}

/// Returns whether rules of any engine are on the host, as far as that is known.
pub(crate) fn is_any_in_force() -> bool {
    in_force(&all(false)).engine.is_some()
}

/// Returns the words for: it is unknown whether rules of an engine are there.
pub(crate) fn untold(engine: &dyn Engine, error: &EngineError) -> String {
    format!("whether rules of the {} engine are on this host: {}", engine.name(), error.in_full())
}

/// Returns whether rules of an engine are on the host.
pub(crate) fn has_rules(engine: &dyn Engine) -> Result<bool, EngineError> {
    Ok(presence(engine)? == Presence::Rules)
}

/// Returns how much of an engine is on the host. If the host does not support the engine, that is nothing.
fn presence(engine: &dyn Engine) -> Result<Presence, EngineError> {
    match engine.read(None) {
        Ok(state) => Ok(state.presence),
        Err(EngineError::Unsupported(_)) => Ok(Presence::Nothing),
        Err(error) => Err(error),
    }
}

/// Returns the same, for callers that can do without it. A failure here keeps no other engine from its work: if there
/// are rules of both, both decide, which blocks more and lets nothing more in.
fn presence_beside(engine: &dyn Engine) -> Presence {
    presence(engine).unwrap_or_else(|error| {
        let what = format!(
            "unknown whether rules of the {} engine are on this host: {}",
            engine.name(),
            error.in_full()
        );
        warning(Message::new(what).meaning("if they are, they filter packets too"));
        Presence::Nothing
    })
}

/// Compiles a policy for an engine on this host. The compat engine has one table, which comes after connection tracking:
/// it drops nothing before that, and checks sources before destinations are translated.
pub(crate) fn compile_for(engine: EngineName, policy: &Policy) -> Ruleset {
    match engine {
        EngineName::Nftables => compile_with(policy, early_drop(policy)),
        EngineName::Iptables => {
            reverse_path::before_translation(compile_with(policy, after_tracking(policy)))
        }
    }
}

fn after_tracking(policy: &Policy) -> EarlyDrop {
    if policy.engine.prefilter { EarlyDrop::Tracked } else { EarlyDrop::Nothing }
}

/// Returns what may be dropped early on this host. Before connection tracking, a connection that one of its helpers
/// expects looks like any other.
fn early_drop(policy: &Policy) -> EarlyDrop {
    if !policy.engine.prefilter {
        return EarlyDrop::Nothing;
    }
    let Some(sign) = helpers::sign_of_use() else { return EarlyDrop::All };
    log::info!("no early drop of TCP SYNs: helpers of connection tracking may be in use ({sign})");
    EarlyDrop::Tracked
}

/// Returns whether an engine knows interfaces by their names alone, and not by their kind.
pub(crate) fn goes_by_names_alone(engine: EngineName) -> bool {
    match engine {
        EngineName::Nftables => false,
        EngineName::Iptables => true,
    }
}

/// Returns what the programs of ipset and iptables read for a policy on an empty host. The strings follow each other,
/// each after a line that names the program that reads it.
pub(crate) fn listing_of_iptables(policy: &Policy) -> Result<String, EngineError> {
    compat::listing(&compile_for(EngineName::Iptables, policy))
}
