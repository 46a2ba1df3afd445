//! What the environment asks for.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dockfw_lab::{Engine, seed};

use crate::lists::MOST;

/// The host that the policies are applied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FixtureKind {
    /// A real dockerd.
    Docker,
    /// What Docker would make, made by hand: for kernels without it.
    Bare,
}

/// How a run is to be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The program under test.
    pub(crate) program: PathBuf,
    pub(crate) seed: u64,
    pub(crate) fixture: FixtureKind,
    /// How long policies are applied at least.
    pub(crate) time: Duration,
    /// How many applies there are at least.
    pub(crate) applies: u64,
    /// How many packets are held against the walk at least.
    pub(crate) packets: u64,
    /// How many entries the longest lists of a policy have together.
    pub(crate) entries: usize,
}

impl Settings {
    /// As the environment has them, or as they are by default for an engine.
    pub(crate) fn of(engine: Engine) -> Result<Self> {
        // So that both engines together are held to a thousand applies and a million packets. Those of the compat engine take longer.
        let (applies, packets) = match engine {
            Engine::Native => (700, 600_000),
            Engine::Compat => (300, 400_000),
        };
        let entries = number("DOCKFW_ORACLE_ENTRIES", 50_000)?;
        ensure!(entries <= MOST, "DOCKFW_ORACLE_ENTRIES is {MOST} at most, not {entries}");
        Ok(Self {
            program: program(),
            seed: seed()?,
            fixture: fixture()?,
            time: Duration::from_secs(number("DOCKFW_ORACLE_SECONDS", 60)?),
            applies: number("DOCKFW_ORACLE_APPLIES", applies)?,
            packets: number("DOCKFW_ORACLE_PACKETS", packets)?,
            entries,
        })
    }
}

/// The one that was built along, or the one that `DOCKFW_TEST_PROGRAM` names.
fn program() -> PathBuf {
    env::var_os("DOCKFW_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_dockfw").into(), PathBuf::from)
}

/// Which fixture is asked for.
pub(crate) fn fixture() -> Result<FixtureKind> {
    match env::var("DOCKFW_ORACLE_FIXTURE").as_deref() {
        Err(_) | Ok("docker") => Ok(FixtureKind::Docker),
        Ok("bare") => Ok(FixtureKind::Bare),
        Ok(other) => bail!("DOCKFW_ORACLE_FIXTURE is docker or bare, not {other:?}"),
    }
}

fn number<T: FromStr<Err: fmt::Display + Send + Sync + std::error::Error + 'static>>(
    name: &str,
    default: T,
) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text:?}")),
        Err(_) => Ok(default),
    }
}
