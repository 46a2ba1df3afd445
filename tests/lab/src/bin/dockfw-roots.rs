//! Builds the root file systems that labs can have, those of the named suites, unless they are cached.

use std::process::ExitCode;

use anyhow::Result;
use dockfw_lab::Root;

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for suite in std::env::args().skip(1) {
        if let Err(error) = tell(&suite) {
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
