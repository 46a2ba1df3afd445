//! The oracle under fire: while policies are applied, one after the other, packets come from all sides at full speed, and the fate of
//! each is held against the walk over the policies that may be in force at that instant.
//!
//! A packet that no such policy decides as it was decided is an error, however rare. So is, after an apply that was killed, one that
//! is decided by another policy than all others.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

/// Lists a module's own tests, which this program runs as trials: it has no other harness.
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TRIALS: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}

mod aim;
mod calibrate;
mod driver;
mod epochs;
mod field;
mod fire;
mod fixture;
mod frames;
mod hear;
mod judge;
mod ledger;
mod lists;
mod losses;
mod policies;
mod report;
mod run;
mod settings;
mod sources;
mod streams;
mod verdicts;

use std::process::ExitCode;

use dockfw_lab::{Engine, Programs, Variant, contain};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use settings::{FixtureKind, Settings};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has all processors to itself.
    arguments.test_threads = Some(1);
    let obstacle = if arguments.list { None } else { obstacle() };
    let mut trials = pure_trials();
    trials.extend(
        [("native", Engine::Native), ("compat", Engine::Compat)]
            .map(|(name, engine)| trial(name, engine, &obstacle)),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why no fixture can be raised on this machine. Puts the program into its container, too.
fn obstacle() -> Option<String> {
    match settings::fixture() {
        Ok(FixtureKind::Docker) => {
            let possible = contain().and_then(|()| Programs::check(&Variant::Legacy));
            possible.err().map(|error| format!("{error:#}"))
        }
        Ok(FixtureKind::Bare) => fixture::bare_obstacle(),
        // That is no reason to skip: the trial fails by it.
        Err(_) => None,
    }
}

/// The parts that decide, by themselves.
fn pure_trials() -> Vec<Trial> {
    let modules = [
        ("aim", aim::TRIALS),
        ("epochs", epochs::TRIALS),
        ("frames", frames::TRIALS),
        ("judge", judge::TRIALS),
        ("ledger", ledger::TRIALS),
        ("losses", losses::TRIALS),
        ("policies", policies::TRIALS),
    ];
    let tests = modules.into_iter().flat_map(|(module, tests)| tests.iter().map(move |test| (module, test)));
    let trial = |(module, (name, test)): (_, &(_, fn()))| {
        let test = *test;
        Trial::test(format!("{module}::{name}"), move || {
            test();
            Ok(())
        })
    };
    tests.map(trial).collect()
}

fn trial(name: &str, engine: Engine, obstacle: &Option<String>) -> Trial {
    let obstacle = obstacle.clone();
    Trial::ignorable_test(name, move || {
        if let Some(reason) = obstacle {
            return Ok(Completion::ignored_with(reason));
        }
        let outcome = Settings::of(engine).and_then(|settings| run::run(engine, &settings));
        outcome.map_err(|error| Failed::from(format!("{error:#}")))
    })
}
