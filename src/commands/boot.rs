//! `dockfw boot`: what units run when the host comes up.
//!
//! Whatever happens, something is in force at the end, and what is not the policy of the file fails loudly: the policy
//! of the file, unless it was rolled back; otherwise the last one that was confirmed; otherwise a fail-safe.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::engine::EngineError;
use dockfw_policy::policy::{Backend, Policy};

use super::{fit_to_host, judge, load_recorded, show_warnings};
use crate::cli::{Boot, Failsafe};
use crate::enact::{self, Candidate};
use crate::engines::{self, Chosen};
use crate::exit::{Exit, Stop};
use crate::files::Disk;
use crate::host::{capabilities, programs};
use crate::lock::{self, Lock};
use crate::records::{
    Now, Pending, Record, Recorder, RolledBack, Sources, State, Store, unix_seconds, wall_time,
};
use crate::safety::lockout::shuts_everyone_out;
use crate::talk::{say, tell};

/// The port of SSH where sshd does not say its own (RFC 4253, 4).
const SSH: u16 = 22;

/// Puts a policy in force, whatever happens.
pub(crate) fn run(config: &Path, options: &Boot) -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let lock = lock::take()?;
    let store = Store::of_host();
    let (state, damage) = match store.read() {
        Ok(state) => (state, None),
        Err(error) => (State::default(), Some(error)),
    };
    let settled = settle(state.clone())?;
    // Damaged records may be of a policy that was rolled back: they are left to an apply by hand.
    let keep_in = damage.is_none().then_some(&store);
    match file(config, keep_in, &settled, &lock) {
        Ok(chosen) => {
            if let Some(damage) = damage {
                enact::clear_other(&chosen, &lock);
                return Err(damage.into());
            }
            chosen.clear_other(&lock)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            let chosen =
                fall_back(&store, &settled, options.failsafe, &lock).with_context(|| format!("{error:#}"))?;
            let settled = State { unrecorded: false, ..settled };
            let noted = if settled == state { Ok(()) } else { store.note(&settled) };
            if let Err(unnoted) = noted {
                say(format_args!("that could not be recorded: {unnoted}"));
            }
            enact::clear_other(&chosen, &lock);
            Err(error)
        }
    }
}

/// The state in which nothing is on trial any more: nobody would confirm it.
fn settle(state: State) -> anyhow::Result<State> {
    let Some(Pending { boot_id, .. }) = &state.pending else { return Ok(state) };
    let why = if *boot_id == Now::read()?.boot_id {
        "dockfw boot was run before it was confirmed"
    } else {
        "the host was restarted before it was confirmed"
    };
    Ok(state.roll_back(why, unix_seconds()))
}

/// Puts the policy of the file in force, unless it is the one that was rolled back. `keep_in`: where to record it. Returns the engine:
/// what the other one has is still to be cleared, for that is no reason to fall back.
fn file(config: &Path, keep_in: Option<&Store>, state: &State, lock: &Lock) -> anyhow::Result<Chosen> {
    // What an operator once forced is not to be lost by a restart.
    let force = state.confirmed.as_ref().is_some_and(|confirmed| confirmed.force);
    let (policy, sources) = match confirmed_before(config, state) {
        Some(loaded) => loaded,
        None => load_recorded(config, Strictness::forced(force))?,
    };
    refuse_rolled_back(config, &sources, state)?;
    if let Some(objection) = shuts_everyone_out(&policy).filter(|_| !force) {
        // The example that the packages bring, for one, when the unit is enabled before anybody edited it.
        return Err(Stop::new(Exit::Unsafe, objection).into());
    }
    let policy = fit_to_host(policy);
    // What was chosen once, by an operator or by looking at the host, stays while it works.
    let chosen = match (policy.engine.backend, &state.confirmed) {
        (Backend::Auto, Some(confirmed)) => Chosen::preferring(confirmed.engine)?,
        (backend, _) => Chosen::by(backend, false)?,
    };
    match judge(&policy, || Ok(!chosen.is_any_there()?)) {
        Ok(judgement) => judgement.say_all(),
        Err(error) => say(format_args!("note: the policy was not held against this host: {error:#}")),
    }
    let ruleset = engines::compile_for(chosen.engine.name(), &policy);
    let candidate = Candidate { chosen, ruleset, sources: &sources, config, force };
    candidate.put_in_force(lock)?;
    tell(format_args!("in force ({})", candidate.chosen.engine.name()));
    // Early in a boot, /var may not be writable yet. The record would be of what is in the file anyway.
    if let Some(Err(error)) = keep_in.map(|store| candidate.keep(store)) {
        say(format_args!("the policy is in force, but could not be recorded: {error:#}"));
    }
    Ok(candidate.chosen)
}

/// The policy of the file, if it is the one that is confirmed: whatever is refused since, it stays.
fn confirmed_before(config: &Path, state: &State) -> Option<(Policy, Sources)> {
    let confirmed = state.confirmed.as_ref()?;
    let recorder = Recorder::new(&Disk);
    let loaded = dockfw_policy::load(config, &recorder, Strictness::Confirmed).ok()?;
    let sources = recorder.into_sources();
    let is_it = sources.seal().is_ok_and(|sealed| sealed.digest() == confirmed.digest);
    is_it.then(|| {
        show_warnings(&loaded.warnings);
        (loaded.policy, sources)
    })
}

fn refuse_rolled_back(config: &Path, sources: &Sources, state: &State) -> anyhow::Result<()> {
    let digest = sources.seal().ok();
    let is_of = |record: &Record| digest.as_ref().is_some_and(|sources| sources.digest() == record.digest);
    // The confirmed policy may have been on trial with another engine.
    let is_confirmed = state.confirmed.as_ref().is_some_and(is_of);
    let is_it = |rolled_back: &&RolledBack| is_of(&rolled_back.policy) && !is_confirmed;
    let Some(RolledBack { why, at, .. }) = state.rolled_back.as_ref().filter(is_it) else { return Ok(()) };
    let message = format!(
        "{} was rolled back at {} ({why}); change it, or put it in force by hand: dockfw apply",
        config.display(),
        wall_time(*at)
    );
    Err(Stop::new(Exit::NotInForce, message).into())
}

/// Puts the last confirmed policy in force, or else the fail-safe. Returns the engine, as [`file()`] does.
fn fall_back(store: &Store, state: &State, failsafe: Failsafe, lock: &Lock) -> anyhow::Result<Chosen> {
    let confirmed =
        state.confirmed.as_ref().map(|confirmed| (confirmed, enact::restore(store, confirmed, lock)));
    match confirmed {
        Some((confirmed, Ok(chosen))) => {
            let applied = wall_time(confirmed.applied_at);
            say(format_args!("in its place, the policy confirmed at {applied} is in force"));
            return Ok(chosen);
        }
        Some((_, Err(error))) => say(format_args!("the confirmed policy can't be put in force: {error:#}")),
        None => {}
    }
    let (text, words) = emergency_policy(failsafe);
    let path = PathBuf::from("/failsafe");
    let policy = enact::load_quietly(&path, &Sources::of_file(&path, &text), Strictness::Strict)?;
    let chosen = enact::put_in_force(Chosen::by(Backend::Auto, false)?, policy, lock)
        .context("not even the fail-safe could be put in force")?;
    say(format_args!("NO POLICY of yours is in force; the fail-safe is: {words}"));
    Ok(chosen)
}

/// A policy for a host whose own is lost, and what it does in words.
fn emergency_policy(failsafe: Failsafe) -> (String, String) {
    let closed = "trusted = []\n".to_owned();
    match failsafe {
        Failsafe::Closed => (closed, "nobody reaches anything".into()),
        Failsafe::Ssh => {
            let ports = ssh_ports(&programs::said("sshd", &["-T"]).unwrap_or_default());
            let quoted: Vec<_> = ports.iter().map(|port| format!("\"{port}/tcp\"")).collect();
            let rule = format!("[[allow]]\nname = \"ssh\"\nports = [{}]\nto = \"host\"\n", quoted.join(", "));
            (closed + &rule, format!("everyone reaches {} of the host, and nothing else", quoted.join(", ")))
        }
    }
}

/// The ports that `sshd -T` names. What it listens on is in `listenaddress [::]:22`, perhaps with `rdomain` behind it; `port 22` is
/// only for addresses that are given without a port, and is said in any case.
fn ssh_ports(said: &str) -> Vec<u16> {
    let listens =
        said.lines().filter_map(|line| line.strip_prefix("listenaddress ")?.split_whitespace().next());
    let of_addresses = ports(listens.filter_map(|address| Some(address.rsplit_once(':')?.1)));
    let found = if of_addresses.is_empty() {
        ports(said.lines().filter_map(|line| line.strip_prefix("port ")))
    } else {
        of_addresses
    };
    if found.is_empty() { vec![SSH] } else { found.into_iter().collect() }
}

fn ports<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<u16> {
    words.filter_map(|word| word.trim().parse().ok()).filter(|port| *port != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshd_says_its_ports() {
        assert_eq!(ssh_ports("port 2222\nport 22\nportx 1\naddressfamily any\n"), [22, 2222]);
        let listens = "port 22\nlistenaddress [2001:db8::1]:2222\nlistenaddress 0.0.0.0:2022 rdomain mgmt\n";
        assert_eq!(ssh_ports(listens), [2022, 2222]);
        assert_eq!(ssh_ports("port 0\nport x\n"), [22]);
        assert_eq!(ssh_ports(""), [22]);
    }

    #[test]
    fn the_fail_safes_are_policies() {
        for failsafe in [Failsafe::Ssh, Failsafe::Closed] {
            let (text, _) = emergency_policy(failsafe);
            let path = Path::new("/failsafe");
            let policy =
                enact::load_quietly(path, &Sources::of_file(path, &text), Strictness::Strict).unwrap();
            assert_eq!(policy.allow.len(), usize::from(failsafe == Failsafe::Ssh));
        }
    }
}
