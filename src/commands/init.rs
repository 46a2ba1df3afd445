//! `dockfw init`

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use dockfw_policy::policy::Policy;
use dockfw_policy::{Files, Loaded, Strictness};
use dockfw_xtables::old;

use super::facts::{Gathered, gather};
use super::{Judgement, Novelty, judge, usage};
use crate::cli::Init;
use crate::draft::{self, Host};
use crate::engines;
use crate::exit::{Exit, Stop};
use crate::exposure::exposed_unfiltered;
use crate::files::{self, Disk};
use crate::filters::{firewalls, persistence};
use crate::host::docker::{self, Membership, Swarm};
use crate::host::{session, ssh};
use crate::message::{Message, TRY};
use crate::output::{self, diagnostics, note, write};
use crate::safety::usage::Usage;

/// The policy file of the packages. Nobody has edited a file with these bytes.
const SAMPLE: &str = include_str!("../../packaging/dockfw.toml");

/// What is in the place of the policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing.
    Free,
    /// The packages' file, as it was installed.
    Sample,
}

/// Writes a starting policy for this host.
pub(crate) fn run(config: &Path, options: &Init) -> anyhow::Result<Exit> {
    let place = if options.print { None } else { Some(place(config)?) };
    let text = text_for_this_host()?;
    let policy = must_load(config, &text)?;
    let Judgement { objections, .. } = judge(&policy, Novelty::New, || Ok(!engines::is_any_in_force()))?;
    match place {
        None => write(&text),
        Some(place) => {
            put(config, &text, place).with_context(|| format!("can't write {}", config.display()))?;
            note(wrote(config, &policy));
        }
    }
    objections.iter().for_each(output::warning);
    Ok(Exit::Done)
}

fn wrote(config: &Path, policy: &Policy) -> Message {
    let message = Message::new(format!("wrote {}", config.display()))
        .meaning("nothing has changed in the kernel")
        .help("in that file, remove the `# ` before what is to be open, then: dockfw check");
    let message = if policy.trusted.is_empty() {
        message.help("write your own address into its `trusted`, or nobody is trusted")
    } else {
        message
    };
    message
        .help(TRY)
        .help("once you have confirmed it, to put it in force at each boot: systemctl enable dockfw")
}

/// Returns what is in the place of the policy file. What somebody may have written is an error.
fn place(config: &Path) -> anyhow::Result<Place> {
    let unreadable = || format!("can't read {}", config.display());
    let metadata = match fs::symlink_metadata(config) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) => return Err(error).with_context(unreadable),
    };
    let limit = SAMPLE.len() as u64 + 1;
    if metadata.is_file() && Disk.read(config, limit).with_context(unreadable)? == SAMPLE.as_bytes() {
        return Ok(Place::Sample);
    }
    let message = Message::new(format!(
        "{} exists already, and is not the package's own; nothing was written",
        config.display()
    ))
    .help("to see a starting policy for this host: dockfw init --print")
    .help("to begin anew, move the file away first");
    Err(Stop::new(Exit::Failed, message).into())
}

fn put(config: &Path, text: &str, place: Place) -> io::Result<()> {
    match place {
        Place::Free => files::write_new(config, text),
        Place::Sample => files::replace(config, text.as_bytes()),
    }
}

/// Asks this host, and writes what it answers.
fn text_for_this_host() -> anyhow::Result<String> {
    let Gathered { facts, unknown, .. } = gather().context("can't read the host's interfaces")?;
    unknown.iter().for_each(|what| note(format_args!("unknown: {what}")));
    let bare = draft::bare(&facts).map_err(unfit)?;
    let used = usage::survey(&bare, &facts.links, &facts.published);
    let (exposed, _) = exposed_unfiltered(&facts);
    let peers = peers();
    let host = Host {
        origin: &session::origin(),
        ssh: &ssh::ports(),
        exposed: &exposed,
        facts: &facts,
        usage: &Usage { networks: facts.networks.clone(), ..used },
        peers: peers.as_ref(),
        others: &others(),
    };
    draft::write(&host).map_err(unfit)
}

fn unfit(rejected: dockfw_policy::Rejected) -> anyhow::Error {
    anyhow::anyhow!("dockfw can't describe this host in a policy; nothing was written\n{rejected}")
}

/// Returns the other nodes of the Swarm, as far as they are known; nothing if this host is in none.
fn peers() -> Option<BTreeSet<IpAddr>> {
    let Membership::Node(Swarm { address, managers, .. }) = docker::membership()? else { return None };
    let nodes = docker::nodes().unwrap_or_default().into_iter().filter_map(|node| node.address);
    let all = managers.into_iter().chain(nodes);
    Some(all.filter(|peer| Some(*peer) != address && !peer.is_unspecified()).collect())
}

/// Returns what else filters here, in sentences.
fn others() -> Vec<String> {
    let running = firewalls::running();
    let running =
        running.iter().map(|firewall| format!("{firewall} is running: what it drops stays dropped"));
    let is_old = old::find().is_ok_and(|rules| !rules.is_empty());
    let old = is_old.then(|| "the old rules (ip_allow): `dockfw import --live` converts them".to_owned());
    let stored = persistence::find().into_iter();
    let stored = stored.map(|one| format!("{} loads the old rules at boot, from {}", one.unit, one.file));
    running.chain(old).chain(stored).collect()
}

/// Reads the policy as `apply` would, with the files that are beside it.
fn must_load(config: &Path, text: &str) -> anyhow::Result<Policy> {
    let files = WithDraft { config, text };
    match dockfw_policy::load(config, &files, Strictness::Strict) {
        Ok(Loaded { policy, warnings }) => {
            if !warnings.is_empty() {
                diagnostics(warnings.render(output::stderr_has_colours()));
            }
            Ok(policy)
        }
        Err(rejected) => {
            diagnostics(rejected.errors.render(output::stderr_has_colours()));
            let message =
                Message::new("nothing was written: with the files of conf.d, the policy is not valid")
                    .help("move them away, or write the policy file by hand")
                    .help("to see what it would be without them: dockfw init --print --config ./dockfw.toml");
            Err(Stop::new(Exit::Usage, message).into())
        }
    }
}

/// The disk, as it is once the policy is written.
struct WithDraft<'a> {
    config: &'a Path,
    text: &'a str,
}

impl Files for WithDraft<'_> {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        if path != self.config {
            return Disk.read(path, limit);
        }
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(self.text.len());
        Ok(self.text.as_bytes().get(..length).unwrap_or_default().to_vec())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Disk.list(directory)
    }
}
