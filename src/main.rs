//! dockfw: a firewall for Docker and Docker Swarm hosts.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;
mod commands;
mod enact;
mod engines;
mod exit;
mod explain;
mod exposure;
mod files;
mod foreign;
mod host;
mod import;
mod lock;
mod manual;
mod nftables;
mod records;
mod safety;
mod takeover;
mod talk;
mod text;
mod trial;

use clap::Parser;

use cli::{Cli, Verb};
use dockfw_policy::engine::EngineError;
use exit::Exit;
use talk::say;

fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return talk::usage(&error),
    };
    start_log(cli.verbose);
    match run(&cli) {
        Ok(exit) => talk::end(exit),
        Err(error) => {
            complain(&error);
            exit::of_error(&error)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.verb {
        Verb::Apply(options) => commands::apply::run(&cli.config, options),
        Verb::Confirm => commands::confirm::run(),
        Verb::Rollback => commands::rollback::run(),
        Verb::Boot(options) => commands::boot::run(&cli.config, options),
        Verb::Watch { id } => trial::watch(id),
        Verb::Check(options) => commands::check::run(&cli.config, options),
        Verb::Diff(options) => commands::diff::run(&cli.config, options),
        Verb::Explain(options) => commands::explain::run(&cli.config, options),
        Verb::Show(options) => commands::show::run(&cli.config, options),
        Verb::Status(options) => commands::status::run(&cli.config, options),
        Verb::Import(options) => commands::import::run(options),
        Verb::Remove => commands::remove::run(),
        Verb::Probe(options) => commands::probe::run(options),
        Verb::Man(options) => commands::man::run(options),
        Verb::Completions(options) => commands::completions::run(options),
    }
}

/// Warnings always; more with `-v`, or as `RUST_LOG` says.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level))
        .format_timestamp(None)
        .init();
}

/// Says on stderr what went wrong.
fn complain(error: &anyhow::Error) {
    let mut text = format!("{error:#}");
    if let Some(EngineError::Refused(refusals)) = error.downcast_ref() {
        text.extend(refusals.iter().map(|refusal| format!("\n  {refusal}")));
    }
    say(text);
}
