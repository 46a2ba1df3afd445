//! What programs of this host print.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use dockfw_policy::printable;
use dockfw_system::programs::{Answer, Limits, find, run};

/// The limits of a program that changes something: `systemctl enable` has systemd read all of its units again.
const CHANGE: Limits = Limits { time: Duration::from_secs(60), ..Limits::QUESTION };

/// Returns what a program prints on stdout; nothing if it is not there, fails or gives no answer.
pub(crate) fn said(name: &str, arguments: &[&str]) -> Option<String> {
    let program = find(name)?;
    let said = answer(&program, arguments);
    said.inspect_err(|why| log::debug!("{} {}: {why}", program.display(), arguments.join(" "))).ok()
}

/// Returns what a program answers, even if it fails; nothing if it is not there, or gives no answer.
pub(crate) fn ask(name: &str, arguments: &[&str]) -> Option<Answer> {
    // If it hung, that is reported where it is run.
    run(&find(name)?, arguments, "", Limits::QUESTION).inspect_err(|error| log::debug!("{error}")).ok()
}

/// Returns what a program that must succeed prints on stdout. The error is why it did not.
pub(crate) fn answer(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let answer = run(program, arguments, "", Limits::QUESTION).map_err(|error| error.to_string())?;
    if answer.status.success() { Ok(answer.stdout) } else { Err(printable(&answer.complaint())) }
}

/// Runs a program that must succeed. The error is the program's own.
pub(crate) fn must_run(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let program = find(name).with_context(|| format!("the program {name} is not installed"))?;
    let answer = run(&program, arguments, "", CHANGE)?;
    if answer.status.success() {
        return Ok(());
    }
    bail!("{} {}: {}", program.display(), arguments.join(" "), printable(&answer.complaint()))
}
