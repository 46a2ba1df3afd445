//! `dockfw apply`

use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{EngineError, EngineName};
use dockfw_policy::policy::Policy;
use dockfw_policy::ruleset::Ruleset;
use dockfw_system::programs::both;

use super::{Judgement, Novelty, differences, gains, judge, last, load_recorded, new_connection};
use crate::cli::Apply;
use crate::enact::Candidate;
use crate::engines::{self, Chosen};
use crate::exit::{self, Exit, Stop};
use crate::host::capabilities;
use crate::lock::{self, Lock};
use crate::message::Message;
use crate::output::{self, note, result, warning};
use crate::records::{Now, Record, RecordError, RolledBack, Sources, State, Store, wall_time};
use crate::takeover::{self, Takeover};
use crate::trial::{self, Length, Terms};
use crate::unit::{self, Wish};

/// From this number of addresses on, loading takes long enough to be announced.
const MANY: usize = 100_000;

/// The consequence of a policy without a record.
const UNRECORDED: &str =
    "the policy is in force, but could not be recorded, so that `dockfw rollback` can't return to it";

/// Puts the policy in force.
pub(crate) fn run(config: &Path, options: &Apply, verbose: u8) -> anyhow::Result<Exit> {
    let lock = capabilities::has_net_admin().then(lock::take).transpose()?;
    // Not before: the previous holder of the lock may have applied a newer file. A user who may change nothing is told all
    // the same what is wrong with the file.
    let loaded = load_recorded(config, Strictness::forced(options.force)).context("not applied");
    let Some(lock) = lock else {
        return Err(loaded.err().unwrap_or_else(|| EngineError::NotPermitted.into()));
    };
    let (policy, sources) = loaded.map_err(last::beside)?;
    let store = Store::of_host();
    // Both only look, and each waits for programs.
    let (judged, takeover) = both(|| judged(&policy, &sources, config, options, &store), Takeover::find);
    let (candidate, judgement) = judged?;
    if options.force {
        overridden(&judgement, options);
    } else {
        judgement.refuse(refused())?;
    }
    if options.enable {
        unit::must_be_there()?;
    }
    if options.dry_run {
        let found = planned(&candidate.chosen, &candidate.ruleset, &takeover)?;
        // The reader of the output may take a while, as a pager does, and nobody else is to wait for that.
        drop(lock);
        return report_planned(&candidate, &found, options, verbose);
    }
    announce(&candidate.ruleset);
    let trial = trial_of(&store, &candidate, options)?;
    let enactment = Enactment { store, candidate, takeover, options };
    let engine = enactment.candidate.chosen.engine.name();
    let done = match trial {
        // A rollback of the trial leads to the old rules.
        Some(_) if options.retire_old => return Err(Stop::new(Exit::Unsafe, nothing_retired()).into()),
        Some((state, length)) => enactment.on_trial(state, length, lock),
        None => enactment.for_good(lock),
    };
    done.map_err(|error| unsupported(error, engine))
}

/// Returns the same error; if the engine can't work on this host, with the one that may.
fn unsupported(error: anyhow::Error, engine: EngineName) -> anyhow::Error {
    let Some(EngineError::Unsupported(reason)) = error.downcast_ref() else { return error };
    let what = format!("not applied: the {engine} engine is not supported on this host: {reason}");
    let message = exit::message_of(&error).with_what(what);
    let other = format!("to use the other engine: dockfw apply --backend {}", engine.other());
    Stop::new(exit::of_error(&error), message.help(other)).into()
}

/// Returns what is to be put in force, and what speaks against it.
fn judged<'a>(
    policy: &Policy,
    sources: &'a Sources,
    config: &'a Path,
    options: &Apply,
    store: &Store,
) -> anyhow::Result<(Candidate<'a>, Judgement)> {
    let chosen = Chosen::by(options.backend.unwrap_or(policy.engine.backend), options.verify)?;
    let ruleset = engines::compile_for(chosen.engine.name(), policy);
    let candidate = Candidate { chosen, ruleset, sources, config, force: options.force };
    let judgement = judge(policy, novelty(store, &candidate), || Ok(!candidate.chosen.is_any_there()?))?;
    Ok((candidate, judgement))
}

/// A policy against which nothing speaks, with all that putting it in force takes.
struct Enactment<'a> {
    store: Store,
    candidate: Candidate<'a>,
    takeover: Takeover,
    options: &'a Apply,
}

impl Enactment<'_> {
    fn for_good(self, lock: Lock) -> anyhow::Result<Exit> {
        let Self { store, candidate, takeover, options } = self;
        takeover.save(&store)?;
        let mut changes = candidate.put_in_force(&lock)?;
        // This comes before anything that may have to wait for others, and that the waiting caller may give up.
        let recorded = candidate.record_permanent(&store).context(UNRECORDED);
        let mut failures: Vec<_> = recorded.err().into_iter().collect();
        for gone in [candidate.chosen.clear_other(&lock).map(Vec::from_iter), takeover.carry_out()] {
            match gone {
                Ok(gone) => changes.extend(gone),
                Err(error) => failures.push(error.into()),
            }
        }
        first_of(failures)?;
        if options.retire_old {
            takeover::retire(&store)?;
        }
        drop(lock);
        report_changes(&candidate.chosen, &changes);
        takeover.notes().iter().for_each(note);
        Wish::of(options.enable).carry_out(&store)?;
        Ok(Exit::Done)
    }

    fn on_trial(self, state: State, length: Length, lock: Lock) -> anyhow::Result<Exit> {
        let Self { store, candidate, takeover, options } = self;
        trial::must_have_way_back(&store, &state, &candidate.chosen)?;
        takeover.save(&store)?;
        let terms = Terms { length, wish: Wish::of(options.enable) };
        let before = state.confirmed.as_ref().map(|confirmed| confirmed.applied_at);
        let (trial, mut changes) = trial::begin(store, state, &candidate, terms, &lock)?;
        match takeover.carry_out() {
            Ok(gone) => changes.extend(gone),
            // Both rulesets decide, which blocks more and lets nothing more in: no reason to end the trial.
            Err(error) => warning(format_args!("{:#}", anyhow::Error::from(error))),
        }
        drop(lock);
        report_changes(&candidate.chosen, &changes);
        let message = trial_message(options, trial.ends_at(), before);
        warning(
            new_connection::advise(message)
                .help("to keep it: dockfw confirm")
                .help("to undo it now: dockfw rollback"),
        );
        if options.confirm.is_none() || options.detach {
            trial.detach();
            return Ok(Exit::Done);
        }
        trial.wait()
    }
}

/// Warns of what would be refused without `--force`.
fn overridden(judgement: &Judgement, options: &Apply) {
    if !judgement.objections.is_empty() && !options.dry_run {
        warning(
            Message::new("`--force` puts the policy in force in spite of these warnings")
                .meaning("keep this session open until a new connection works")
                .help("to undo this apply: dockfw rollback"),
        );
    }
    judgement.warn();
}

/// Returns what follows from the objections.
fn refused() -> Message {
    Message::new("not applied, for your safety; nothing was changed").help(
        "to put it in force all the same, on trial (Enter keeps it): dockfw apply --force --confirm 60s",
    )
}

/// Why `--confirm` is refused without records.
fn no_trial(error: RecordError) -> Stop {
    let what = format!("not applied: {error}, so a trial could not be rolled back; nothing was changed");
    Stop::new(Exit::Failed, Message::new(what).help("to write new records, without a trial: dockfw apply"))
}

fn nothing_retired() -> Message {
    Message::new(
        "not applied: a policy is on trial, and a rollback may need the old rules; nothing was changed",
    )
    .help("to end the trial first, and keep its policy: dockfw confirm")
    .help("to end it first, and go back: dockfw rollback")
}

/// Goes by the records. If they can't be read, it is unknown.
fn novelty(store: &Store, candidate: &Candidate<'_>) -> Novelty {
    let confirmed = store.read().ok().and_then(|state| state.confirmed);
    let is_it =
        |confirmed: Record| candidate.record().is_ok_and(|(record, _)| confirmed.is_same_policy(&record));
    if confirmed.is_some_and(is_it) { Novelty::Known } else { Novelty::New }
}

/// Returns the trial that this apply is to be, if it is one. `--confirm` asks for one; and while a trial is under way,
/// what is applied is on trial too.
fn trial_of(
    store: &Store,
    candidate: &Candidate<'_>,
    options: &Apply,
) -> anyhow::Result<Option<(State, Length)>> {
    let state = store.read();
    if let Ok(State { rolled_back: Some(RolledBack { why, .. }), .. }) = &state {
        note(format_args!("before this apply, the last policy had been rolled back ({why})"));
    }
    let Some(time) = options.confirm else {
        // Unreadable records do not keep anybody from protecting the host.
        let state = state.ok().filter(|state| is_on_trial(state).unwrap_or(false));
        return Ok(state.map(|state| (state, Length::AsBefore)));
    };
    let state = state.map_err(no_trial)?;
    let (record, _) = candidate.record()?;
    let is_recorded = |confirmed: &Record| !state.unrecorded && confirmed.is_same_policy(&record);
    let is_confirmed = state.confirmed.as_ref().is_some_and(is_recorded);
    Ok((!is_confirmed || is_on_trial(&state)?).then_some((state, Length::Time(time))))
}

fn is_on_trial(state: &State) -> anyhow::Result<bool> {
    let now = Now::read()?;
    Ok(state.pending.as_ref().is_some_and(|pending| pending.time_left(&now).is_some()))
}

/// Fails with the first error, if there is one, after it has printed the others.
fn first_of(errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let mut errors = errors.into_iter();
    let first = errors.next();
    errors.for_each(|error| output::error(format_args!("{error:#}")));
    first.map_or(Ok(()), Err)
}

/// Returns until when the policy is on trial, and what follows. `before`: when the policy was applied that is confirmed.
fn trial_message(options: &Apply, ends_at: Option<u64>, before: Option<u64>) -> Message {
    let until = ends_at.map_or("an unknown time".into(), wall_time);
    let what = match options.confirm {
        None => format!("an earlier trial is still running, so this policy is on trial too, until {until}"),
        Some(time) => {
            format!("the policy is on trial for {}, until {until}", humantime::format_duration(time))
        }
    };
    let then = before.map_or("no policy is in force".into(), |applied_at| {
        format!("the policy applied at {} is in force again", wall_time(applied_at))
    });
    Message::new(what).meaning(format!("then {then}, unless you confirm this one"))
}

fn planned(chosen: &Chosen, ruleset: &Ruleset, takeover: &Takeover) -> Result<Vec<Difference>, EngineError> {
    chosen.engine.check(ruleset)?;
    let mut found = chosen.differences(ruleset)?;
    found.extend(takeover.differences());
    Ok(found)
}

fn report_planned(
    candidate: &Candidate<'_>,
    found: &[Difference],
    options: &Apply,
    verbose: u8,
) -> anyhow::Result<Exit> {
    if found.is_empty() {
        result("in force already; nothing would change");
        return Ok(Exit::Done);
    }
    gains::lines(candidate.chosen.engine.name(), &candidate.ruleset, options.verify)?.iter().for_each(result);
    result(differences::shown(found, verbose));
    Ok(if options.exit_code { Exit::NotInForce } else { Exit::Done })
}

/// Announces on a terminal that this will take long.
fn announce(ruleset: &Ruleset) {
    let count: usize = ruleset.addresses.iter().map(|list| list.addresses.len()).sum();
    if count >= MANY && output::stderr_is_terminal() {
        note(format_args!("loading {count} addresses and networks"));
    }
}

fn report_changes(chosen: &Chosen, changes: &[Difference]) {
    let engine = chosen.engine.name();
    if changes.is_empty() {
        result(format_args!("in force already ({engine}); nothing changed"));
        return;
    }
    result(differences::text(changes));
    result(format_args!("in force ({engine})"));
}
