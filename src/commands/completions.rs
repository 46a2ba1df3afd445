//! `dockfw completions`

use crate::cli::{Completions, Shell};
use crate::exit::Exit;
use crate::manual;
use crate::output::write;

/// The name under which shells know the program.
const PROGRAM: &str = "dockfw";

/// Writes the script by which a shell completes the command line.
pub(crate) fn run(options: &Completions) -> anyhow::Result<Exit> {
    let shell = match options.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    // Through memory: the generator would panic if it wrote to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut manual::command(), PROGRAM, &mut script);
    write(script);
    Ok(Exit::Done)
}
