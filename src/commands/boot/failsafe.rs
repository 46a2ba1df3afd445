//! The fail-safe: what is in force if no policy can be.

use std::path::Path;

use anyhow::bail;
use dockfw_policy::Strictness;
use dockfw_policy::policy::{Backend, Policy};

use crate::cli::Failsafe;
use crate::enact::{self, InForce};
use crate::engines::{self, Chosen};
use crate::host::ssh;
use crate::lock::Lock;
use crate::records::Sources;

/// Puts the fail-safe in force, by the first engine that can. Programs that are started hold the lock, if there is one.
/// Also returns what the fail-safe does, in words.
pub(super) fn put_in_force(failsafe: Failsafe, lock: Option<&Lock>) -> anyhow::Result<(InForce, String)> {
    let (text, words) = text(failsafe);
    let policy = load(&text)?;
    lock.map(Lock::share).transpose()?;
    let mut failures = Vec::new();
    // An engine that hangs does not keep the other one from trying.
    for backend in Backend::ALL {
        match put_in_force_by(backend, &policy) {
            Ok(in_force) => return Ok((in_force, words)),
            Err(error) => failures.push(format!("{backend}: {error:#}")),
        }
    }
    bail!("not even the fail-safe could be put in force: {}", failures.join("; "))
}

fn put_in_force_by(backend: Backend, policy: &Policy) -> anyhow::Result<InForce> {
    let chosen = Chosen::by(backend, false)?;
    let ruleset = engines::compile_for(chosen.engine.name(), policy);
    chosen.engine.apply(&ruleset)?;
    Ok(InForce { chosen, ruleset })
}

fn load(text: &str) -> anyhow::Result<Policy> {
    let path = Path::new("/failsafe");
    enact::load_quietly(path, &Sources::of_file(path, text), Strictness::Strict)
}

/// Returns a policy for a host whose own is lost, and what it does in words.
fn text(failsafe: Failsafe) -> (String, String) {
    let closed = "trusted = []\n".to_owned();
    match failsafe {
        Failsafe::Closed => (closed, "nobody reaches anything, containers included".into()),
        Failsafe::Ssh => {
            let ports: Vec<_> = ssh::ports().iter().map(|port| format!("{port}/tcp")).collect();
            let quoted: Vec<_> = ports.iter().map(|port| format!("\"{port}\"")).collect();
            let rule = format!("[[allow]]\nname = \"ssh\"\nports = [{}]\nto = \"host\"\n", quoted.join(", "));
            let open = format!("everyone reaches {} of this host", ports.join(", "));
            (closed + &rule, format!("{open}; everything else is closed, containers included"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fail_safes_are_policies() {
        for failsafe in [Failsafe::Ssh, Failsafe::Closed] {
            let policy = load(&text(failsafe).0).unwrap();
            assert_eq!(policy.allow.len(), usize::from(failsafe == Failsafe::Ssh));
        }
    }
}
