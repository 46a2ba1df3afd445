//! What programs of this host say.

use std::path::Path;

use anyhow::{Context, bail};
use dockfw_system::programs::{Answer, Limits, find, run};

use crate::text::printable;

/// What a program prints on stdout; nothing if it is not there, fails or gives no answer.
pub(crate) fn said(name: &str, arguments: &[&str]) -> Option<String> {
    said_by(&find(name)?, arguments)
}

/// The same of a program whose path is known.
pub(crate) fn said_by(program: &Path, arguments: &[&str]) -> Option<String> {
    let answer = ask_by(program, arguments)?;
    if answer.status.success() {
        return Some(answer.stdout);
    }
    log::debug!("{} {}: {}", program.display(), arguments.join(" "), printable(&answer.complaint()));
    None
}

/// What a program answers, well or not; nothing if it is not there, or gives no answer.
pub(crate) fn ask(name: &str, arguments: &[&str]) -> Option<Answer> {
    ask_by(&find(name)?, arguments)
}

/// That it hung is told where it is run.
fn ask_by(program: &Path, arguments: &[&str]) -> Option<Answer> {
    run(program, arguments, "", Limits::QUESTION).inspect_err(|error| log::debug!("{error}")).ok()
}

/// Runs a program that must succeed; otherwise, what it complains of.
pub(crate) fn must_run(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let program = find(name).with_context(|| format!("the program {name} is not there"))?;
    let answer = run(&program, arguments, "", Limits::QUESTION)?;
    if answer.status.success() {
        return Ok(());
    }
    bail!("{} {}: {}", program.display(), arguments.join(" "), printable(&answer.complaint()))
}
