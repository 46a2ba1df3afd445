//! Builds the root file systems that labs can have, those of the named suites or all, unless they are cached.

use std::process::ExitCode;

use anyhow::Result;
use dockfw_lab::Root;

fn main() -> ExitCode {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let all = || Root::SUITES.map(str::to_owned).to_vec();
    let suites = if named.is_empty() { all() } else { named };
    let mut code = ExitCode::SUCCESS;
    for suite in suites {
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
