//! `dockfw explain`

mod text;

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use dockfw_policy::engine::EngineName;
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::{Lists, Strictness};
use serde::Serialize;

use super::before::{Before, before, no_rules};
use super::facts::{Gathered, gather};
use super::last::{self, Last};
use super::load_recorded;
use crate::cli::{self, Explain};
use crate::engines::{self, Chosen, goes_by_names_alone};
use crate::exit::{Exit, Stop};
use crate::explain::{
    Asks, Basis, Exception, Explanation, Inquiry, Meant, Party, Unclear, exceptions, explain, meant,
};
use crate::exposure::{Facts, Rules};
use crate::filters::live;
use crate::host::capabilities;
use crate::host::routes::{self, Route};
use crate::message::Message;
use crate::output::{failure, note, result, warning};
use crate::records::Sources;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The engine whose rules are walked.
    engine: EngineName,
    /// Whether the policy file is valid; if not, all is about the policy that is in force.
    valid: bool,
    /// Whether the policy is in force; nothing if that can't be read.
    in_force: Option<bool>,
    /// What could not be read.
    unknown: Vec<String>,
    /// What the names in the question stand for.
    names: Vec<String>,
    /// What happens once the policy is in force.
    #[serde(flatten)]
    answer: Answer,
    /// What happens until then, if it is not in force and what is in force is known.
    now: Option<Now>,
}

/// What happens before an apply.
#[derive(Serialize)]
struct Now {
    /// The engine that has the rules in force; nothing if there are none.
    engine: Option<EngineName>,
    #[serde(flatten)]
    answer: Answer,
}

/// What becomes of the packet under one policy.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    explanation: Explanation,
    /// For whom of the list that was named the verdict is another one.
    except: Vec<Exception>,
}

impl Answer {
    /// Returns whether the same happens to the packet.
    fn agrees(&self, other: &Self) -> bool {
        let verdict = |answer: &Self| (answer.explanation.verdict, answer.explanation.is_certain);
        let exceptions = |answer: &Self| answer.except.iter().map(|one| one.from.clone()).collect::<Vec<_>>();
        verdict(self) == verdict(other) && exceptions(self) == exceptions(other)
    }
}

/// What is asked of this host.
struct Case<'a> {
    facts: &'a Facts,
    meant: &'a Meant,
}

/// The policy that is explained.
struct Subject {
    engine: EngineName,
    ruleset: Ruleset,
    lists: Lists,
    /// Whether it is that of the file.
    is_of_file: bool,
    /// Whether it is in force; nothing if that can't be read.
    in_force: Option<bool>,
}

/// Prints what becomes of a connection. If there is a mistake in the file, that is so under the policy in force, and the
/// mistake is reported after it.
pub(crate) fn run(config: &Path, options: &Explain) -> anyhow::Result<Exit> {
    // A policy that is only explained shuts nobody out.
    let (policy, sources) =
        load_recorded(config, Strictness::Confirmed).inspect_err(|_| show_in_force(options))?;
    show(&Subject::of_file(config, options, &policy, &sources)?, options)?;
    Ok(Exit::Done)
}

/// Does the same for the policy in force, if there is one. A failure is only reported: the program ends with the mistake
/// in the file.
fn show_in_force(options: &Explain) {
    if !capabilities::has_net_admin() {
        return;
    }
    last::report();
    let shown = Subject::in_force().and_then(|subject| subject.map_or(Ok(()), |one| show(&one, options)));
    shown.unwrap_or_else(|error| failure(&error));
}

fn show(subject: &Subject, options: &Explain) -> anyhow::Result<()> {
    let Subject { engine, lists, is_of_file, in_force, .. } = subject;
    let Gathered { facts, unknown, .. } = gather().context("can't read the host's interfaces")?;
    unknown.iter().for_each(|what| note(format_args!("unknown: {what}")));
    let unclear = |unclear: Unclear| Stop::new(Exit::Usage, unclear.message(options.port));
    let meant = meant(&inquiry(options), &facts, lists).map_err(unclear)?;
    let case = Case { facts: &facts, meant: &meant };
    let answer = case.answer(*engine, &subject.ruleset, lists).map_err(unclear)?;
    let now = if *in_force == Some(false) { case.now(before(false))? } else { None };
    report_limits(*in_force);
    let names = meant.words.clone();
    let report =
        Report { engine: *engine, valid: *is_of_file, in_force: *in_force, unknown, names, answer, now };
    if options.json {
        result(serde_json::to_string_pretty(&report)?);
    } else {
        text::print(&report);
    }
    Ok(())
}

impl Subject {
    fn of_file(config: &Path, options: &Explain, policy: &Policy, sources: &Sources) -> anyhow::Result<Self> {
        let (engine, ruleset, in_force) = compiled(options.backend, policy)?;
        Ok(Self { engine, ruleset, lists: lists(config, sources)?, is_of_file: true, in_force })
    }

    /// Returns the policy that is in force, if there is one and its record can be read.
    fn in_force() -> anyhow::Result<Option<Self>> {
        let Before::Recorded { engine, ruleset, last } = before(false) else { return Ok(None) };
        let lists = lists(&last.record.config, &last.sources)?;
        Ok(Some(Self { engine, ruleset, lists, is_of_file: false, in_force: Some(true) }))
    }
}

fn inquiry(options: &Explain) -> Inquiry {
    let party = |party: &cli::Party| match party {
        cli::Party::Address(address) => Party::Address(*address),
        cli::Party::Named(name) => Party::Named(name.clone()),
    };
    Inquiry {
        from: party(&options.from),
        service: options.port,
        incoming: options.incoming.clone(),
        to: options.to.as_ref().map(party),
    }
}

/// Returns the lists of a policy that was loaded from these sources.
fn lists(config: &Path, sources: &Sources) -> anyhow::Result<Lists> {
    dockfw_policy::lists(config, sources, Strictness::Confirmed).map_err(|rejected| anyhow!("{rejected}"))
}

/// Returns the policy as its engine has it, and whether it is in force. Without rights, the engine is the requested
/// one, or else the native one.
fn compiled(asked: Option<Backend>, policy: &Policy) -> anyhow::Result<(EngineName, Ruleset, Option<bool>)> {
    let backend = asked.unwrap_or(policy.engine.backend);
    if !capabilities::has_net_admin() {
        let engine = match backend {
            Backend::Named(engine) => engine,
            Backend::Auto => EngineName::Nftables,
        };
        return Ok((engine, engines::compile_for(engine, policy), None));
    }
    let chosen = Chosen::by(backend, false)?;
    let engine = chosen.engine.name();
    let ruleset = engines::compile_for(engine, policy);
    let in_force = chosen.compare(&ruleset)?.is_same();
    Ok((engine, ruleset, Some(in_force)))
}

impl Case<'_> {
    /// Returns what happens under these rules.
    fn answer(&self, engine: EngineName, ruleset: &Ruleset, lists: &Lists) -> Result<Answer, Unclear> {
        let Meant { question, senders, .. } = self.meant;
        let rules = Rules { ruleset, by_name_alone: goes_by_names_alone(engine) };
        let basis = Basis { rules, lists };
        let explanation = explain(basis, self.facts, &Live, question)?;
        let except = senders
            .as_ref()
            .map(|senders| exceptions(basis, self.facts, &Live, question, senders, &explanation));
        Ok(Answer { explanation, except: except.unwrap_or_default() })
    }

    /// Returns what happens before an apply. If that is unknown, this is reported.
    fn now(&self, before: Before) -> anyhow::Result<Option<Now>> {
        let (engine, answer) = match before {
            Before::Nothing => (None, self.answer(EngineName::Nftables, &no_rules(), &Lists::default())),
            Before::Recorded { engine, ruleset, last } => {
                let Last { record, sources, .. } = *last;
                (Some(engine), self.answer(engine, &ruleset, &lists(&record.config, &sources)?))
            }
            Before::Unknown(why) => {
                warning(
                    Message::new(format!("unknown what happens now: {why}"))
                        .meaning("this explains what happens once the policy file is applied")
                        .help("to see the differences: dockfw diff")
                        .help("to put the policy file in force: dockfw apply"),
                );
                return Ok(None);
            }
        };
        let answer = answer.map_err(|unclear| anyhow!("{}", unclear.message(self.meant.question.service)))?;
        Ok(Some(Now { engine, answer }))
    }
}

/// This host.
struct Live;

impl Asks for Live {
    fn route(&self, to: IpAddr, by: Option<u32>) -> Option<Route> {
        let route = by.map_or_else(|| routes::towards(to, None), |by| routes::out_by(to, by));
        route.inspect_err(|error| log::warn!("no way to {to} can be asked for: {error}")).ok()?
    }

    fn set_has(&self, set: &str, address: IpAddr) -> Option<bool> {
        live::set_has(set, address)
    }
}

/// Reports what the explanation could not include.
fn report_limits(in_force: Option<bool>) {
    if in_force.is_none() {
        note("unknown whether this policy is in force: that needs root's rights");
    }
}
