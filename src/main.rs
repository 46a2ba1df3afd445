//! dockfw: a firewall for Docker and Docker Swarm hosts.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;
mod commands;
mod draft;
mod enact;
mod engines;
mod exit;
mod explain;
mod exposure;
mod ffi;
mod files;
mod filters;
mod foreign;
mod guesses;
mod host;
mod lock;
mod manual;
mod message;
mod netlink;
mod nftables;
mod output;
mod records;
mod safety;
mod takeover;
mod trial;
mod unit;

#[cfg(test)]
mod fixtures;

use std::io::Write;

use clap::Parser;
use log::Level;

use cli::{Cli, Verb};
use exit::Exit;

fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    start_log(cli.verbose);
    match run(&cli) {
        Ok(exit) => {
            let only_shows = cli.verb.only_shows();
            output::end(exit, if only_shows { output::UNCHANGED } else { "the change is made all the same" })
        }
        Err(error) => {
            output::failure(&error);
            exit::of_error(&error)
        }
    }
}

/// Answers a command line that is none.
fn usage(error: &clap::Error) -> Exit {
    match guesses::answer(error) {
        Some(answer) => {
            output::error(answer);
            Exit::Usage
        }
        None => output::usage(error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.verb {
        Verb::Apply(options) => commands::apply::run(&cli.config, options, cli.verbose),
        Verb::Confirm => commands::confirm::run(),
        Verb::Rollback(options) => commands::rollback::run(options),
        Verb::Boot(options) => commands::boot::run(&cli.config, options),
        Verb::Watch { id } => trial::watch(id),
        Verb::Check(options) => commands::check::run(&cli.config, options),
        Verb::Diff(options) => commands::diff::run(&cli.config, options, cli.verbose),
        Verb::Explain(options) => commands::explain::run(&cli.config, options),
        Verb::Show(options) => commands::show::run(&cli.config, options),
        Verb::Status(options) => commands::status::run(&cli.config, options, cli.verbose),
        Verb::Init(options) => commands::init::run(&cli.config, options),
        Verb::Import(options) => commands::import::run(options),
        Verb::Remove => commands::remove::run(),
        Verb::Probe(options) => commands::probe::run(options),
        Verb::Man(options) => commands::man::run(options),
        Verb::Completions(options) => commands::completions::run(options),
    }
}

/// Returns the heading of a line of the log, which is that of everything dockfw writes to stderr.
fn heading(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Starts the log: always with warnings; with more if `-v` or `RUST_LOG` asks for it.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level))
        .format(|out, record| writeln!(out, "{}: {}", heading(record.level()), record.args()))
        .init();
}
