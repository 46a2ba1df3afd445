//! Signals that end dockfw while a program runs. Programs are in process groups of their own, which Ctrl-C does not
//! reach: the caller that runs one ends it first, and then the signal takes effect.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, c_int};
use signal_hook::{flag, low_level};

/// Those by which people and service managers end a program.
const ENDING: [c_int; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Whether no program runs: a signal then ends dockfw at once.
static IS_IDLE: AtomicBool = AtomicBool::new(true);
/// The signal that arrived while programs ran, or 0.
static CAUGHT: AtomicUsize = AtomicUsize::new(0);
/// Written when a child ends. Nobody reads it.
static CHILD_ENDED: AtomicBool = AtomicBool::new(false);
/// How many programs run.
static RUNNING: Mutex<usize> = Mutex::new(0);

/// The watch over one running program. When the last program has ended, a signal that arrived meanwhile ends dockfw.
pub(crate) struct Watch {
    /// The signals that are blocked, and were pending before.
    pending: u64,
}

impl Watch {
    /// Starts to watch for signals.
    pub(crate) fn begin() -> io::Result<Self> {
        static CATCH: LazyLock<Result<(), (io::ErrorKind, String)>> =
            LazyLock::new(|| catch().map_err(|error| (error.kind(), error.to_string())));
        CATCH.clone().map_err(|(kind, error)| io::Error::new(kind, error))?;
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        IS_IDLE.store(false, Ordering::SeqCst);
        Ok(Self { pending: pending() })
    }

    /// Returns whether a signal has arrived since that ends dockfw, or that dockfw waits for with the signal blocked.
    pub(crate) fn has_come(&self) -> bool {
        CAUGHT.load(Ordering::SeqCst) != 0 || pending() & !self.pending != 0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_sub(1);
        if *running > 0 {
            return;
        }
        IS_IDLE.store(true, Ordering::SeqCst);
        if let Some(signal) =
            c_int::try_from(CAUGHT.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
        {
            // This does not return: by default, each of them ends a process.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

fn catch() -> io::Result<()> {
    // A caller may have set the ends of children to be ignored, and then the kernel reports to nobody how they ended
    // (waitpid(2)). A handler, even one that does nothing, changes that; the programs that are started do not inherit it.
    flag::register(SIGCHLD, &CHILD_ENDED)?;
    // As nohup(1) does.
    let ignored = mask("SigIgn:");
    for signal in ENDING.into_iter().filter(|signal| ignored & bit(*signal) == 0) {
        flag::register_conditional_default(signal, &IS_IDLE)?;
        flag::register_usize(signal, &CAUGHT, usize::try_from(signal).unwrap_or_default())?;
    }
    Ok(())
}

/// Returns the signals of the process that are pending.
fn pending() -> u64 {
    let ending: u64 = ENDING.into_iter().map(bit).sum();
    mask("ShdPnd:") & ending
}

/// Returns a set of signals that the kernel reports for this process (proc_pid_status(5)).
fn mask(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}
