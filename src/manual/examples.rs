//! Examples of the command line, for the section EXAMPLES of each page.

use clap_mangen::roff::{Roff, bold, roman};

/// A command, and what it is for.
type Example = (&'static str, &'static str);

/// The way from no policy to one that is in force at each boot.
const PROGRAM: &[Example] = &[
    ("dockfw status", "Show what this host exposes, and to whom."),
    ("dockfw init", "Begin a policy for this host; then edit /etc/dockfw/dockfw.toml."),
    ("dockfw check", "Find mistakes, and what on this host matters for the policy."),
    ("dockfw apply --confirm 60s", "Put the policy in force, and roll it back unless it is confirmed."),
];

/// The examples of each subcommand.
const VERBS: &[(&str, &[Example])] = &[
    (
        "apply",
        &[
            ("dockfw apply --dry-run", "Show who would gain and who would lose which port."),
            ("dockfw apply --confirm 60s", "Put the policy in force for a minute, unless it is confirmed."),
            ("dockfw apply --confirm 5m --detach", "Do not wait: dockfw confirm keeps the policy."),
        ],
    ),
    ("confirm", &[("dockfw confirm", "Keep the policy that is on trial, from another session.")]),
    ("rollback", &[("dockfw rollback", "Go back to the policy before the last apply.")]),
    ("boot", &[("dockfw boot --failsafe closed", "If no policy can be put in force, let nobody in.")]),
    (
        "check",
        &[
            ("dockfw check", "Check /etc/dockfw/dockfw.toml on this host."),
            ("dockfw check --config ./next.toml", "Check another file before it is installed."),
        ],
    ),
    (
        "diff",
        &[
            ("dockfw diff", "Show who would gain and who would lose which port."),
            ("dockfw diff -v", "Show the rules and sets that differ, too."),
        ],
    ),
    (
        "explain",
        &[
            ("dockfw explain --from 203.0.113.9 --port 8080/tcp", "Does this address reach port 8080?"),
            (
                "dockfw explain --from 172.17.0.2 --in docker0 --port 53/udp",
                "Does this container reach the host's DNS?",
            ),
            (
                "dockfw explain --from office --to web --port 8080/tcp",
                "The same with names: a group, and a container.",
            ),
        ],
    ),
    (
        "show",
        &[
            ("dockfw show", "Print the rules of the native engine, for nft -f."),
            ("dockfw show --format json", "Print what both engines start from."),
        ],
    ),
    (
        "status",
        &[
            ("dockfw status", "Is the policy in force, and what does this host expose?"),
            ("dockfw status --strict --json", "The same for monitoring: exit code 7 if something is open."),
            ("dockfw status --watch", "Watch the counters."),
        ],
    ),
    (
        "init",
        &[
            ("dockfw init", "Begin a policy for this host, in /etc/dockfw/dockfw.toml."),
            ("dockfw init --print", "Print it, and write nothing."),
        ],
    ),
    (
        "import",
        &[
            ("dockfw import --live", "Print a policy for the live rules of the old layout."),
            (
                "dockfw import --output /etc/dockfw /etc/iptables/ipsets /etc/iptables/rules.v4",
                "Convert its files, and write the policy.",
            ),
        ],
    ),
    ("remove", &[("dockfw remove", "Remove all of dockfw's rules: then this host is open.")]),
    ("probe", &[("dockfw probe", "Which engine would dockfw choose, and why?")]),
    ("man", &[("dockfw man apply", "Print the page of dockfw apply, for man -l -.")]),
    (
        "completions",
        &[("dockfw completions bash", "Print the script for /usr/share/bash-completion/completions/dockfw.")],
    ),
];

/// Returns the section of the program's own page.
pub(super) fn of_program() -> Roff {
    section(PROGRAM)
}

/// Returns the section of a subcommand's page. Empty if there is none.
pub(super) fn of_verb(verb: &str) -> Roff {
    let found = VERBS.iter().find(|(name, _)| *name == verb);
    found.map_or_else(Roff::new, |(_, examples)| section(examples))
}

fn section(examples: &[Example]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (command, what) in examples {
        roff.control("TP", []).text([bold(*command)]).text([roman(*what)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_verb_has_examples_of_its_own() {
        let command = Cli::command();
        let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let names: Vec<_> = verbs.map(clap::Command::get_name).collect();
        let described: Vec<_> = VERBS.iter().map(|(name, _)| *name).collect();
        assert!(names.iter().all(|name| described.contains(name)), "{names:?}");
        assert_eq!(names.len(), described.len());
        for (verb, examples) in VERBS {
            let of_verb = format!("dockfw {verb}");
            assert!(examples.iter().all(|(command, _)| command.starts_with(&of_verb)), "{verb}");
        }
    }

    #[test]
    fn every_example_is_a_command_line() {
        let all = VERBS.iter().flat_map(|(_, examples)| *examples).chain(PROGRAM);
        for (command, _) in all {
            let parsed = Cli::command().try_get_matches_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
        }
    }
}
