//! Containment: whatever a lab does dies with it and leaves nothing on the machine.
//!
//! [`contain()`] makes three processes of one. The *outer* one stays as it is, waits, and tidies up what outlives
//! processes (cgroups). Its child is the *init* of a new process namespace with private mounts: it reaps orphans,
//! for dockerd takes a zombie of its old containerd for a living one. The *inner* one runs the program. The kernel
//! kills all of a process namespace when its init dies, and init dies with the outer process (parent-death signal),
//! so SIGKILL, a panic and Ctrl-C all end in the same way; mounts and network namespaces go with their last process.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, Command, ExitStatus};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, Uid};

use crate::{cgroups, mounts};

/// Says who we are: `init:PID` or `inner:PID`, PID being the outer process as the machine numbers it.
pub(crate) const MARKER: &str = "DOCKFW_LAB";

/// Puts the program into its container; the first call of `main`, before any thread is started.
///
/// Returns only in the inner process; the outer one and init end in here, with the inner one's exit code. An error
/// says why this machine cannot hold a lab (no root, say): a test program then reports its cases as skipped.
pub fn contain() -> Result<()> {
    match env::var(MARKER).ok().as_deref().and_then(|marker| marker.split_once(':')) {
        Some(("inner", _)) => Ok(release_signals()?),
        Some((_, outer)) => init(outer),
        None => outer(),
    }
}

/// The name that is unique to this lab on the machine: that of its cgroups, and part of its processes' environment.
#[must_use]
pub fn lab_name() -> String {
    let marker = env::var(MARKER).unwrap_or_default();
    format!("{}{}", cgroups::PREFIX, marker.split_once(':').map_or("0", |(_, outer)| outer))
}

fn outer() -> Result<()> {
    ensure!(Uid::effective().is_root(), "not root");
    unshare(CloneFlags::CLONE_NEWPID).context("no process namespace of our own")?;
    // Held back rather than ignored: they are waited for, end the lab, and then we tidy up.
    awaited_signals().thread_block()?;
    cgroups::sweep_stale();
    let status = watch(again(&format!("init:{}", process::id()))?)?;
    cgroups::remove(&format!("{}{}", cgroups::PREFIX, process::id()))?;
    process::exit(exit_code(status));
}

fn init(outer: &str) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // The outer process may have died before the line above took effect.
    ensure!(mounts::parent_pid()?.as_deref() == Some(outer), "the outer process is gone");
    mounts::make_private()?;
    let inner = again(&format!("inner:{outer}"))?;
    process::exit(reap_until(Pid::from_raw(i32::try_from(inner.id())?))?);
}

fn again(marker: &str) -> Result<Child> {
    let program = env::current_exe().context("cannot find this program")?;
    Command::new(&program)
        .args(env::args_os().skip(1))
        .env(MARKER, marker)
        .spawn()
        .with_context(|| format!("cannot start {} again", program.display()))
}

fn reap_until(inner: Pid) -> Result<i32> {
    loop {
        match wait()? {
            WaitStatus::Exited(pid, code) if pid == inner => return Ok(code),
            WaitStatus::Signaled(pid, signal, _) if pid == inner => return Ok(128 + signal as i32),
            _ => {}
        }
    }
}

/// As a shell would say it.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn awaited_signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect()
}

/// Waits for init, or for a reason to end it. By signals and not by threads: the kernel lets a process that has
/// unshared its process namespace start no more threads.
fn watch(mut init: Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = init.try_wait().context("cannot wait for the lab")? {
            return Ok(status);
        }
        if awaited_signals().wait()? != Signal::SIGCHLD {
            init.kill()?;
        }
    }
}

/// The outer process's mask comes down to us through exec.
fn release_signals() -> nix::Result<()> {
    awaited_signals().thread_unblock()
}
