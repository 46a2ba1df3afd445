//! The stop-gap: what is in force while a boot takes longer than a host can be without a firewall. Whatever the boot
//! waits for (a program, a file on a dead mount, the lock), the fail-safe is in force in the meantime. The policy
//! replaces it when it is ready.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::failsafe;
use crate::cli::Failsafe;
use crate::enact::InForce;
use crate::engines::{self, Chosen};
use crate::exit::Exit;
use crate::lock::Lock;
use crate::message::Message;
use crate::output::{error, warning};

/// How long a boot may have nothing in force. Putting the fail-safe there may take the time of two more programs that
/// hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after that the boot has failed: much else of the host waits for it. A program that loads rules has five
/// minutes.
const END: Duration = Duration::from_secs(370);

/// What a boot reports about itself.
enum Event {
    /// The boot can't go on.
    Failed,
    /// Something is in force.
    Done,
}

/// A thread that watches the clock.
pub(super) struct StopGap {
    boot: Sender<Event>,
    /// The thread's result: whether the fail-safe was put in force.
    clock: JoinHandle<bool>,
}

impl StopGap {
    /// Starts to watch the clock.
    pub(super) fn watch(failsafe: Failsafe) -> Self {
        let (boot, events) = mpsc::channel();
        let clock = thread::spawn(move || match events.recv_timeout(PATIENCE) {
            Ok(Event::Failed) => fill(failsafe, "the fail-safe is in force"),
            Ok(Event::Done) | Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                warning(format_args!(
                    "the policy is not in force after {} s; dockfw goes on trying",
                    PATIENCE.as_secs()
                ));
                let is_filled = fill(failsafe, "until then the fail-safe is in force");
                if matches!(events.recv_timeout(END), Err(RecvTimeoutError::Timeout)) {
                    give_up();
                }
                is_filled
            }
        });
        Self { boot, clock }
    }

    /// Puts the fail-safe in force at once: the boot can't go on.
    pub(super) fn fill(self) {
        self.end(Event::Failed);
    }

    /// Gives way to what is in force, and is to stay so: it replaces the stop-gap, if that was there.
    pub(super) fn give_way(self, in_force: InForce, lock: &Lock) -> anyhow::Result<Chosen> {
        if !self.end(Event::Done) {
            return Ok(in_force.chosen);
        }
        let chosen = Chosen::named(in_force.chosen.engine.name());
        chosen.put_in_force(&in_force.ruleset, lock)?;
        Ok(chosen)
    }

    fn end(self, event: Event) -> bool {
        // A thread that no longer watches the clock has ended.
        let _ = self.boot.send(event);
        self.clock.join().unwrap_or(true)
    }
}

/// Puts the fail-safe in force, unless anything is, and reports that in these words. Returns whether it did.
fn fill(failsafe: Failsafe, what: &str) -> bool {
    if engines::is_any_in_force() {
        return false;
    }
    match failsafe::put_in_force(failsafe, None) {
        Ok((_, words)) => {
            warning(format_args!("{what}: {words}"));
            true
        }
        Err(reason) => {
            error(format_args!("NOTHING IS IN FORCE: {reason:#}"));
            // Part of it may be in force.
            true
        }
    }
}

fn give_up() -> ! {
    let seconds = (PATIENCE + END).as_secs();
    error(
        Message::new(format!("given up after {seconds} s; what is in force stays"))
            .help("see what this host waits for, and solve that, then: dockfw boot"),
    );
    process::exit(Exit::Failed as i32)
}
