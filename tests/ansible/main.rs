//! The Ansible role: a real ansible-core on one machine of the lab, a host with a real sshd on another.
//!
//! `./dev test` installs Ansible and names its directory of programs in `DOCKFW_ANSIBLE`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod fixture;
mod package;
mod play;

use std::process::ExitCode;

use anyhow::Result;
use dockfw_lab::{contain, layer};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use cases::CASES;
use fixture::AnsibleFixture;

/// What an installation changes, beside what each lab keeps in memory.
const INSTALLED_TO: [&str; 3] = ["/usr", "/var/cache", "/var/log"];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case has a lab of its own, but the names of network namespaces are shared, and what is installed is too.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let obstacle = prepare().err().map(|error| format!("{error:#}"));
    libtest_mimic::run(&arguments, trials(obstacle)).exit_code()
}

fn prepare() -> Result<()> {
    contain()?;
    AnsibleFixture::check()?;
    INSTALLED_TO.into_iter().try_for_each(layer)?;
    package::only_local_repositories()
}

fn trials(obstacle: Option<String>) -> Vec<Trial> {
    let runs = CASES.iter().map(|(name, case)| {
        let obstacle = obstacle.clone();
        Trial::ignorable_test(*name, move || {
            if let Some(reason) = obstacle {
                return Ok(Completion::ignored_with(reason));
            }
            let outcome = AnsibleFixture::raise().and_then(|fixture| case(&fixture));
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    runs.collect()
}
