//! The packet matrix: a real dockerd, real clients, and what reaches what under which policy.
//!
//! Each case names the statements of `docs/security.md` that it proves, and runs with Docker on iptables-nft and on
//! iptables-legacy, with each engine, with and without the prefilter; `DOCKFW_TEST_DOCKER` names other releases' Dockers to run it with.
//! `DOCKFW_TEST_COMBINATIONS=usual` leaves of these each engine with the iptables that its own platforms have.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod bare;
mod cases;
mod expect;
mod fixture;
mod need;
mod shared;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use dockfw_lab::{Choice, Engine, LabOptions, Variant, contain};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use cases::{CASES, Case};
use fixture::Setting;

static VARIANTS: [(&str, Variant); 2] =
    [("iptables-nft", Variant::Nft), ("iptables-legacy", Variant::Legacy)];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The cases share a lab: what one applies is in force for all.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let obstacle = contain().err().map(|error| format!("{error:#}"));
    let conclusion = libtest_mimic::run(&arguments, trials(obstacle.as_deref()));
    shared::clear();
    conclusion.exit_code()
}

/// The program under test: the one that was built along, or the one that `DOCKFW_TEST_PROGRAM` names.
fn program() -> PathBuf {
    env::var_os("DOCKFW_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_dockfw").into(), PathBuf::from)
}

fn trials(obstacle: Option<&str>) -> Vec<Trial> {
    let (mut trials, only_usual) = (Vec::new(), only_usual());
    for choice in Choice::wanted() {
        for (variant_name, variant) in variants(&choice) {
            let name = format!("{}::{variant_name}", choice.name());
            let obstacle = obstacle.map(str::to_owned).or_else(|| choice.obstacle(variant));
            let lab = choice.lab(variant.clone(), Some(program()));
            for engine in engines(variant, only_usual) {
                let settings = settings(&choice, &lab);
                let settings = || settings.iter().filter(|setting| setting.engine == *engine);
                let cases = CASES.iter().filter(|case| case.is_for(choice.is_on_nftables()));
                let runs = cases.flat_map(|case| settings().map(move |setting| (case, *setting)));
                trials
                    .extend(runs.map(|(case, setting)| trial(&name, &lab, setting, case, obstacle.clone())));
            }
        }
    }
    trials
}

/// Where Docker is on its nftables backend, no variant of iptables matters.
fn variants(choice: &Choice) -> &'static [(&'static str, Variant)] {
    if choice.is_on_nftables() { &VARIANTS[..1] } else { &VARIANTS }
}

fn only_usual() -> bool {
    match env::var("DOCKFW_TEST_COMBINATIONS").as_deref() {
        Err(_) | Ok("all") => false,
        Ok("usual") => true,
        Ok(other) => panic!("DOCKFW_TEST_COMBINATIONS is all or usual, not {other:?}"),
    }
}

/// Both, or the one that is chosen where `iptables` is of this variant.
fn engines(variant: &Variant, only_usual: bool) -> &'static [Engine] {
    match variant {
        _ if !only_usual => &[Engine::Native, Engine::Compat],
        Variant::Legacy => &[Engine::Compat],
        _ => &[Engine::Native],
    }
}

/// There the compat engine refuses, which is a case of its own, and the prefilter is as with any other Docker.
/// What the prefilter changes does not depend on the Docker: this machine's is enough to run all without it.
fn settings(choice: &Choice, lab: &LabOptions) -> Vec<Setting> {
    let is_wanted = |setting: &Setting| match choice.is_on_nftables() {
        true => setting.engine == Engine::Native && setting.prefilter,
        false => lab.root.is_none() || setting.prefilter,
    };
    Setting::ALL.into_iter().filter(is_wanted).collect()
}

fn trial(
    lab_name: &str,
    lab: &LabOptions,
    setting: Setting,
    case: &'static Case,
    obstacle: Option<String>,
) -> Trial {
    let name = format!("{lab_name}::{setting}::{}::{}", case.statements, case.name);
    let lab = lab.clone();
    Trial::ignorable_test(name, move || {
        if let Some(reason) = obstacle.or_else(|| case.reason_not_to_run(setting, &lab)) {
            return Ok(Completion::ignored_with(reason));
        }
        let outcome =
            shared::on((lab, setting.engine, case.daemon), move |fixture| (case.run)(fixture, setting));
        outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}
