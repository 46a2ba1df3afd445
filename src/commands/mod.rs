//! What each verb does.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod diff;
mod differences;
pub(crate) mod probe;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod status;

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use dockfw_policy::compile;
use dockfw_policy::policy::Policy;
use dockfw_policy::{LoadOptions, Loaded};

use crate::exit::{Exit, Stop};
use crate::files::Disk;
use crate::host::{docker, helpers, links};
use crate::safety;

/// Reads and validates the policy. `force` takes what would be refused for the operator's safety.
fn load(path: &Path, force: bool) -> anyhow::Result<Policy> {
    let options = LoadOptions { allow_trusting_everyone: force };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match dockfw_policy::load(path, &Disk, options) {
        Ok(Loaded { policy, warnings }) => {
            if !warnings.is_empty() {
                eprintln!("{}", warnings.render(colour));
            }
            Ok(policy)
        }
        Err(rejected) => Err(Stop::new(
            Exit::Usage,
            format!("the policy is wrong; nothing was changed\n{}", rejected.errors.render(colour)),
        )
        .into()),
    }
}

/// The policy as this host lets it be: without the early drop where that can't be sure of its verdicts.
fn fit_to_host(mut policy: Policy) -> Policy {
    if !policy.engine.prefilter {
        return policy;
    }
    if let Some(sign) = helpers::sign_of_use() {
        log::info!("no early drop of TCP SYNs: helpers of connection tracking may be in use ({sign})");
        policy.engine.prefilter = false;
    } else if !compile::prefilter_is_sure(&policy) {
        log::info!("no early drop of TCP SYNs: the policy has rules for containers' own ports");
    }
    policy
}

/// What speaks against the policy on this host, and what is worth saying of it.
struct Judgement {
    objections: Vec<String>,
    notes: Vec<String>,
}

/// Holds the policy against this host. `is_first`: nothing of dockfw is in force yet.
fn judge(policy: &Policy, is_first: bool) -> anyhow::Result<Judgement> {
    let links = links::read().context("can't read the host's interfaces")?;
    let mut objections = safety::false_bridges(policy, &links);
    if is_first {
        objections.extend(safety::unnamed(policy, &links));
    }
    let published = docker::published().unwrap_or_default();
    Ok(Judgement { objections, notes: safety::notes(policy, &links, &published) })
}

impl Judgement {
    /// Says the notes on stderr.
    fn say_notes(&self) {
        for note in &self.notes {
            eprintln!("dockfw: note: {note}");
        }
    }

    /// The refusal that the objections make, if there are any, behind these words.
    fn refusal(&self, words: &str) -> Option<Stop> {
        let list = self.objections.iter().map(|objection| format!("\n  {objection}")).collect::<String>();
        (!self.objections.is_empty()).then(|| Stop::new(Exit::Unsafe, format!("{words}:{list}")))
    }
}
