//! What programs of this host say.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::text::printable;

/// Where system programs are, for callers without these in their `PATH`.
const SYSTEM_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// What a program says on stdout, if it can be run.
pub(crate) fn said(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    String::from_utf8(command(program, arguments).output().ok()?.stdout).ok()
}

/// Runs a program that must succeed; otherwise, what it complains of.
pub(crate) fn must_run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = command(program, arguments).output().with_context(|| format!("can't run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{program} {}: {}", arguments.join(" "), printable(&String::from_utf8_lossy(&output.stderr)))
}

fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("PATH", format!("{path}:{SYSTEM_PATH}"));
    command.stdin(Stdio::null());
    command
}
