//! Verbs that people guess, because other firewalls and programs have them, and what to do instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::message::Message;

/// Where rules belong, for all that would change them on the command line.
const IN_FILE: &str = "what is open is in the policy file alone, /etc/dockfw/dockfw.toml";
/// How a changed file takes effect.
const THEN: &str = "then: dockfw apply --confirm 60s";

/// Guessed verbs, what is so instead, and what to do.
const GUESSES: &[(&[&str], &str, &[&str])] = &[
    (
        &["allow", "open", "add", "accept", "permit", "insert", "append", "limit", "publish"],
        IN_FILE,
        &["add a rule to it:\n[[allow]]\nname  = \"web\"\nports = [\"80/tcp\"]", THEN],
    ),
    (
        &["deny", "block", "drop", "reject", "ban", "close"],
        "what no rule of /etc/dockfw/dockfw.toml opens is closed",
        &[
            "to close a port, remove it from its [[allow]]",
            "to shut out an address, whatever is open:\nblocked = [\"198.51.100.7\"]",
            THEN,
        ],
    ),
    (&["trust", "whitelist"], IN_FILE, &["add the address to its list:\ntrusted = [\"203.0.113.7\"]", THEN]),
    (
        &["delete", "del", "rm", "unallow", "unblock", "unban", "untrust", "revoke"],
        IN_FILE,
        &["remove the line from it", THEN, "to remove all of dockfw's rules instead: dockfw remove"],
    ),
    (
        &["start", "reload", "restart", "load", "up", "on", "run", "activate", "refresh", "update"],
        "`apply` puts the policy file in force, without a gap",
        &["dockfw apply --confirm 60s", "to put it in force at each boot: systemctl enable dockfw"],
    ),
    (
        &["enable", "install"],
        "systemd puts the policy in force at each boot",
        &["systemctl enable dockfw", "to put it in force now: dockfw apply --confirm 60s"],
    ),
    (
        &["stop", "disable", "down", "off", "flush", "clear", "uninstall", "deactivate", "purge"],
        "`remove` removes all of dockfw's rules; then this host is open",
        &[
            "systemctl disable dockfw dockfw-again && dockfw remove",
            "to go back by one apply: dockfw rollback",
        ],
    ),
    (
        &["reset", "undo", "revert", "restore"],
        "`rollback` goes back by one apply, and `remove` removes everything",
        &["dockfw rollback", "dockfw remove"],
    ),
    (
        &["save", "store", "commit", "write", "persist"],
        "`apply` saves the policy that it puts in force, and `confirm` keeps one on trial",
        &["dockfw confirm", "to put it in force at each boot: systemctl enable dockfw"],
    ),
    (
        &["list", "ls", "rules", "ports", "info", "state"],
        "`status` lists what this host exposes to whom, and `show` the compiled rules",
        &["dockfw status", "dockfw show"],
    ),
    (
        &["edit", "config", "set"],
        "the policy is a file that you edit: /etc/dockfw/dockfw.toml",
        &["to begin one for this host: dockfw init", "dockfw check", THEN],
    ),
    (&["test", "validate", "verify", "lint"], "`check` does that", &["dockfw check"]),
    (
        &["log", "logs"],
        "drops are in the kernel's log, with `drops = true` in [log]",
        &["journalctl -k --grep dockfw"],
    ),
    (&["version"], "it is an option", &["dockfw --version"]),
];

/// Returns what to do instead, if the command line has a verb that people guess.
pub(crate) fn answer(error: &clap::Error) -> Option<Message> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(verb)) => answer_to(verb),
        _ => None,
    }
}

fn answer_to(verb: &str) -> Option<Message> {
    let (_, so, help) = GUESSES.iter().find(|(verbs, ..)| verbs.contains(&verb))?;
    let message = Message::new(format!("dockfw has no verb `{verb}`")).meaning(*so);
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
    fn a_guessed_verb_is_answered_whatever_comes_with_it() {
        for words in [
            &["dockfw", "allow"][..],
            &["dockfw", "allow", "80/tcp"],
            &["dockfw", "-v", "allow", "from", "192.0.2.1", "--port", "80"],
            &["dockfw", "--config", "x.toml", "allow", "80"],
        ] {
            let said = asked(words).unwrap_or_else(|| panic!("{words:?}"));
            assert!(said.starts_with("dockfw has no verb `allow`\n") && said.contains("[[allow]]"), "{said}");
        }
        for words in
            [&["dockfw", "statsu"][..], &["dockfw", "apply", "allow"], &["dockfw", "status"], &["dockfw"]]
        {
            assert_eq!(asked(words), None, "{words:?}");
        }
    }

    #[test]
    fn no_guess_is_a_verb_and_none_is_answered_twice() {
        let command = Cli::command();
        let verbs: BTreeSet<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        let guesses: Vec<_> = GUESSES.iter().flat_map(|(guesses, ..)| guesses.iter().copied()).collect();
        assert!(guesses.iter().all(|guess| !verbs.contains(guess)));
        assert_eq!(guesses.iter().collect::<BTreeSet<_>>().len(), guesses.len());
    }

    /// What is named after `dockfw` is a verb, with options that it has.
    #[test]
    fn commands_that_help_names_exist() {
        let help = GUESSES.iter().flat_map(|(_, _, help)| help.iter());
        for command in help.filter_map(|help| Some(&help[help.find("dockfw ")?..])) {
            let words: Vec<_> = command.split_whitespace().collect();
            if words.contains(&"&&") || words.first() != Some(&"dockfw") {
                continue;
            }
            let parsed = Cli::command().try_get_matches_from(&words);
            let is_fine = parsed.as_ref().map_or_else(|error| !error.use_stderr(), |_| true);
            assert!(is_fine, "{command}: {:?}", parsed.err());
        }
    }
}
