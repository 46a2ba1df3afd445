//! Applies policies in random order, kills some of the applies, and says at every instant what may be in force.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Dice, Engine, WORK, patience, wait_until};

use crate::epochs::{Epoch, Mask, WITHOUT, only};
use crate::field::Field;
use crate::policies::Written;
use crate::settings::Settings;

/// How many packets are settled before the first apply: enough to see that all kinds of them arrive.
const BEFORE: u64 = 4_000;
/// And after one that was killed: enough to tell what is in force.
const AFTER_A_KILL: u64 = 1_000;
/// One in so many applies is killed.
const KILLED: usize = 6;
/// Longer than any apply may take: one of 50,000 entries takes seconds where all else has the processors.
const APPLIED: Duration = Duration::from_secs(300);
/// The lock that dockfw holds while it works, and with it the programs that it starts.
const LOCK: &str = "/run/dockfw/lock";
/// For so long a run goes on after the first wrong verdict.
const ENOUGH: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) applies: u64,
    pub(crate) kills: u64,
}

/// Who applies.
pub(crate) struct Driver<'a> {
    field: &'a Field<'a>,
    policies: &'a [Written],
    engine: Engine,
    dice: Dice,
    /// What may be in force, for each family.
    in_force: [Mask; 2],
    last: Option<usize>,
    /// How long each policy took to apply.
    took: HashMap<usize, Duration>,
    pub(crate) done: Done,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(field: &'a Field<'a>, policies: &'a [Written], engine: Engine, dice: Dice) -> Self {
        let (in_force, took, done) = ([WITHOUT; 2], HashMap::new(), Done::default());
        Self { field, policies, engine, dice, in_force, last: None, took, done }
    }

    /// What is in force before anything is.
    pub(crate) fn first_epoch() -> Epoch {
        Epoch::settled([WITHOUT; 2], true)
    }

    /// Applies until all has been done that was asked for, or something was found.
    pub(crate) fn run(&mut self, settings: &Settings) -> Result<()> {
        self.field.pass(0)?;
        self.field.linger(BEFORE)?;
        let (start, mut found) = (Instant::now(), None);
        loop {
            self.step()?;
            let (packets, wrong) = self.field.counts();
            let is_found = wrong > 0 && found.get_or_insert_with(Instant::now).elapsed() >= ENOUGH;
            let is_met = self.done.applies >= settings.applies && packets >= settings.packets;
            if is_found || is_met && start.elapsed() >= settings.time {
                return Ok(());
            }
            ensure!(
                start.elapsed() < settings.deadline(),
                "too slow: {} applies of {} and {packets} packets of {} in {:.0?}",
                self.done.applies,
                settings.applies,
                settings.packets,
                start.elapsed()
            );
        }
    }

    fn step(&mut self) -> Result<()> {
        let next = self.choose();
        let either = self.in_force.map(|mask| mask | only(next));
        self.field.pass(self.field.open(Epoch::changing(either)))?;
        let is_whole = self.apply(next)?;
        let candidates = if is_whole { [only(next); 2] } else { either };
        self.field.pass(self.field.open(Epoch::settled(candidates, self.engine == Engine::Native)))?;
        if !is_whole {
            self.field.linger(AFTER_A_KILL)?;
        }
        self.in_force = self.field.left();
        Ok(())
    }

    /// Another one than the last, by their weights.
    fn choose(&mut self) -> usize {
        let others = self.policies.iter().enumerate().filter(|(policy, _)| Some(*policy) != self.last);
        let lots: Vec<_> = others.flat_map(|(policy, written)| vec![policy; written.weight]).collect();
        let chosen = self.dice.pick(&lots);
        self.last = Some(chosen);
        chosen
    }

    /// Applies a policy; tells whether that came to its end.
    fn apply(&mut self, policy: usize) -> Result<bool> {
        self.done.applies += 1;
        let (written, said) = (&self.policies[policy], Path::new(WORK).join("said"));
        let arguments = ["--config", written.path(), "apply", "--force", "--backend", self.engine.backend()];
        let start = Instant::now();
        let mut child = self.field.fixture.start(&arguments, &said)?;
        self.maybe_kill(policy, &mut child)?;
        let status = ended(&mut child)?;
        if status.code().is_none() {
            self.done.kills += 1;
            return wait_for_helpers().map(|()| false);
        }
        self.took.insert(policy, start.elapsed());
        let said = fs::read_to_string(said).unwrap_or_default();
        ensure!(status.success(), "dockfw apply of \"{}\" failed, {status}: {said}", written.name);
        Ok(true)
    }

    /// Kills one in some applies, at any moment of the time that the last one of the policy took.
    fn maybe_kill(&mut self, policy: usize, child: &mut Child) -> Result<()> {
        let usual = self.took.get(&policy).copied();
        let Some(usual) = usual.filter(|_| self.dice.one_in(KILLED)) else { return Ok(()) };
        // For nothing but the moment: nothing is waited for.
        thread::sleep(usual * self.dice.roll(1000) as u32 / 1000);
        Ok(child.kill()?)
    }
}

impl Settings {
    /// How long it may take at most until the floors are met.
    fn deadline(&self) -> Duration {
        (self.time * 5).max(Duration::from_secs(600)) * patience()
    }
}

fn ended(child: &mut Child) -> Result<ExitStatus> {
    let ended = wait_until(APPLIED, "for dockfw apply to end", || child.try_wait().transpose())?;
    ended.context("cannot wait for dockfw")
}

/// Waits until those have ended that a killed dockfw had started.
fn wait_for_helpers() -> Result<()> {
    // Killed before it had made the lock, it has started nobody.
    let Ok(file) = File::options().write(true).open(LOCK) else { return Ok(()) };
    let free =
        wait_until(APPLIED, "for what a killed dockfw had started to end", || match file.try_lock() {
            Ok(()) => Some(Ok(())),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => Some(Err(error)),
        })?;
    free.with_context(|| format!("cannot lock {LOCK}"))
}
