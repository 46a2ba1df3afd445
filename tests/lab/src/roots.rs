//! Root file systems of other releases of Debian, each with its Docker and its iptables.
//!
//! Built once by mmdebstrap from the mirror that this machine's apt uses, and kept in a cache, by suite and package
//! list: `DOCKFW_ROOTS`, or `dockfw/roots` in the user's cache directory. A lab only ever reads them. A root does not
//! age: to get a newer one of a suite that moves, remove it.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::stderr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use crate::programs::find;
use crate::run::run;
use crate::wait::wait_until;

/// What every root has. No kernel: the machine's own runs them all.
const PACKAGES: [&str; 8] =
    ["docker.io", "iptables", "ipset", "nftables", "iproute2", "conntrack", "procps", "kmod"];
/// Suites whose docker.io brings its client.
const WITH_CLIENT: [&str; 2] = ["bullseye", "bookworm"];
/// Another run may be building the same root; that takes a minute where the mirror is near.
const BUILT: Duration = Duration::from_secs(1800);

/// A root file system that a lab's host can have instead of the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    suite: String,
    directory: PathBuf,
}

impl Root {
    /// The root of a suite, which is built if it is not in the cache. An error is a reason to skip.
    ///
    /// To be called before [`contain`](crate::contain()): a lab's `/run` may hide how names are resolved.
    pub fn prepare(suite: &str) -> Result<Self> {
        let directory = directory(suite)?;
        let root = if directory.is_dir() { Self::cached(suite) } else { build(suite, &directory) };
        root.with_context(|| format!("no root of {suite}"))
    }

    /// The root of a suite if it is in the cache.
    pub fn cached(suite: &str) -> Result<Self> {
        let directory = directory(suite)?;
        ensure!(directory.is_dir(), "it is not built: ./dev test --docker {suite}");
        Ok(Self { suite: suite.to_owned(), directory })
    }

    /// The name of the suite.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Where it lies; to be read only.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version of its Docker as its package says it, `26.1.5+dfsg1-9` for one.
    pub fn docker_version(&self) -> Result<String> {
        let status = fs::read_to_string(self.directory.join("var/lib/dpkg/status"))?;
        let mut packages = status.split("\n\n");
        let docker = packages.find(|package| package.starts_with("Package: docker.io\n"));
        let version = docker.and_then(|package| package.lines().find_map(|l| l.strip_prefix("Version: ")));
        version.map(str::to_owned).with_context(|| format!("no docker.io in {}", self.directory.display()))
    }
}

/// Where the root of a suite is, or will be.
fn directory(suite: &str) -> Result<PathBuf> {
    ensure!(!suite.is_empty() && suite.bytes().all(|b| b.is_ascii_lowercase()), "no suite: {suite:?}");
    Ok(cache()?.join(key(suite)))
}

fn cache() -> Result<PathBuf> {
    cache_directory("DOCKFW_ROOTS", "roots")
}

/// Where what is built once is kept: what the variable says, or a directory of that name in the user's cache.
pub fn cache_directory(variable: &str, name: &str) -> Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_home = || named("HOME").map(|home| home.join(".cache"));
    let of_user = || named("XDG_CACHE_HOME").or_else(of_home).map(|cache| cache.join("dockfw").join(name));
    let cache = named(variable).or_else(of_user).with_context(|| format!("no {variable} and no HOME"))?;
    // Each test program runs in the directory of its own package.
    ensure!(cache.is_absolute(), "not an absolute path: {}", cache.display());
    Ok(cache)
}

fn packages(suite: &str) -> String {
    let client = (!WITH_CLIENT.contains(&suite)).then_some("docker-cli");
    PACKAGES.into_iter().chain(client).collect::<Vec<_>>().join(",")
}

fn key(suite: &str) -> String {
    let mut hasher = DefaultHasher::new();
    packages(suite).hash(&mut hasher);
    format!("{suite}-{:08x}", hasher.finish() >> 32)
}

fn build(suite: &str, directory: &Path) -> Result<Root> {
    ensure!(Uid::effective().is_root(), "not root");
    find("mmdebstrap")?;
    let mirror = debian_mirror()?;
    fs::create_dir_all(cache()?).with_context(|| format!("cannot create {}", directory.display()))?;
    let _lock = lock(&directory.with_extension("lock"))?;
    // While we waited, another run may have finished it.
    Root::cached(suite).or_else(|_| build_alone(suite, &mirror, directory))
}

/// Under a name that nobody looks for until it is whole.
fn build_alone(suite: &str, mirror: &str, directory: &Path) -> Result<Root> {
    let partial = directory.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    eprintln!("lab: building a root of Debian {suite} in {} (once)", directory.display());
    let status = mmdebstrap(suite, &partial, mirror)?.status().context("cannot start mmdebstrap")?;
    if !status.success() {
        fs::remove_dir_all(&partial).ok();
        bail!("mmdebstrap failed, {status}");
    }
    fs::rename(&partial, directory)?;
    Root::cached(suite)
}

/// With mounts and processes of its own, which end with us: what is left of an interrupted run is files, and no
/// mount of the machine's `/dev` among them.
fn mmdebstrap(suite: &str, target: &Path, mirror: &str) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid", "--fork", "--mount-proc"]);
    command.args(["--kill-child=KILL", "--", "mmdebstrap", "--mode=root", "--variant=minbase"]);
    command.args(["--components=main", "--format=directory"]).arg(format!("--include={}", packages(suite)));
    for option in ["APT::Install-Recommends \"false\"", "Acquire::Languages \"none\""] {
        command.arg(format!("--aptopt={option}"));
    }
    if suite == "sid" {
        // A mirror's sid may be past its date for a while.
        command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    for tree in ["man", "doc", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{tree}/*"));
    }
    command.arg("--dpkgopt=force-unsafe-io").arg(suite).arg(target).arg(mirror);
    command.env("PATH", crate::programs::SYSTEM).stdin(Stdio::null()).stdout(stderr_again()?);
    Ok(command)
}

/// Standard output is the test's.
fn stderr_again() -> Result<Stdio> {
    use std::os::fd::AsFd;
    Ok(stderr().as_fd().try_clone_to_owned()?.into())
}

/// The mirror from which this machine's apt gets Debian.
pub fn debian_mirror() -> Result<String> {
    let format = "$(REPO_URI) $(LABEL)";
    let targets =
        run(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let found = targets.lines().find_map(|line| line.strip_suffix(" Debian"));
    found.map(str::to_owned).context("apt knows no mirror of Debian; apt-get update may help")
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let mut told = false;
    let mut file = Some(File::create(path).with_context(|| format!("cannot create {}", path.display()))?);
    wait_until(BUILT, &format!("for {}", path.display()), || {
        match Flock::lock(file.take()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Some(Ok(lock)),
            Err((again, Errno::EWOULDBLOCK)) => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("lab: waiting for another run, which holds {}", path.display());
                }
                file = Some(again);
                None
            }
            Err((_, error)) => Some(Err(anyhow!("cannot lock {}: {error}", path.display()))),
        }
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_package_list_is_another_root() {
        assert!(key("sid").starts_with("sid-"));
        assert_ne!(key("bullseye").trim_start_matches("bullseye"), key("sid").trim_start_matches("sid"));
    }

    #[test]
    fn names_of_suites_are_no_paths() {
        assert!(Root::cached("../sid").unwrap_err().to_string().contains("no suite"));
        assert!(Root::prepare("../sid").unwrap_err().to_string().contains("no suite"));
    }
}
