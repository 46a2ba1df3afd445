//! dockfw's unit of systemd, which puts the policy in force at each boot.

use std::path::Path;

use serde::Serialize;

use crate::exit::{Exit, Stop};
use crate::host::programs;
use crate::message::Message;
use crate::output::{result, warning};

/// The unit's name.
const UNIT: &str = "dockfw.service";
/// What exists while systemd runs this host (sd_booted(3)). Without systemd, the unit does nothing.
const SYSTEMD: &str = "/run/systemd/system";

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
        let what = format!("not in force after a restart of this host: {UNIT} is {state}");
        Some(Message::new(what).help(format!("to put the policy in force at each boot: {commands}")))
    }
}

/// Returns that the unit is not enabled, and what to type to keep the policy and enable it.
pub(crate) fn offer(keys: &str) -> Message {
    let what = format!("{UNIT} is not enabled: after a restart of this host, the policy is not in force");
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

    /// Enables the unit, or warns if it is not enabled.
    pub(crate) fn carry_out(self) -> anyhow::Result<()> {
        match self {
            Self::Enable => enable(),
            Self::Keep => {
                warn_unless_enabled();
                Ok(())
            }
        }
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
            Err(Stop::new(Exit::Failed, Message::new(what).help("systemctl unmask dockfw")))
        }
        None => {
            let what =
                format!("not applied: systemd has no {UNIT} to enable on this host; nothing was changed");
            Err(Stop::new(Exit::Unsupported, Message::new(what).help("leave out the option: --enable")))
        }
    }
}

/// Enables the unit, and reports that.
fn enable() -> anyhow::Result<()> {
    if startup() == Some(Startup::Enabled) {
        return Ok(());
    }
    programs::must_run("systemctl", &["enable", UNIT]).map_err(|error| {
        let what = format!("the policy is in force, but not after a restart of this host: {error:#}");
        Stop::new(Exit::Failed, Message::new(what).help("enable the unit by hand: systemctl enable dockfw"))
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
    fn what_is_enabled_needs_no_words() {
        assert_eq!(Startup::Enabled.message(), None);
        let masked = Startup::Masked.message().unwrap().to_string();
        assert!(masked.ends_with("systemctl unmask dockfw && systemctl enable dockfw"), "{masked}");
    }
}
