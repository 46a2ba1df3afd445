//! dockfw: a firewall for Docker and Docker Swarm hosts.

mod cli;
mod commands;
mod engines;
mod exit;
mod files;
mod host;
mod lock;
mod nftables;
mod safety;
mod text;

use clap::Parser;

use cli::{Cli, Verb};
use dockfw_policy::engine::EngineError;
use exit::Exit;

fn main() -> Exit {
    let cli = Cli::parse();
    start_log(cli.verbose);
    run(&cli).unwrap_or_else(|error| {
        complain(&error);
        exit::of_error(&error)
    })
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.verb {
        Verb::Apply(options) => commands::apply::run(&cli.config, options),
        Verb::Check(options) => commands::check::run(&cli.config, options),
        Verb::Diff(options) => commands::diff::run(&cli.config, options),
        Verb::Show(options) => commands::show::run(&cli.config, options),
        Verb::Status(options) => commands::status::run(&cli.config, options),
        Verb::Remove => commands::remove::run(),
        Verb::Probe(options) => commands::probe::run(options),
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
    eprintln!("dockfw: {error:#}");
    if let Some(EngineError::Refused(refusals)) = error.downcast_ref() {
        for refusal in refusals {
            eprintln!("  {refusal}");
        }
    }
}
