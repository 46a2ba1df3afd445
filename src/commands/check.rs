//! `dockfw check`

use std::mem;
use std::path::Path;

use anyhow::Context;
use dockfw_policy::policy::Policy;
use dockfw_policy::{Loaded, Strictness};
use dockfw_xtables::tools::Variant;
use dockfw_xtables::variants::with_docker;

use super::facts::{Gathered, gather};
use super::{Judgement, Novelty, judge, load_silently, show_warnings};
use crate::cli::Check;
use crate::engines::{self, Prospect};
use crate::exit::Exit;
use crate::filters::{self, firewalls, persistence};
use crate::host::docker::{self, Membership};
use crate::host::{capabilities, reverse_path};
use crate::message::Message;
use crate::output::{self, result};
use crate::safety::{self, host::Host};
use crate::unit;

/// What `dockfw apply` would make of a valid policy on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing speaks against it.
    Fine,
    /// The same, but without root's rights not all of this host can be looked at.
    Unseen,
    /// Not done, for the operator's safety.
    Unsafe,
    /// There is no engine for it.
    Unsupported,
}

/// Validates the policy, and compares it with this host.
pub(crate) fn run(config: &Path, options: &Check) -> anyhow::Result<Exit> {
    let verdict_is = |text: &str| result(format_args!("{}: {text}", config.display()));
    let loaded = load_silently(config, Strictness::forced(options.force));
    let Loaded { policy, warnings } = loaded.inspect_err(|_| verdict_is("not valid"))?;
    let mut judgement = judge(&policy, Novelty::New, || Ok(!engines::is_any_in_force()))?;
    let unsupported = judge_engine(&policy, &mut judgement);
    judgement.notes.extend(notes(&policy)?);
    let refused = if options.force { Vec::new() } else { mem::take(&mut judgement.objections) };
    let verdict = Verdict::of(unsupported.is_some(), !refused.is_empty());
    verdict_is(verdict.text());
    unsupported.into_iter().chain(refused).for_each(output::error);
    show_warnings(&warnings);
    judgement.warn();
    unit::warn_unless_enabled();
    Ok(verdict.exit())
}

impl Verdict {
    fn of(is_unsupported: bool, is_unsafe: bool) -> Self {
        match (is_unsupported, is_unsafe) {
            (true, _) => Self::Unsupported,
            (false, true) => Self::Unsafe,
            (false, false) if capabilities::has_net_admin() => Self::Fine,
            (false, false) => Self::Unseen,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Fine => "valid",
            Self::Unseen => "valid, but only root can look at all of this host",
            Self::Unsafe => "valid, but `dockfw apply` would refuse it on this host, for your safety",
            Self::Unsupported => "valid, but no engine can put it in force on this host",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Fine | Self::Unseen => Exit::Done,
            Self::Unsafe => Exit::Unsafe,
            Self::Unsupported => Exit::Unsupported,
        }
    }
}

/// Returns why no engine can put the policy in force, if so. An engine that does not work here any more is noted. What
/// can't be read without privileges is left out.
fn judge_engine(policy: &Policy, judgement: &mut Judgement) -> Option<Message> {
    if !capabilities::has_net_admin() {
        return None;
    }
    let note = match engines::prospect(policy.engine.backend) {
        Ok(Prospect::Works) => return None,
        Ok(Prospect::NoneWorks(why)) => {
            return Some(Message::new(why).help("to see what each engine needs: dockfw probe"));
        }
        Ok(Prospect::Moves(why)) => why,
        Err(error) => format!("unknown whether an engine works on this host: {}", error.in_full()),
    };
    judgement.notes.push(Message::new(note));
    None
}

/// Returns what is worth knowing of this host.
fn notes(policy: &Policy) -> anyhow::Result<Vec<Message>> {
    let mut notes = firewalls::notes();
    notes.extend(persistence::notes());
    let gathered = gather().context("can't read the host's interfaces")?;
    notes.extend(notes_of_host(policy, &gathered));
    notes.extend(rights_note(&gathered.unknown));
    if let Some(Membership::Node(swarm)) = docker::membership() {
        let nodes = docker::nodes().unwrap_or_default();
        notes.extend(safety::missing_peers(policy, &swarm, &nodes));
    }
    Ok(notes)
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
fn notes_of_host(policy: &Policy, Gathered { facts, knows_ports, .. }: &Gathered) -> Vec<Message> {
    let names = facts.links.iter().map(|link| &link.name);
    let reverse_path =
        names.filter_map(|name| Some((name.clone(), reverse_path::reverse_path_filter(name)?)));
    let docker_chains: Vec<_> = with_docker().unwrap_or_default().into_iter().map(Variant::name).collect();
    let host = Host {
        facts,
        docker_uses_nftables: filters::docker::uses_nftables(),
        docker_chains: &docker_chains,
        knows_ports: *knows_ports,
        reverse_path: &reverse_path.collect(),
    };
    safety::host::notes(policy, host)
}
