//! Commands that people guess, because other firewalls and programs have them, and what to do instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::message::{Message, TRY};

/// Where rules belong, for all that would change them on the command line.
const IN_FILE: &str = "only the policy file decides what is open: /etc/dockfw/dockfw.toml";
/// How a boot gets the policy.
const AT_BOOT: &str = "to put it in force at each boot: systemctl enable dockfw";
/// How to go back.
const BACK: &str = "to go back by one apply: dockfw rollback";
/// How to be without dockfw.
const REMOVE: &str = "to remove all of dockfw's rules, now and at boots; the policy file stays: systemctl disable dockfw; dockfw remove";

/// Guessed commands, what is so instead, and what to do.
const GUESSES: &[(&[&str], &str, &[&str])] = &[
    (
        &["allow", "open", "add", "accept", "permit", "insert", "append", "limit", "publish"],
        IN_FILE,
        &[
            "to open a port, add a rule; without `from`, it is open to everyone:\n[[allow]]\nname  = \"web\"\n\
             ports = [\"80/tcp\"]",
            TRY,
        ],
    ),
    (
        &["deny", "block", "drop", "reject", "ban", "close"],
        "what no rule of the policy file opens is closed: /etc/dockfw/dockfw.toml",
        &[
            "to close a port, remove it from its [[allow]]",
            "to shut out an address, whatever is open, add it to its list:\nblocked = [\"198.51.100.7\"]",
            TRY,
        ],
    ),
    (
        &["trust", "whitelist"],
        IN_FILE,
        &["to trust an address, add it to its list:\ntrusted = [\"203.0.113.7\"]", TRY],
    ),
    (
        &["delete", "del", "rm", "unallow", "unblock", "unban", "untrust", "revoke"],
        IN_FILE,
        &["remove the line from it", TRY, REMOVE],
    ),
    (
        &["start", "reload", "restart", "load", "up", "on", "run", "activate", "refresh", "update"],
        "`apply` puts the policy file in force, and nothing is unfiltered meanwhile",
        &[TRY, AT_BOOT],
    ),
    (
        &["enable", "install"],
        "systemd puts the policy in force at each boot, if dockfw.service is enabled",
        &["to enable it: systemctl enable dockfw", TRY],
    ),
    (
        &["stop", "disable", "down", "off", "flush", "clear", "uninstall", "deactivate", "purge"],
        "`remove` removes all of dockfw's rules: this host is unprotected then",
        &[REMOVE, BACK],
    ),
    (
        &["reset", "undo", "revert", "restore"],
        "`rollback` goes back by one apply; `remove` removes all of dockfw's rules: this host is unprotected then",
        &[BACK, REMOVE],
    ),
    (
        &["save", "store", "commit", "write", "persist"],
        "`apply` saves the policy that it puts in force; `confirm` ends a trial and keeps its policy",
        &["if a policy is on trial, to keep it: dockfw confirm", AT_BOOT],
    ),
    (
        &["list", "ls", "rules", "ports", "info", "state"],
        "`status` lists what is open to whom; `show` prints the rules that dockfw makes from the policy",
        &["to see what is open: dockfw status", "to see the rules: dockfw show"],
    ),
    (
        &["edit", "config", "set"],
        "the policy is a file that you edit: /etc/dockfw/dockfw.toml",
        &["to begin one for this host: dockfw init", "to check it after an edit: dockfw check", TRY],
    ),
    (
        &["test", "validate", "verify", "lint"],
        "`check` does that",
        &["to check the policy file: dockfw check"],
    ),
    (
        &["log", "logs"],
        "drops are in the kernel's log, with `drops = true` in [log]",
        &["to see them: journalctl -k --grep dockfw"],
    ),
    (&["version"], "it is an option", &["to print it: dockfw --version"]),
];

/// Returns what to do instead, if the command line has a command that people guess.
pub(crate) fn answer(error: &clap::Error) -> Option<Message> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(command)) => answer_to(command),
        _ => None,
    }
}

fn answer_to(command: &str) -> Option<Message> {
    let (_, so, help) = GUESSES.iter().find(|(guesses, ..)| guesses.contains(&command))?;
    let message = Message::new(format!("dockfw has no command `{command}`")).meaning(*so);
    Some(help.iter().fold(message, |message, help| message.help(*help)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn asked(words: &[&str]) -> Option<String> {
        let error = Cli::command().try_get_matches_from(words).err()?;
        Some(answer(&error)?.to_string())
    }

    #[test]
    fn a_guessed_command_is_answered_whatever_comes_with_it() {
        for words in [
            &["dockfw", "allow"][..],
            &["dockfw", "allow", "80/tcp"],
            &["dockfw", "-v", "allow", "from", "192.0.2.1", "--port", "80"],
            &["dockfw", "--config", "x.toml", "allow", "80"],
        ] {
            let said = asked(words).unwrap_or_else(|| panic!("{words:?}"));
            assert!(
                said.starts_with("dockfw has no command `allow`\n") && said.contains("[[allow]]"),
                "{said}"
            );
        }
        for words in
            [&["dockfw", "statsu"][..], &["dockfw", "apply", "allow"], &["dockfw", "status"], &["dockfw"]]
        {
            assert_eq!(asked(words), None, "{words:?}");
        }
    }

    #[test]
    fn no_guess_is_a_command_and_none_is_answered_twice() {
        let command = Cli::command();
        let commands: BTreeSet<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        let guesses: Vec<_> = GUESSES.iter().flat_map(|(guesses, ..)| guesses.iter().copied()).collect();
        assert!(guesses.iter().all(|guess| !commands.contains(guess)));
        assert_eq!(guesses.iter().collect::<BTreeSet<_>>().len(), guesses.len());
    }

    /// What comes last is a command of dockfw, with options that it has.
    #[test]
    fn commands_that_help_names_exist() {
        let help = GUESSES.iter().flat_map(|(_, _, help)| help.iter());
        let commands = help.filter_map(|help| help.rsplit_once(": ")).flat_map(|(_, last)| last.split("; "));
        for command in commands.filter(|command| command.starts_with("dockfw ")) {
            let words: Vec<_> = command.split_whitespace().collect();
            let parsed = Cli::command().try_get_matches_from(&words);
            let is_fine = parsed.as_ref().map_or_else(|error| !error.use_stderr(), |_| true);
            assert!(is_fine, "{command}: {:?}", parsed.err());
        }
    }
}
