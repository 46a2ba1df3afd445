//! What programs of this host say.

use std::process::Command;

/// Where system programs are, for callers without these in their `PATH`.
const SYSTEM_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// What a program says on stdout, if it can be run.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("PATH", format!("{path}:{SYSTEM_PATH}"));
    String::from_utf8(command.output().ok()?.stdout).ok()
}
