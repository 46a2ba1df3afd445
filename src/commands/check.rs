//! `dockfw check`

use std::path::Path;

use super::{judge, load};
use crate::cli::Check;
use crate::engines::facts::other_firewalls;
use crate::exit::{Exit, Stop};

/// Validates the policy, and holds it against this host.
pub(crate) fn run(config: &Path, options: &Check) -> anyhow::Result<Exit> {
    let policy = load(config, options.force)?;
    let judgement = judge(&policy, true)?;
    judgement.say_notes();
    for firewall in other_firewalls() {
        eprintln!(
            "dockfw: note: {firewall} is running: what it drops stays dropped, for trusted sources too"
        );
    }
    match judgement.refusal().filter(|_| !options.force) {
        Some(refusal) => {
            Err(Stop::new(refusal.exit, format!("the policy is valid, but would be {}", refusal.message))
                .into())
        }
        None => {
            println!("{}: valid", config.display());
            Ok(Exit::Done)
        }
    }
}
