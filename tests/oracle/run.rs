//! One run with one engine.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dockfw_lab::{Dice, Engine, WORK};
use libtest_mimic::Completion;
use nix::poll::PollTimeout;

use crate::calibrate::calibrate;
use crate::driver::Driver;
use crate::field::Field;
use crate::fire::{Flood, processors};
use crate::fixture::{self, OracleFixture};
use crate::hear::Ears;
use crate::losses::Losses;
use crate::policies::{self, Written};
use crate::report::Report;
use crate::settings::Settings;
use crate::streams::Stream;
use crate::verdicts::Policies;

/// How dockfw exits where the host can't (dockfw(8)).
const UNSUPPORTED: i32 = 5;
/// How long packets gather before they are taken. Far fewer come in that time than sockets have room for.
const PAUSE: Duration = Duration::from_millis(1);

/// Fires at a host while policies are applied there.
pub(crate) fn run(engine: Engine, settings: &Settings) -> Result<Completion> {
    println!("        seed {} (to repeat it: {})", settings.seed, settings.how_to_repeat());
    let outcome = fixture::with(settings.fixture, engine, &settings.program, |fixture| {
        let mut dice = Dice::new(settings.seed);
        let written = policies::written(&Path::new(WORK).join("policies"), &mut dice, settings.entries);
        written.iter().try_for_each(Written::put_down)?;
        match lack(fixture, engine, &written[0])? {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => under_fire(fixture, engine, settings, &written, dice)?.verdict(),
        }
    });
    outcome.with_context(|| settings.how_to_repeat())
}

/// What this host lacks for the engine, as dockfw says it.
fn lack(fixture: &OracleFixture, engine: Engine, policy: &Written) -> Result<Option<String>> {
    let said = Path::new(WORK).join("said");
    let arguments =
        ["--config", policy.path(), "apply", "--dry-run", "--force", "--backend", engine.backend()];
    let status = fixture.start(&arguments, &said)?.wait()?;
    let reason = || fs::read_to_string(said).unwrap_or_default().trim().to_owned();
    Ok((status.code() == Some(UNSUPPORTED)).then(reason))
}

fn under_fire(
    fixture: &OracleFixture,
    engine: Engine,
    settings: &Settings,
    written: &[Written],
    mut dice: Dice,
) -> Result<Report> {
    let rulesets =
        written.iter().map(|written| policies::compiled(written, engine)).collect::<Result<_>>()?;
    let policies = Policies::new(written.iter().map(|written| written.name.to_owned()).collect(), rulesets)?;
    let mut ears = Ears::open(fixture)?;
    let [streams, left_out] = calibrate(fixture, &mut ears, Stream::all(fixture, engine)?)?;
    let processors = processors()?;
    let field = Field::new(fixture, &policies, &streams, Driver::first_epoch(), processors.len());
    let peculiar: Vec<_> = written.iter().map(|written| &written.peculiar[..]).collect();
    let floods = processors
        .into_iter()
        .enumerate()
        .map(|place| Flood::new(&field, place, &peculiar, Dice::new(dice.roll(1 << 30) as u64)));
    let floods: Vec<_> = floods.collect::<Result<_>>()?;
    let mut driver = Driver::new(&field, written, engine, dice.clone());
    let (losses, start) = (Losses::so_far(fixture)?, Instant::now());
    let outcome = all_at_once(&field, &mut ears, floods, || driver.run(settings));
    let outcome = outcome.and(losses.none_since(fixture, &ears));
    Ok(Report { done: driver.done, tally: field.tally(), left_out, time: start.elapsed(), outcome })
}

/// Lets senders send and the listener listen for as long as the driver drives.
fn all_at_once(
    field: &Field<'_>,
    ears: &mut Ears,
    floods: Vec<Flood<'_>>,
    drive: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // Whoever fails ends it for all.
    let ending = |result: Result<()>| result.inspect_err(|_| field.end());
    thread::scope(|scope| {
        let listener = scope.spawn(move || ending(listen(field, ears)));
        let floods = floods.into_iter().map(|flood| scope.spawn(move || ending(flood.run())));
        let others: Vec<_> = floods.chain([listener]).collect();
        let driven = drive();
        field.end();
        let ended: Vec<_> = others.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        // What ended the others is the reason why the driver did not get on.
        ended.into_iter().collect::<Result<()>>().and(driven)
    })
}

fn listen(field: &Field<'_>, ears: &mut Ears) -> Result<()> {
    while !field.is_over() {
        let tags = ears.listen(PollTimeout::from(50_u8))?;
        field.hear(&tags)?;
        // By the dozen: to be woken for each packet costs more than the packet.
        thread::sleep(PAUSE);
    }
    Ok(())
}
