//! `dockfw completions`

use clap::{Command, CommandFactory};

use crate::cli::{Cli, Completions, Shell};
use crate::exit::Exit;
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
    clap_complete::generate(shell, &mut visible(), PROGRAM, &mut script);
    write(script);
    Ok(Exit::Done)
}

/// Returns the command line without hidden verbs: the scripts would offer those too.
fn visible() -> Command {
    let whole = Cli::command();
    let verbs = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let visible = Command::new(PROGRAM).version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    visible.args(whole.get_arguments().cloned()).subcommands(verbs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_verbs_are_not_offered() {
        let command = visible();
        let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        assert!(verbs.contains(&"apply") && !verbs.contains(&"watch"), "{verbs:?}");
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut visible(), PROGRAM, &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("dockfw,apply)") && !script.contains("dockfw,watch)"), "{script}");
        for option in ["--config", "--verbose", "--version", "--dry-run", "nftables"] {
            assert!(script.contains(option), "{option}");
        }
    }
}
