//! `dockfw apply`

use std::io::IsTerminal;
use std::path::Path;

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{Engine, EngineError};
use dockfw_policy::ruleset::Ruleset;

use super::{differences, fit_to_host, judge, load};
use crate::cli::Apply;
use crate::exit::Exit;
use crate::host::capabilities;
use crate::{engines, lock};

/// From so many addresses on, loading takes long enough to be announced.
const MANY: usize = 100_000;

/// What is said before the objections.
const REFUSED: &str = "not applied, for your safety; --force applies all the same";

/// Puts the policy in force.
pub(crate) fn run(config: &Path, options: &Apply) -> anyhow::Result<Exit> {
    let policy = fit_to_host(load(config, options.force)?);
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let _lock = lock::take()?;
    let engine = engines::choose(options.backend.unwrap_or(policy.engine.backend), options.verify)?;
    let engine = engine.as_ref();
    let other = engines::other_than(engine);
    let is_move = engines::is_present(other.as_ref())?;
    let judgement = judge(&policy, !is_move && !engines::is_present(engine)?)?;
    judgement.say_notes();
    if let Some(refusal) = judgement.refusal(REFUSED).filter(|_| !options.force) {
        return Err(refusal.into());
    }
    let ruleset = engines::compile_for(engine.name(), &policy);
    let moved = is_move.then(|| differences::of_other_engine(other.name()));
    if options.dry_run {
        engine.check(&ruleset)?;
        let mut found = engine.read(Some(&ruleset))?.differences;
        found.extend(moved);
        return Ok(say_differences(&found, options.exit_code));
    }
    announce(&ruleset);
    let mut changes = engine.apply(&ruleset)?;
    changes.extend(moved);
    // Only now that the new engine's rules are in force: between the two there is no moment without.
    if is_move {
        other.remove()?;
        eprintln!("dockfw: moved from the {} engine to {}", other.name(), engine.name());
    }
    say_changes(engine, &changes);
    Ok(Exit::Done)
}

fn say_differences(found: &[Difference], exit_code: bool) -> Exit {
    if found.is_empty() {
        println!("in force already; nothing would change");
        return Exit::Done;
    }
    differences::print(found);
    if exit_code { Exit::NotInForce } else { Exit::Done }
}

/// On a terminal, what takes long is said before.
fn announce(ruleset: &Ruleset) {
    let count: usize = ruleset.addresses.iter().map(|list| list.addresses.len()).sum();
    if count >= MANY && std::io::stderr().is_terminal() {
        eprintln!("dockfw: loading {count} addresses and networks");
    }
}

fn say_changes(engine: &dyn Engine, changes: &[Difference]) {
    if changes.is_empty() {
        println!("in force already ({}); nothing changed", engine.name());
        return;
    }
    differences::print(changes);
    println!("in force ({})", engine.name());
}
