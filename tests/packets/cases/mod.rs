//! The cases, by what they are about.

mod docker;
mod host;

use anyhow::Result;

use crate::world::{Setting, World};

/// One case.
pub(crate) struct Case {
    /// The statements of `docs/security.md` that it proves.
    pub(crate) statements: &'static str,
    /// What it is about.
    pub(crate) name: &'static str,
    /// The case itself.
    pub(crate) run: fn(&World<'_>, Setting) -> Result<()>,
}

const fn case(statements: &'static str, name: &'static str, run: fn(&World<'_>, Setting) -> Result<()>) -> Case {
    Case { statements, name, run }
}

/// Who is trusted and who is blocked, in most cases.
pub(crate) const SOURCES: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]
blocked = ["192.0.2.40", "2001:db8:1::40"]
"#;

/// A policy of [`SOURCES`] and one rule that opens `ports` (each over TCP and UDP) to everyone.
pub(crate) fn opening(ports: &[&str], to: &str) -> String {
    let ports: Vec<_> = ports.iter().flat_map(|port| [format!("\"{port}/tcp\""), format!("\"{port}/udp\"")]).collect();
    let to = if to.is_empty() { String::new() } else { format!("to = \"{to}\"") };
    format!("{SOURCES}\n[[allow]]\nname = \"open\"\nports = [{}]\n{to}\n", ports.join(", "))
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("S2", "a policy applied before Docker's first start holds after it", docker::early_policy),
    case("S6", "a trusted source reaches every process and every published port", docker::trusted_reaches_all),
    case("S1", "a host process is closed unless a rule opens it", host::closed_unless_opened),
    case("S1", "a host process behind the operator's redirect goes by the number dialled", host::redirected),
    case("S1", "a container on the host's network is a process of the host", host::host_network),
    case("S2", "published ports are closed unless a rule opens them", docker::closed_unless_opened),
    case("S2", "a rule opens the number that clients dial", docker::number_dialled),
    case("S2", "a rule without to opens host and Docker alike", docker::without_to),
    case("S2", "a rule with from opens to its sources only", docker::scoped),
    case("S3", "containers' own addresses are closed whatever is published", docker::direct_closed),
    case("S3", "a rule to containers opens their own port", docker::direct_opened),
    case("S2", "someone else's translation of a number open for Docker stays closed", docker::foreign_translation),
];
