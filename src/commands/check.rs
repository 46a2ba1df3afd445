//! `dockfw check`

use std::path::Path;

use anyhow::Context;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::Policy;
use dockfw_policy::{Loaded, Strictness};
use dockfw_xtables::tools::Variant;
use dockfw_xtables::variants::with_docker;

use super::facts::{Gathered, gather};
use super::{Novelty, judge, load_silently, show_warnings};
use crate::cli::Check;
use crate::engines;
use crate::exit::Exit;
use crate::filters::{self, firewalls, persistence};
use crate::host::docker::{self, Membership};
use crate::host::{capabilities, reverse_path};
use crate::message::Message;
use crate::output::{self, result};
use crate::safety::{self, host::Host};
use crate::unit;

/// Validates the policy, and compares it with this host.
pub(crate) fn run(config: &Path, options: &Check) -> anyhow::Result<Exit> {
    let Loaded { policy, warnings } = load_silently(config, Strictness::forced(options.force))?;
    let mut judgement = judge(&policy, Novelty::New, || Ok(!engines::is_any_in_force()))?;
    judgement.notes.extend(engine_note(&policy));
    judgement.notes.extend(firewalls::notes());
    judgement.notes.extend(persistence::notes());
    let gathered = gather().context("can't read the host's interfaces")?;
    judgement.notes.extend(notes_of_host(&policy, &gathered));
    judgement.notes.extend(rights_note(&gathered.unknown));
    if let Some(Membership::Node(swarm)) = docker::membership() {
        let nodes = docker::nodes().unwrap_or_default();
        judgement.notes.extend(safety::missing_peers(&policy, &swarm, &nodes));
    }
    let is_refused = !options.force && !judgement.objections.is_empty();
    let verdict = if is_refused {
        "valid, but `dockfw apply` would refuse it on this host, for your safety"
    } else {
        "valid"
    };
    result(format_args!("{}: {verdict}", config.display()));
    if is_refused {
        judgement.objections.drain(..).for_each(output::error);
    }
    show_warnings(&warnings);
    judgement.warn();
    unit::warn_unless_enabled();
    Ok(if is_refused { Exit::Unsafe } else { Exit::Done })
}

/// Returns a note if the engine does not work here any more. What can't be read without privileges is left out.
fn engine_note(policy: &Policy) -> Option<Message> {
    if !capabilities::has_net_admin() {
        return None;
    }
    let untold = |error: EngineError| {
        Some(format!("unknown whether the engine works on this host: {}", error.in_full()))
    };
    engines::why_not_for_this_host(policy.engine.backend).unwrap_or_else(untold).map(Message::new)
}

/// Returns what could not be looked at without privileges.
fn rights_note(unknown: &[String]) -> Option<Message> {
    if capabilities::has_net_admin() {
        return None;
    }
    let never = ["whether an engine works on this host", "which connections are in use, and would be lost"];
    let unseen: Vec<_> = never.into_iter().chain(unknown.iter().map(String::as_str)).collect();
    let message = Message::new("without root's rights, dockfw could not look at all of this host")
        .meaning(format!("not looked at:\n{}", unseen.join("\n")));
    Some(message.help("to look at all of it: sudo dockfw check"))
}

/// Returns what else on this host affects the policy. What can't be read without privileges is left out.
fn notes_of_host(policy: &Policy, Gathered { facts, .. }: &Gathered) -> Vec<Message> {
    let names = facts.links.iter().map(|link| &link.name);
    let reverse_path =
        names.filter_map(|name| Some((name.clone(), reverse_path::reverse_path_filter(name)?)));
    let docker_chains: Vec<_> = with_docker().unwrap_or_default().into_iter().map(Variant::name).collect();
    let host = Host {
        facts,
        docker_uses_nftables: filters::docker::uses_nftables(),
        docker_chains: &docker_chains,
        reverse_path: &reverse_path.collect(),
    };
    safety::host::notes(policy, host)
}
