//! Which Dockers a test is to be run with.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::layouts::Layout;
use crate::programs::{Programs, Variant, find};
use crate::roots::Root;
use crate::run::run;
use crate::topology::LabOptions;

/// The sources that are no releases: the rules of Docker 29's backends, beside the Docker of the release whose nft knows those of
/// the first one.
const LAYOUTS: [(&str, Layout); 2] = [("nftables", Layout::Nftables), ("iptables-29", Layout::Iptables29)];

/// A Docker that tests are to be run with: this machine's own, or that of another release.
#[derive(Clone, Debug)]
pub struct Choice {
    /// `host`, the suite, `nftables` or `iptables-29`.
    pub source: String,
    root: Option<Root>,
    obstacle: Option<String>,
}

impl Choice {
    /// Those that `DOCKFW_TEST_DOCKER` names: `host`, suites, `nftables` and `iptables-29` with commas between them; by default `host`
    /// and `nftables`, and with `none` no Docker at all.
    #[must_use]
    pub fn wanted() -> Vec<Self> {
        let named = env::var("DOCKFW_TEST_DOCKER").unwrap_or_default();
        let named = if named.trim().is_empty() { "host,nftables" } else { &named };
        let sources = named.split(',').map(str::trim).filter(|source| *source != "none");
        sources.map(Self::of).collect()
    }

    fn of(source: &str) -> Self {
        let suite = Self::suite(source);
        let root = suite.map(Root::cached).transpose();
        let obstacle =
            root.as_ref().err().map(|error| format!("no root of {}: {error:#}", suite.unwrap_or_default()));
        Self { source: source.to_owned(), root: root.unwrap_or_default(), obstacle }
    }

    /// The suite whose root a source needs, if it needs one.
    #[must_use]
    pub fn suite(source: &str) -> Option<&str> {
        match source {
            "host" => None,
            source if layout(source).is_some() => Some("sid"),
            suite => Some(suite),
        }
    }

    /// Whether Docker is on its nftables backend: no variant of iptables matters then, and the compat engine refuses.
    #[must_use]
    pub fn is_on_nftables(&self) -> bool {
        self.layout() == Some(Layout::Nftables)
    }

    /// Whose rules stand in place of Docker's own, if some do.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        layout(&self.source)
    }

    /// Its name for tests' names, by its version where that is known: `docker-26.1.5`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.layout() {
            Some(Layout::Nftables) => return "docker-on-nftables".into(),
            Some(Layout::Iptables29) => return "docker-29-on-iptables".into(),
            None => {}
        }
        let version = self.version().unwrap_or_else(|_| self.source.clone());
        format!("docker-{}", version.split('+').next().unwrap_or_default())
    }

    fn version(&self) -> Result<String> {
        if self.source != "host" && self.root.is_none() {
            bail!("no root");
        }
        docker_version(self.root.as_ref())
    }

    /// Why no lab can be raised with it and this iptables: a reason to skip.
    #[must_use]
    pub fn obstacle(&self, variant: &Variant) -> Option<String> {
        let machine =
            if self.root.is_some() { Programs::check_beside_root() } else { Programs::check(variant) };
        self.obstacle.clone().or_else(|| machine.err().map(|error| format!("{error:#}")))
    }

    /// A lab with it.
    #[must_use]
    pub fn lab(&self, variant: Variant, dockfw: Option<PathBuf>) -> LabOptions {
        LabOptions { variant, dockfw, root: self.root.clone(), layout: self.layout() }
    }
}

/// The layout that a source stands for, if it is one.
fn layout(source: &str) -> Option<Layout> {
    LAYOUTS.into_iter().find(|(name, _)| *name == source).map(|(_, layout)| layout)
}

/// The version of the Docker of a root, or of this machine's own.
pub(crate) fn docker_version(root: Option<&Root>) -> Result<String> {
    if let Some(root) = root {
        return root.docker_version();
    }
    // "Docker version 20.10.24+dfsg1, build 297e128"
    let said = run(Command::new(find("dockerd")?).arg("--version"))?;
    said.split_whitespace().nth(2).map(str::to_owned).context("no version")
}
