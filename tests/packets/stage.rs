//! The lab that is up. Cases are run by a thread that owns it; one for another kind of lab takes the first one down.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use crate::world::{self, Kind, World};

type Job = Box<dyn FnOnce(&World<'_>) -> Result<()> + Send>;

struct Stage {
    kind: Kind,
    jobs: Sender<(Job, Sender<Result<()>>)>,
    thread: JoinHandle<()>,
}

static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

/// Runs a case in such a lab.
pub(crate) fn on(kind: Kind, case: impl FnOnce(&World<'_>) -> Result<()> + Send + 'static) -> Result<()> {
    let mut stage = current();
    if stage.as_ref().is_some_and(|stage| stage.kind != kind) {
        take_down(&mut stage);
    }
    let stage = stage.get_or_insert_with(|| raise(kind));
    let (answer, answered) = channel();
    stage.jobs.send((Box::new(case), answer)).ok().context("the lab's thread has ended")?;
    answered.recv().context("the case panicked")?
}

/// Takes down the lab that is up.
pub(crate) fn clear() {
    take_down(&mut current());
}

fn current() -> MutexGuard<'static, Option<Stage>> {
    STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take_down(stage: &mut Option<Stage>) {
    if let Some(Stage { jobs, thread, .. }) = stage.take() {
        drop(jobs);
        // It panicked with a case, which has said so.
        let _ = thread.join();
    }
}

fn raise(kind: Kind) -> Stage {
    let (jobs, todo) = channel();
    let own_kind = kind.clone();
    let thread = thread::spawn(move || run(own_kind, &todo));
    Stage { kind, jobs, thread }
}

fn run(kind: Kind, todo: &Receiver<(Job, Sender<Result<()>>)>) {
    let result = world::with(kind, |world| {
        for (job, answer) in todo {
            // Who asked has gone: nobody is interested.
            let _ = answer.send(job(world));
        }
    });
    // Without a lab no case can run, and each says why.
    if let Err(error) = result {
        let reason = format!("{error:#}");
        for (_, answer) in todo {
            let _ = answer.send(Err(anyhow!("the lab could not be raised: {reason}")));
        }
    }
}
