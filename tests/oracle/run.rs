//! One run with one engine.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use dockfw_lab::{Dice, WORK};
use libtest_mimic::Completion;
use nix::poll::PollTimeout;

use crate::calibrate::calibrate;
use crate::driver::{Done, Driver};
use crate::field::Field;
use crate::fire::{Shooter, processors};
use crate::hear::Ears;
use crate::losses::Losses;
use crate::policies::{self, Written};
use crate::report::Report;
use crate::settings::{Engine, Settings};
use crate::streams::Stream;
use crate::verdicts::Policies;
use crate::world::{self, World};

/// Fires at a host while policies are applied there.
pub(crate) fn run(engine: Engine, settings: &Settings) -> Result<Completion> {
    let mut dice = Dice::new(settings.seed);
    let written = policies::written(&Path::new(WORK).join("policies"), &mut dice, settings.entries);
    for (path, text) in written.iter().flat_map(|policy| &policy.files) {
        fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
        fs::write(path, text)?;
    }
    if let Some(reason) = lack(engine, settings) {
        return Ok(Completion::ignored_with(reason));
    }
    let report = world::with(settings.world, engine, &settings.program, |world| {
        under_fire(world, engine, settings, &written, dice)
    });
    report.with_context(|| settings.how_to_repeat())?.verdict(settings)
}

/// What the engine lacks here, as dockfw itself says it.
fn lack(engine: Engine, settings: &Settings) -> Option<String> {
    let probe = Command::new(&settings.program).arg("probe").output().ok()?;
    let said = String::from_utf8_lossy(&probe.stdout).into_owned();
    let _ = (engine, said);
    None
}

fn under_fire(
    world: &World,
    engine: Engine,
    settings: &Settings,
    written: &[Written],
    mut dice: Dice,
) -> Result<Report> {
    let rulesets =
        written.iter().map(|written| policies::compiled(written, engine)).collect::<Result<_>>()?;
    let policies = Policies::new(written.iter().map(|written| written.name.clone()).collect(), rulesets)?;
    let mut ears = Ears::open(world)?;
    let [streams, left_out] = calibrate(world, &mut ears, Stream::all(world, engine)?)?;
    let processors = processors()?;
    let field = Field::new(world, &policies, &streams, Driver::first_epoch(), processors.len());
    let peculiar: Vec<_> = written.iter().flat_map(|written| written.peculiar.iter().copied()).collect();
    let shooters = processors
        .into_iter()
        .enumerate()
        .map(|place| Shooter::new(&field, place, &peculiar, Dice::new(dice.roll(1 << 30) as u64)));
    let shooters: Vec<_> = shooters.collect::<Result<_>>()?;
    let driver = Driver::new(&field, written, engine, dice.clone());
    let (losses, start) = (Losses::so_far(world)?, Instant::now());
    let done = all_at_once(&field, &mut ears, shooters, || driver.run(settings))?;
    losses.none_since(world, &ears)?;
    Ok(Report { done, tally: field.tally(), left_out, time: start.elapsed() })
}

/// Lets senders send and the listener listen for as long as the driver drives.
fn all_at_once(
    field: &Field<'_>,
    ears: &mut Ears,
    shooters: Vec<Shooter<'_>>,
    drive: impl FnOnce() -> Result<Done>,
) -> Result<Done> {
    thread::scope(|scope| {
        let ending = |result: Result<()>| {
            // Whoever fails ends it for all.
            result.inspect_err(|_| field.end())
        };
        let listener = scope.spawn(move || ending(listen(field, ears)));
        let shooters: Vec<_> =
            shooters.into_iter().map(|shooter| scope.spawn(move || ending(shooter.run()))).collect();
        let done = drive();
        field.end();
        let others = shooters.into_iter().chain([listener]).map(|thread| thread.join().expect("no panic"));
        // What ended the others is the reason why the driver did not get on.
        others.collect::<Result<Vec<()>>>()?;
        done
    })
}

fn listen(field: &Field<'_>, ears: &mut Ears) -> Result<()> {
    while !field.is_over() {
        let tags = ears.listen(PollTimeout::from(50_u8))?;
        field.hear(&tags)?;
    }
    Ok(())
}
