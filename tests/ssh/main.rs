//! The operator's own connection: a real sshd on the host, and real clients that apply a policy from within their
//! session (S14).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod fixture;

use std::process::ExitCode;

use dockfw_lab::{Engine, contain};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use cases::CASES;
use fixture::SshFixture;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case has a lab of its own, but the names of network namespaces are shared.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let obstacle = contain().and_then(|()| fixture::possible()).err().map(|error| format!("{error:#}"));
    libtest_mimic::run(&arguments, trials(obstacle)).exit_code()
}

fn trials(obstacle: Option<String>) -> Vec<Trial> {
    let runs = Engine::BOTH.into_iter().flat_map(|engine| CASES.iter().map(move |case| (engine, case)));
    runs.map(|(engine, (name, case))| {
        let obstacle = obstacle.clone();
        Trial::ignorable_test(format!("{}::S14::{name}", engine.backend()), move || {
            if let Some(reason) = obstacle {
                return Ok(Completion::ignored_with(reason));
            }
            let outcome = SshFixture::raise(engine).and_then(|fixture| case(&fixture));
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    })
    .collect()
}
