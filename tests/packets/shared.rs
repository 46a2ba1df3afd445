//! The lab that is up. Cases are run by a thread that owns it; one for another kind of lab takes the first one down.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use crate::fixture::{self, Kind, PacketFixture};

type Job = Box<dyn FnOnce(&PacketFixture<'_>) -> Result<()> + Send>;

struct SharedFixture {
    kind: Kind,
    jobs: Sender<(Job, Sender<Result<()>>)>,
    thread: JoinHandle<()>,
}

static SHARED: Mutex<Option<SharedFixture>> = Mutex::new(None);

/// Runs a case in such a lab.
pub(crate) fn on(
    kind: Kind,
    case: impl FnOnce(&PacketFixture<'_>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let mut shared = current();
    if shared.as_ref().is_some_and(|shared| shared.kind != kind) {
        take_down(&mut shared);
    }
    let shared = shared.get_or_insert_with(|| raise(kind));
    let (answer, answered) = channel();
    shared.jobs.send((Box::new(case), answer)).ok().context("the lab's thread has ended")?;
    answered.recv().context("the case panicked")?
}

/// Takes down the lab that is up.
pub(crate) fn clear() {
    take_down(&mut current());
}

fn current() -> MutexGuard<'static, Option<SharedFixture>> {
    SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take_down(shared: &mut Option<SharedFixture>) {
    if let Some(SharedFixture { jobs, thread, .. }) = shared.take() {
        drop(jobs);
        // It panicked with a case, which has said so.
        let _ = thread.join();
    }
}

fn raise(kind: Kind) -> SharedFixture {
    let (jobs, todo) = channel();
    let own_kind = kind.clone();
    let thread = thread::spawn(move || run(own_kind, &todo));
    SharedFixture { kind, jobs, thread }
}

fn run(kind: Kind, todo: &Receiver<(Job, Sender<Result<()>>)>) {
    let result = fixture::with(kind, |fixture| {
        for (job, answer) in todo {
            // Who asked has gone: nobody is interested.
            let _ = answer.send(job(fixture));
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
