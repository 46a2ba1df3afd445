//! The command line. Help texts come from the comments here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use dockfw_policy::address::AddressRange;
use dockfw_policy::policy::Backend;
use dockfw_policy::resolve::advice;
use dockfw_policy::service::Service;

/// A firewall for Docker and Docker Swarm hosts.
///
/// Trusted addresses reach everything, everyone reaches the ports that the policy opens, and nothing else gets in,
/// whether a process of the host or a container would have answered.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The policy file. The files of conf.d/*.toml beside it are merged into it.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/dockfw/dockfw.toml")]
    pub(crate) config: PathBuf,
    /// Print more messages; with -vv, all of them.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What the exit codes mean: a line above, then one for each.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line or the policy is not valid
  3  the kernel refused
  4  not permitted
  5  not supported on this host
  6  not done, for the operator's safety
  7  the policy is not in force: never applied, rolled back, or changed by another program";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Put the policy in force.
    ///
    /// All or nothing, and without a gap: until the new policy is in force, the previous one is. Live connections stay
    /// up. If the policy is in force already, nothing changes.
    Apply(Apply),
    /// Keep the policy that `apply --confirm` put in force.
    Confirm,
    /// Go back by one apply.
    ///
    /// From a policy on trial to the confirmed one, or from the confirmed one to the previous one. If that was done already,
    /// the rules stay as they are. The policy file stays as it is too, without --write-file: no boot puts it in force until it
    /// is edited or applied by hand, but the next `apply` does.
    Rollback(Rollback),
    /// Put a policy in force when the host boots. For systemd units; by hand, use `apply`.
    ///
    /// Something is always in force at the end: the policy of the file, or else the policy that was confirmed last, or else
    /// the fail-safe. It succeeds only with the policy of the file, with readable records, and with no rules left of the
    /// other engine.
    Boot(Boot),
    /// Take a policy back when its time is over: what `apply --confirm` starts.
    #[command(hide = true)]
    Watch {
        /// Which apply's.
        id: String,
    },
    /// Check the policy file, and whether it is safe on this host. Changes nothing.
    Check(Check),
    /// Compare the policy with the rules in the kernel. Changes nothing.
    ///
    /// Exits with 7 if they differ. A `+` marks what an apply would add, a `-` what it would remove, and a `~` what it would
    /// replace.
    Diff(Diff),
    /// Explain what happens to a connection, which rule decides, and why. Changes nothing.
    ///
    /// The rules are those of the policy file. dockfw looks up the host's routes, what answers at the port, and, if dockfw
    /// accepts the connection, whether Docker's own rules and those of others accept it too. As root it knows more: which
    /// process listens, which engine is in force, and what Docker answers.
    Explain(Explain),
    /// Print the compiled rules, or the text of a policy that was applied.
    ///
    /// The rules of the policy file need no privileges.
    Show(Show),
    /// Show whether the policy is in force, and what this host exposes to whom.
    Status(Status),
    /// Write a starting policy for this host.
    ///
    /// Your own address, from which you are connected, is trusted, and SSH is open to everyone. Everything else that
    /// answers on this host is in the file as a comment, with who answers: remove the `# ` before what is to be open.
    /// Interfaces are in the class that fits them. If the file exists, nothing is written, except over the file of the
    /// package as it was installed. Nothing changes in the kernel.
    Init(Init),
    /// Convert the rules before dockfw into a policy.
    ///
    /// It reads the rules of the Ansible role iptables_docker or of its manual method: the set ip_allow, the chain FILTERS,
    /// and lines in DOCKER-USER. A file may be an ip_allow.set or /etc/iptables/ipsets, a rules file or the output of
    /// iptables-save, or Ansible variables; dockfw finds out which. Pass all files of a host: the set and the rules, or the
    /// variables and the set. Notes report what is left out, and what changes.
    Import(Import),
    /// Remove all rules, sets and records of dockfw.
    ///
    /// If dockfw.service is enabled, it puts the policy in force again at the next boot, or when another service loads
    /// rules. To prevent that, run `systemctl disable dockfw` first.
    Remove,
    /// Show what dockfw needs, what of it this host has, and which engine dockfw would choose.
    Probe(Probe),
    /// Print a page of the manual, for `man -l -`.
    Man(Man),
    /// Print a completion script for a shell.
    Completions(Completions),
}

impl Verb {
    /// Returns whether it changes nothing: neither the rules nor a file.
    pub(crate) fn only_shows(&self) -> bool {
        match self {
            Self::Apply(options) => options.dry_run,
            Self::Init(options) => options.print,
            Self::Import(options) => options.output.is_none(),
            Self::Man(options) => options.to.is_none(),
            Self::Confirm | Self::Rollback(_) | Self::Boot(_) | Self::Watch { .. } | Self::Remove => false,
            Self::Check(_)
            | Self::Diff(_)
            | Self::Explain(_)
            | Self::Show(_)
            | Self::Status(_)
            | Self::Probe(_)
            | Self::Completions(_) => true,
        }
    }
}

/// Options of `apply`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// The engine. By default, that of `[engine] backend` in the policy.
    #[arg(long, value_name = "ENGINE", value_parser = backend_parser())]
    pub(crate) backend: Option<Backend>,
    /// Print what would change, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: exit with 7 if something would change.
    #[arg(long, requires = "dry_run")]
    pub(crate) exit_code: bool,
    /// Apply on trial: roll the policy back unless it is confirmed within this time, as in 60s, 5m or 1h30m.
    ///
    /// Enter keeps the policy, or `dockfw confirm` in another session. Ctrl-C, a closed terminal or a lost session roll it
    /// back at once. Exits with 7 if the policy was rolled back.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "dry_run")]
    pub(crate) confirm: Option<Duration>,
    /// With --confirm: do not wait. Then `dockfw confirm` alone keeps the policy.
    #[arg(long, requires = "confirm")]
    pub(crate) detach: bool,
    /// Enable dockfw.service too, so that each boot puts the policy in force. With --confirm: once the policy is confirmed.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) enable: bool,
    /// Apply even if dockfw would refuse for your safety.
    #[arg(long)]
    pub(crate) force: bool,
    /// Compare every address with the kernel's, also in sets of more than 100,000, of which only a digest is compared
    /// otherwise. That may take a minute.
    #[arg(long)]
    pub(crate) verify: bool,
    /// After the old rules (FILTERS, DOCKER-USER and the set ip_allow) are removed: destroy the set, and disable the services
    /// that would load the rules at boot.
    #[arg(long, conflicts_with_all = ["confirm", "dry_run"])]
    pub(crate) retire_old: bool,
}

/// Options of `boot`.
#[derive(Args, Debug)]
pub(crate) struct Boot {
    /// What to put in force if neither the policy of the file nor a confirmed policy can be.
    #[arg(long, value_enum, default_value_t = Failsafe::Ssh)]
    pub(crate) failsafe: Failsafe,
}

/// The fail-safes of `boot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failsafe {
    /// Everyone reaches SSH of the host, and nothing else.
    Ssh,
    /// Nobody reaches anything.
    Closed,
}

/// Options of `check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Accept what `apply --force` would accept.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Options of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The engine. By default, that of `[engine] backend` in the policy.
    #[arg(long, value_name = "ENGINE", value_parser = backend_parser())]
    pub(crate) backend: Option<Backend>,
    /// Compare every address, also in sets of more than 100,000, of which only a digest is compared otherwise. That may take
    /// a minute.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `explain`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Who connects: an address, or the name of a list of the policy (a group, trusted, blocked) or of a container.
    #[arg(long, value_name = "ADDRESS|NAME", value_parser = parse_party)]
    pub(crate) from: Party,
    /// The port that is dialled, as in 8080/tcp, or a protocol without ports, as in esp.
    #[arg(long, value_name = "PORT", value_parser = parse_port)]
    pub(crate) port: Service,
    /// The incoming interface. By default, the one by which the host would answer.
    #[arg(long = "in", value_name = "INTERFACE")]
    pub(crate) incoming: Option<String>,
    /// The address that is dialled, or the name of a container or a list. By default, the host's own address towards the
    /// sender.
    #[arg(long, value_name = "ADDRESS|NAME", value_parser = parse_party)]
    pub(crate) to: Option<Party>,
    /// The engine. By default, the one that `apply` would use.
    #[arg(long, value_name = "ENGINE", value_parser = backend_parser())]
    pub(crate) backend: Option<Backend>,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Somebody in a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// By the address.
    Address(IpAddr),
    /// By a name.
    Named(String),
}

/// Options of `rollback`.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// Also write the text of the policy that is in force then into its files. What was there is kept beside them, with
    /// .rolled-back behind its name.
    #[arg(long)]
    pub(crate) write_file: bool,
}

/// Options of `show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Print the text of the policy that was put in force last: its file, those of conf.d and its lists, as they were then.
    #[arg(long, conflicts_with = "format")]
    pub(crate) in_force: bool,
    /// The same of the policy that was confirmed last, while another one is on trial.
    #[arg(long, conflicts_with_all = ["format", "in_force"])]
    pub(crate) confirmed: bool,
    /// The format.
    #[arg(long, value_enum, default_value_t = Format::Nft)]
    pub(crate) format: Format,
}

/// The forms that `show` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For `nft -f`: what the native engine puts in force, on a kernel with all that it can use.
    Nft,
    /// For `ipset restore` and `iptables-restore --noflush`: what the compat engine puts in force on a host without any of it.
    Iptables,
    /// The ruleset that all engines start from.
    Json,
}

/// Options of `status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Compare every address with what is in force, as `apply --verify` does.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 7 also if something can be reached that no rule covers, if that is unknown, or if dockfw.service is not
    /// enabled.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Show it again every second, with the rates of the counters, until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    pub(crate) watch: bool,
}

/// Options of `init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Print the policy, and write no file.
    #[arg(long)]
    pub(crate) print: bool,
}

/// Options of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The files.
    #[arg(required_unless_present = "live", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the rules and sets of this host instead of files.
    #[arg(long, conflicts_with = "files")]
    pub(crate) live: bool,
    /// Leave out lines that can't be read, with a note, instead of importing nothing.
    #[arg(long)]
    pub(crate) lenient: bool,
    /// Write dockfw.toml, and a file for each long list, into this directory instead of stdout. No file is overwritten.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) output: Option<PathBuf>,
    /// Write JSON, with the keys of the policy file.
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,
}

/// Options of `probe`.
#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `man`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The page, or the command that it is about.
    #[arg(value_name = "PAGE", default_value = "dockfw")]
    pub(crate) page: String,
    /// Write all pages into this directory instead.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "page")]
    pub(crate) to: Option<PathBuf>,
}

/// Options of `completions`.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// The shells that `completions` writes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// The GNU shell; the script belongs into /usr/share/bash-completion/completions.
    Bash,
    /// The friendly interactive shell; the script belongs into /usr/share/fish/vendor_completions.d.
    Fish,
    /// The Z shell; the script belongs into a directory of $fpath, as _dockfw.
    Zsh,
}

/// By a list of its own rather than as a `ValueEnum`: the names are the policy's.
fn backend_parser() -> impl TypedValueParser<Value = Backend> {
    let names = PossibleValuesParser::new(Backend::ALL.map(Backend::name));
    names.try_map(|typed| {
        let backend = Backend::ALL.into_iter().find(|backend| backend.name() == typed);
        backend.ok_or_else(|| format!("there is no engine {typed}"))
    })
}

/// One address, spelt and refused as in a policy file.
fn parse_address(text: &str) -> Result<IpAddr, String> {
    let range = text
        .parse::<AddressRange>()
        .map_err(|error| format!("{error}; {}", advice::address(text, &error)))?;
    let single = match range {
        AddressRange::V4(range) => range.is_single().then(|| IpAddr::from(range.first())),
        AddressRange::V6(range) => range.is_single().then(|| IpAddr::from(range.first())),
    };
    let sender = single.ok_or("this is more than one address: write a single one, as in 203.0.113.7")?;
    if sender.is_unspecified() || sender.is_multicast() {
        return Err("no single machine has this address".into());
    }
    Ok(sender)
}

/// An address, or a name: what has letters and no sign that only addresses have.
fn parse_party(text: &str) -> Result<Party, String> {
    let is_name = text.chars().any(char::is_alphabetic) && !text.contains([':', '/']);
    if is_name && text.parse::<AddressRange>().is_err() {
        return Ok(Party::Named(text.into()));
    }
    parse_address(text).map(Party::Address)
}

/// One port, spelt and refused as in a policy file.
fn parse_port(text: &str) -> Result<Service, String> {
    let service =
        text.parse::<Service>().map_err(|error| format!("{error}; {}", advice::service(text, &error)))?;
    match service {
        Service::Ports(_, range) if !range.is_single() => {
            Err("this is more than one port: write a single one, as in 80/tcp".into())
        }
        service => Ok(service),
    }
}

/// The shortest and the longest time that a policy may wait to be confirmed: nobody presses a key in less than a second, and
/// who has not for a day has forgotten it.
const CONFIRM_TIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(24 * 60 * 60)];

fn parse_time(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a time needs a unit: {text}s for seconds, {text}m for minutes"));
    }
    let time = humantime::parse_duration(text).map_err(|_| "a time is written as in 60s, 5m or 1h30m")?;
    let [shortest, longest] = CONFIRM_TIMES;
    if (shortest..=longest).contains(&time) { Ok(time) } else { Err("a time is from 1s to 24h".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(parse_time("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_time("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_time("60").unwrap_err().contains("60s for seconds"));
        for bad in ["", "-5s", "0s", "999ms", "25h", "5x", "99999999999999999999h"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
