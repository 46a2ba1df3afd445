//! A Swarm of two real Docker hosts, with clients beside them: the routing mesh, `mode=host` ports, and networks between the
//! nodes, with each engine.
//!
//! The mesh needs IPVS, an encrypted network ESP, which not every kernel has: then each case says so. The program needs
//! nothing but dockfw (`DOCKFW_TEST_PROGRAM`, by default the one that was built along) and Docker, so that it can be taken to
//! where they are.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod cases;
mod fixture;
mod forged;
mod kernel;
mod requests;
mod wire;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use dockfw_lab::{Engine, Programs, Variant, contain};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use cases::CASES;
use fixture::SharedFixture;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The cases share a Swarm: what one applies is in force for all.
    arguments.test_threads = Some(1);
    let obstacle = if arguments.list { None } else { obstacle() };
    let shared = Arc::new(SharedFixture::of(program()));
    let conclusion = libtest_mimic::run(&arguments, trials(&shared, obstacle.as_deref()));
    shared.clear();
    conclusion.exit_code()
}

/// The program under test.
fn program() -> PathBuf {
    env::var_os("DOCKFW_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_dockfw").into(), PathBuf::from)
}

/// Why no Swarm can be raised on this machine.
fn obstacle() -> Option<String> {
    let possible = contain().and_then(|()| Programs::check(&Variant::Native)).and_then(|()| kernel::check());
    possible.err().map(|error| format!("{error:#}"))
}

fn trials(shared: &Arc<SharedFixture>, obstacle: Option<&str>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for engine in Engine::BOTH {
        for case in CASES {
            let name = format!("{engine}::{}::{}", case.statements, case.name);
            let (shared, obstacle) = (shared.clone(), obstacle.map(str::to_owned));
            trials.push(Trial::ignorable_test(name, move || match obstacle {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => {
                    let outcome = shared.play(engine, case.run);
                    outcome
                        .map(|()| Completion::Completed)
                        .map_err(|error| Failed::from(format!("{error:#}")))
                }
            }));
        }
    }
    trials
}
