//! The subcommands.

pub(crate) mod apply;
mod before;
pub(crate) mod boot;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod confirm;
pub(crate) mod diff;
mod differences;
pub(crate) mod explain;
mod facts;
mod gains;
pub(crate) mod import;
pub(crate) mod init;
mod last;
mod lockout;
pub(crate) mod man;
mod new_connection;
pub(crate) mod probe;
pub(crate) mod remove;
mod rewrite;
pub(crate) mod rollback;
pub(crate) mod show;
pub(crate) mod status;
mod usage;

use std::io;
use std::path::Path;

use anyhow::Context;
use dockfw_policy::diagnostic::Report;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::Policy;
use dockfw_policy::{Files, Loaded, Strictness};

use crate::exit::{Exit, Stop};
use crate::exposure::{Facts, Held, held};
use crate::files::Disk;
use crate::filters::{self, live};
use crate::host::docker::{Network, Published};
use crate::host::links::Link;
use crate::host::{docker, links};
use crate::message::Message;
use crate::records::{Recorder, Sources};
use crate::safety::interfaces;
use crate::safety::usage::Usage;
use crate::{output, safety};

/// Reads and validates the policy. The error contains everything that is wrong with it.
fn load(path: &Path, strictness: Strictness) -> anyhow::Result<Policy> {
    load_from(path, &Disk, strictness)
}

/// Does the same, and returns the warnings instead of printing them.
fn load_silently(path: &Path, strictness: Strictness) -> anyhow::Result<Loaded> {
    loaded(path, &Disk, strictness)
}

/// Does the same as [`load`], and returns what the policy was read from.
fn load_recorded(path: &Path, strictness: Strictness) -> anyhow::Result<(Policy, Sources)> {
    let recorder = Recorder::new(&Disk);
    let policy = load_from(path, &recorder, strictness)?;
    Ok((policy, recorder.into_sources()))
}

/// Returns what is read for a policy, valid or not.
fn sources_on_disk(path: &Path) -> Sources {
    let recorder = Recorder::new(&Disk);
    // What is wrong with it, whoever applies it will hear.
    let _ = dockfw_policy::load(path, &recorder, Strictness::Confirmed);
    recorder.into_sources()
}

fn load_from(path: &Path, files: &dyn Files, strictness: Strictness) -> anyhow::Result<Policy> {
    let Loaded { policy, warnings } = loaded(path, files, strictness)?;
    show_warnings(&warnings);
    Ok(policy)
}

fn loaded(path: &Path, files: &dyn Files, strictness: Strictness) -> anyhow::Result<Loaded> {
    dockfw_policy::load(path, files, strictness).map_err(|rejected| {
        let is_missing = files.read(path, 0).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_missing {
            return no_file(path).into();
        }
        let message = Message::new(format!("the policy of {} is not valid", path.display()));
        let invalid = Stop::new(Exit::Usage, message.help("correct the file, then: dockfw check"));
        invalid.with_diagnostics(rejected.errors.render(output::stderr_has_colours())).into()
    })
}

fn no_file(path: &Path) -> Stop {
    let message = Message::new(format!("there is no policy file {}", path.display()))
        .help("to write a first one: dockfw init")
        .help("to use one in another place, add the option: --config FILE");
    Stop::new(Exit::Usage, message)
}

fn show_warnings(warnings: &Report) {
    if !warnings.is_empty() {
        output::diagnostics(warnings.render(output::stderr_has_colours()));
    }
}

/// What speaks against the policy on this host, and what is worth noting.
struct Judgement {
    objections: Vec<Message>,
    notes: Vec<Message>,
}

/// Whether a policy is put in force for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    /// It is, or that is unknown.
    New,
    /// It was in force before: what it takes from others was reported then.
    Known,
}

/// Checks the policy against this host. `is_first`: whether no policy is in force yet; only asked if it
/// matters. If so, the policy is refused for what others lose. Later that is only reported: they have lost it already,
/// or the change is intended.
fn judge(
    policy: &Policy,
    novelty: Novelty,
    is_first: impl FnOnce() -> Result<bool, EngineError>,
) -> anyhow::Result<Judgement> {
    let links = links::read().context("can't read the host's interfaces")?;
    let published = docker::published().unwrap_or_default();
    let networks = docker::networks().unwrap_or_default();
    let mut objections = interfaces::false_bridges(policy, &links, &networks);
    objections.extend(interfaces::wide_exemptions(policy, &links, &networks));
    objections.extend(interfaces::routed_crossings(policy, &links));
    let usage = match novelty {
        Novelty::New => usage::survey(policy, &links, &published),
        Novelty::Known => Usage::default(),
    };
    let usage = Usage { networks: networks.clone(), ..usage };
    let mut hurt: Vec<_> = interfaces::unnamed(policy, &links, &usage);
    hurt.extend(safety::usage::cut_off_clients(policy, &links, &usage));
    if !hurt.is_empty() && is_first()? {
        objections.append(&mut hurt);
    }
    let mut notes = hurt;
    notes.extend(safety::notes(policy, &links, &held_ports(&links, networks, published)));
    notes.extend(safety::usage::notes(policy, &usage));
    let mut judgement = Judgement { objections, notes };
    lockout::judge(policy, &links, &mut judgement);
    Ok(judgement)
}

/// Returns the published ports that docker-proxy holds for containers. If nothing is published, no rules of others are
/// read: while a host boots, for example.
fn held_ports(links: &[Link], networks: Vec<Network>, published: Vec<Published>) -> Vec<Held> {
    if published.is_empty() {
        return Vec::new();
    }
    let (others, docker) = (live::read(), filters::docker::behaviour());
    held(&Facts { links: links.to_vec(), networks, published, others, docker, ..Facts::default() })
}

impl Judgement {
    /// Reports it, with the objections as warnings: nothing is refused.
    fn warn(&self) {
        self.objections.iter().for_each(output::warning);
        self.notes.iter().for_each(output::note);
    }

    /// Reports it. Objections are errors, and end in this conclusion.
    fn refuse(&self, conclusion: Message) -> Result<(), Stop> {
        self.notes.iter().for_each(output::note);
        self.objections.iter().for_each(output::error);
        if self.objections.is_empty() { Ok(()) } else { Err(Stop::new(Exit::Unsafe, conclusion)) }
    }
}
