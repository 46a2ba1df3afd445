//! `dockfw check`

use std::path::Path;

use super::{judge, load};
use crate::cli::Check;
use crate::exit::Exit;
use crate::host::{docker, firewalls, persistence};
use crate::safety;

/// What is said before the objections.
const REFUSED: &str = "the policy is valid, but an apply would be refused here, for your safety";

/// Validates the policy, and holds it against this host.
pub(crate) fn run(config: &Path, options: &Check) -> anyhow::Result<Exit> {
    let policy = load(config, options.force)?;
    let mut judgement = judge(&policy, || Ok(true))?;
    judgement.notes.extend(firewalls::notes());
    judgement.notes.extend(persistence::notes());
    if let Some(swarm) = docker::swarm().flatten() {
        let nodes = docker::nodes().unwrap_or_default();
        judgement.notes.extend(safety::missing_peers(&policy, &swarm, &nodes));
    }
    judgement.say_notes();
    match judgement.refusal(REFUSED).filter(|_| !options.force) {
        Some(refusal) => Err(refusal.into()),
        None => {
            println!("{}: valid", config.display());
            Ok(Exit::Done)
        }
    }
}
