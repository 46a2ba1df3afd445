//! dockfw's unit of systemd, which puts the policy in force at each boot.

use std::path::Path;

use dockfw_policy::policy::Backend;
use dockfw_policy::{Loaded, Strictness};
use serde::Serialize;

use crate::exit::{Exit, Stop};
use crate::files::Disk;
use crate::host::programs;
use crate::message::Message;
use crate::output::{note, result, warning};
use crate::records::{Recorder, State as Records, Store};

/// The unit's name.
const UNIT: &str = "dockfw.service";
/// What exists while systemd runs this host (sd_booted(3)). Without systemd, the unit does nothing.
const SYSTEMD: &str = "/run/systemd/system";

/// What it means for the next boot if the unit is not enabled.
const NOT_AT_BOOT: &str = "at the next boot, no policy is put in force";
/// The policy file that the unit's command reads.
const CONFIG: &str = "/etc/dockfw/dockfw.toml";
/// What a process has that systemd started for a unit (systemd.exec(5)).
const INVOCATION: &str = "INVOCATION_ID";

/// The unit, as systemd knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unit {
    /// What a boot makes of it.
    pub(crate) startup: Startup,
    /// What came of its last start.
    pub(crate) state: State,
}

/// What came of the last start of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It put the policy of the file in force.
    Active,
    /// There was none, or the unit was stopped since.
    Inactive,
    /// It did not put the policy of the file in force.
    Failed,
    /// It is under way, or unknown.
    Other,
}

/// What a boot makes of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Startup {
    /// The boot starts it.
    Enabled,
    /// The boot does not start it.
    Disabled,
    /// Nobody can start it.
    Masked,
}

/// Returns what a boot makes of the unit. Nothing if systemd does not run this host, or the unit is not installed, or
/// nobody can tell.
pub(crate) fn startup() -> Option<Startup> {
    if !Path::new(SYSTEMD).is_dir() {
        return None;
    }
    startup_of(&programs::ask("systemctl", &["is-enabled", UNIT])?.stdout)
}

/// Returns the unit, if systemd runs this host and has it.
pub(crate) fn find() -> Option<Unit> {
    let startup = startup()?;
    let answer = programs::ask("systemctl", &["is-active", UNIT]);
    Some(Unit { startup, state: answer.map_or(State::Other, |answer| state_of(&answer.stdout)) })
}

/// Reads the answer of `systemctl is-active` (systemctl(1)).
fn state_of(answer: &str) -> State {
    match answer.trim() {
        "active" => State::Active,
        "inactive" => State::Inactive,
        "failed" => State::Failed,
        _ => State::Other,
    }
}

impl Unit {
    /// Returns what is wrong with its state while rules are in force, if something is. An apply mends it.
    pub(crate) fn fault(&self) -> Option<Message> {
        let state = match self.state {
            State::Failed => "has failed",
            State::Inactive if self.startup == Startup::Enabled => "is stopped",
            State::Inactive | State::Active | State::Other => return None,
        };
        let message = Message::new(format!("{UNIT} {state}; the rules stay in force all the same"));
        let message = message.meaning(
            "but if another service reloads its rules, dockfw does not put the policy in force again",
        );
        Some(message.help("to see why: journalctl -u dockfw").help("to start it again: dockfw apply"))
    }

    /// Starts it again. Nothing that is in force changes by that. If systemd itself started this process for a unit,
    /// dockfw's own may have to wait for that one, so that nobody waits for it here.
    fn mend(&self, store: &Store) {
        if self.fault().is_none() || std::env::var_os(INVOCATION).is_some() || !starts_what_is_in_force(store)
        {
            return;
        }
        match programs::must_run("systemctl", &["start", UNIT]) {
            Ok(()) => note(format_args!("started {UNIT}, which was not active")),
            Err(error) => warning(
                Message::new(format!("{UNIT} could not be started: {error:#}"))
                    .meaning("the policy is in force all the same")
                    .help("to see why: journalctl -u dockfw"),
            ),
        }
    }
}

/// Returns whether a start of the unit puts in force what is in force already: the file is the confirmed policy.
fn starts_what_is_in_force(store: &Store) -> bool {
    let recorder = Recorder::new(&Disk);
    let loaded = dockfw_policy::load(Path::new(CONFIG), &recorder, Strictness::Confirmed);
    let (Ok(Loaded { policy, .. }), Ok(state)) = (loaded, store.read()) else { return false };
    let is_settled = state.pending.is_none() && !state.unrecorded;
    is_settled
        && recorder
            .into_sources()
            .seal()
            .is_ok_and(|sources| is_confirmed(&state, sources.digest(), policy.engine.backend))
}

/// Returns whether this policy, with the engine that it asks for, is the confirmed one.
fn is_confirmed(state: &Records, digest: &str, backend: Backend) -> bool {
    state.confirmed.as_ref().is_some_and(|confirmed| {
        let is_engine = matches!(backend, Backend::Auto) || backend == Backend::Named(confirmed.engine);
        confirmed.config == Path::new(CONFIG) && confirmed.digest == digest && is_engine
    })
}

/// Reads the answer of `systemctl is-enabled` (systemctl(1)).
fn startup_of(answer: &str) -> Option<Startup> {
    match answer.trim() {
        "enabled" => Some(Startup::Enabled),
        // What is enabled or linked in /run is gone after a restart; and what is only linked is not enabled.
        "disabled" | "enabled-runtime" | "linked" | "linked-runtime" => Some(Startup::Disabled),
        "masked" | "masked-runtime" => Some(Startup::Masked),
        // A unit of somebody's own making (static, generated…), or none.
        _ => None,
    }
}

impl Startup {
    /// Returns what the operator has to know: nothing if the unit is enabled.
    pub(crate) fn message(self) -> Option<Message> {
        let (state, commands) = match self {
            Self::Enabled => return None,
            Self::Disabled => ("not enabled", "systemctl enable dockfw"),
            Self::Masked => ("masked", "systemctl unmask dockfw && systemctl enable dockfw"),
        };
        let what = format!("{NOT_AT_BOOT}: {UNIT} is {state}");
        Some(Message::new(what).help(format!("to put the policy in force at each boot: {commands}")))
    }
}

/// Returns that the unit is not enabled, and what to type to keep the policy and enable it.
pub(crate) fn offer(keys: &str) -> Message {
    let what = format!("{NOT_AT_BOOT}: {UNIT} is not enabled");
    Message::new(what).help(format!("to keep the policy and enable the unit: {keys}"))
}

/// What an operator wants of the unit, now that a policy is in force to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Each boot is to put the policy in force.
    Enable,
    /// Nothing was asked for.
    Keep,
}

impl Wish {
    /// Returns the wish of somebody who asked for `--enable`, or did not.
    pub(crate) fn of(enable: bool) -> Self {
        if enable { Self::Enable } else { Self::Keep }
    }

    /// Enables the unit if that is the wish, starts it if it is not active as it should be, and warns if it is not enabled.
    pub(crate) fn carry_out(self, store: &Store) -> anyhow::Result<()> {
        if self == Self::Enable {
            enable()?;
        }
        if let Some(unit) = find() {
            unit.mend(store);
            unit.startup.message().iter().for_each(warning);
        }
        Ok(())
    }
}

/// Warns if no policy will be in force after a restart.
pub(crate) fn warn_unless_enabled() {
    startup().and_then(Startup::message).iter().for_each(warning);
}

/// Fails if the unit can't be enabled later.
pub(crate) fn must_be_there() -> Result<(), Stop> {
    match startup() {
        Some(Startup::Enabled | Startup::Disabled) => Ok(()),
        Some(Startup::Masked) => {
            let what = format!("not applied: {UNIT} is masked, so it can't be enabled; nothing was changed");
            let help = "to unmask it, and then apply: systemctl unmask dockfw && dockfw apply --enable";
            Err(Stop::new(Exit::Failed, Message::new(what).help(help)))
        }
        None => {
            let what =
                format!("not applied: systemd has no {UNIT} to enable on this host; nothing was changed");
            Err(Stop::new(
                Exit::Unsupported,
                Message::new(what).help("to apply the policy without that: dockfw apply"),
            ))
        }
    }
}

/// Enables the unit, and reports that.
fn enable() -> anyhow::Result<()> {
    if startup() == Some(Startup::Enabled) {
        return Ok(());
    }
    programs::must_run("systemctl", &["enable", UNIT]).map_err(|error| {
        let message = Message::new(format!("the policy is in force, but {UNIT} could not be enabled"))
            .meaning(format!("cause: {error:#}"))
            .meaning(NOT_AT_BOOT)
            .help("remove the cause, then: systemctl enable dockfw");
        Stop::new(Exit::Failed, message)
    })?;
    result(format_args!("enabled: {UNIT} puts the policy in force at each boot"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_systemd_are_read() {
        for (answer, startup) in [
            ("enabled\n", Some(Startup::Enabled)),
            ("disabled\n", Some(Startup::Disabled)),
            ("enabled-runtime\n", Some(Startup::Disabled)),
            ("linked\n", Some(Startup::Disabled)),
            ("masked\n", Some(Startup::Masked)),
            ("static\n", None),
            ("not-found\n", None),
            ("", None),
        ] {
            assert_eq!(startup_of(answer), startup, "{answer}");
        }
    }

    #[test]
    fn only_what_is_not_as_it_should_be_is_a_fault() {
        assert_eq!(
            ["active\n", "failed\n", "inactive\n", "activating\n", ""].map(state_of),
            [State::Active, State::Failed, State::Inactive, State::Other, State::Other,]
        );
        let has_fault = |startup, state| Unit { startup, state }.fault().is_some();
        assert!(has_fault(Startup::Enabled, State::Inactive) && has_fault(Startup::Disabled, State::Failed));
        for (startup, state) in [
            (Startup::Enabled, State::Active),
            (Startup::Disabled, State::Inactive),
            (Startup::Enabled, State::Other),
        ] {
            assert!(!has_fault(startup, state), "{startup:?} {state:?}");
        }
    }

    #[test]
    fn what_is_enabled_needs_no_words() {
        assert_eq!(Startup::Enabled.message(), None);
        let masked = Startup::Masked.message().unwrap().to_string();
        assert!(masked.ends_with("systemctl unmask dockfw && systemctl enable dockfw"), "{masked}");
    }
}
