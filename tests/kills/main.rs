//! Kills: dockfw dies at its n-th system call, for each n, and what is in force afterwards is one policy, wholly (S13).
//!
//! A plain run looks for the calls at which something changes, and kills next to them and at some others, which `DOCKFW_TEST_SEED`
//! repeats. `DOCKFW_KILLS=telling` kills at each call that can change something outside of its process, `DOCKFW_KILLS=all` at each.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod acts;
mod campaign;
mod checks;
mod host;
mod packets;
mod state;

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use dockfw_lab::{Dies, Trap, contain};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use acts::{Act, KillFixture, Known};
use campaign::{Amount, Campaign};
use checks::CHECKS;
use host::Engine;

/// Who dies, and what that is called.
const WAYS: [(Dies, &str); 2] = [(Dies::Program, "dockfw dies"), (Dies::Everything, "everything dies")];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(0, None)).exit_code();
    }
    let seed = seed();
    let obstacle = contain().and_then(|()| Trap::check()).err().map(|error| format!("{error:#}"));
    eprintln!("{SEED}={seed}");
    libtest_mimic::run(&arguments, trials(seed, obstacle.as_deref())).exit_code()
}

/// What repeats the random part of a run.
const SEED: &str = "DOCKFW_TEST_SEED";

fn seed() -> u64 {
    env::var(SEED).ok().and_then(|text| text.parse().ok()).unwrap_or_else(any)
}

fn any() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.subsec_nanos().into())
}

fn trials(seed: u64, obstacle: Option<&str>) -> Vec<Trial> {
    let judged =
        |check: fn() -> Result<()>| move || check().map_err(|error| Failed::from(format!("{error:#}")));
    let checks = CHECKS.iter().map(|(name, check)| Trial::test(format!("judgement::{name}"), judged(*check)));
    let mut trials: Vec<_> = checks.collect();
    for engine in Engine::ALL {
        let obstacle = obstacle.map(str::to_owned).or_else(|| engine.obstacle());
        for act in Act::ALL {
            for (dies, way) in WAYS {
                let name = format!("{}::S13::{act}: {way}", engine.name);
                trials.push(trial(name, engine, act, dies, seed, obstacle.clone()));
            }
        }
    }
    trials
}

fn trial(name: String, engine: Engine, act: Act, dies: Dies, seed: u64, obstacle: Option<String>) -> Trial {
    Trial::ignorable_test(name.clone(), move || {
        if let Some(reason) = obstacle {
            return Ok(Completion::ignored_with(reason));
        }
        let outcome = known(engine).and_then(|known| {
            let fixture = KillFixture::raise(engine, act, dies, &known)?;
            Campaign::new(&name, fixture).run(Amount::wanted()?, seed)
        });
        outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// What is in force on a host of this engine, found out once.
fn known(engine: Engine) -> Result<Arc<Known>> {
    static KNOWN: Mutex<BTreeMap<Engine, Arc<Known>>> = Mutex::new(BTreeMap::new());
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(&engine) {
        return Ok(known.clone());
    }
    let known = Arc::new(Known::of(engine).map_err(|error| anyhow!("without any kill: {error:#}"))?);
    all.insert(engine, known.clone());
    Ok(known)
}
