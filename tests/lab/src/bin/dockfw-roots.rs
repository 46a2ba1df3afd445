//! Builds the root file systems that labs can have unless they are cached: those that the named Dockers need.

use std::process::ExitCode;

use anyhow::Result;
use dockfw_lab::{Choice, Root};

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let named: Vec<_> = std::env::args().skip(1).collect();
    for suite in named.iter().filter_map(|source| Choice::suite(source)) {
        if let Err(error) = tell(suite) {
            eprintln!("{error:#}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn tell(suite: &str) -> Result<()> {
    let root = Root::prepare(suite)?;
    println!("{suite}: docker.io {} in {}", root.docker_version()?, root.directory().display());
    Ok(())
}
