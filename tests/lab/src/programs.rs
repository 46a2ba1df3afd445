//! Which programs the lab's host finds: the chosen iptables, and dockerd with its helpers.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::mounts::WORK;

/// The variant of iptables that programs on the host find in their `PATH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// `iptables-nft`, over nf_tables.
    #[default]
    Nft,
    /// `iptables-legacy`, over xtables.
    Legacy,
    /// What the machine has, as it is: where there is only one.
    Native,
    /// The programs in this directory come first.
    Directory(PathBuf),
}

impl Variant {
    /// A `PATH` in which it comes first.
    pub fn search_path(&self) -> Result<OsString> {
        search_path(self, None)
    }

    fn suffix(&self) -> Option<&'static str> {
        match self {
            Self::Nft => Some("nft"),
            Self::Legacy => Some("legacy"),
            Self::Native | Self::Directory(_) => None,
        }
    }
}

/// The system directories are named because a test may be started by a user's shell, without the sbin ones.
pub(crate) const SYSTEM: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The `PATH` in which the chosen iptables comes first; `root` names the root file system that we are in.
pub(crate) fn search_path(variant: &Variant, root: Option<&str>) -> Result<OsString> {
    let mut path = OsString::new();
    let first = match (variant, variant.suffix()) {
        (Variant::Directory(directory), _) => Some(directory.clone()),
        (_, suffix) => suffix.map(|suffix| links(suffix, root.unwrap_or("own"))).transpose()?,
    };
    if let Some(first) = first {
        path.push(first);
        path.push(":");
    }
    path.push(SYSTEM);
    Ok(path)
}

fn links(suffix: &str, root: &str) -> Result<PathBuf> {
    let directory = Path::new(WORK).join(format!("iptables-{suffix}-{root}"));
    fs::create_dir_all(&directory)?;
    for family in ["iptables", "ip6tables"] {
        for verb in ["", "-save", "-restore"] {
            let target = of_variant(family, suffix, verb)
                .with_context(|| format!("this machine has no {family}-{suffix}{verb}"))?;
            let link = directory.join(format!("{family}{verb}"));
            if !link.exists() {
                symlink(&target, &link).with_context(|| format!("cannot link {}", link.display()))?;
            }
        }
    }
    Ok(directory)
}

/// Where a program of this variant is. Before iptables 1.8 there was but one, and no word for it.
fn of_variant(family: &str, suffix: &str, verb: &str) -> Result<PathBuf> {
    match find(&format!("{family}-{suffix}{verb}")) {
        Err(_) if suffix == "legacy" && find("iptables-nft").is_err() => find(&format!("{family}{verb}")),
        found => found,
    }
}

/// Where `name` is, among the system's directories and those of `PATH`.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let own = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(SYSTEM).chain(env::split_paths(&own));
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.is_file()))
        .with_context(|| format!("no {name}"))
}

/// The programs of this machine that a lab with Docker needs, checked before it is raised.
#[derive(Clone, Copy, Debug)]
pub struct Programs;

impl Programs {
    /// Those for a lab on this machine's own Docker and iptables: an error is a reason to skip.
    pub fn check(variant: &Variant) -> Result<()> {
        Self::check_beside_root()?;
        for program in ["dockerd", "docker"] {
            find(program)?;
        }
        variant.suffix().map_or(Ok(()), |suffix| of_variant("iptables", suffix, "").map(drop))
    }

    /// Those for a lab with another [`Root`](crate::Root), which has the rest: an error is a reason to skip.
    pub fn check_beside_root() -> Result<()> {
        for program in ["ip", "nft", "nsenter", "tar"] {
            find(program)?;
        }
        busybox().map(drop)
    }
}

/// A busybox that needs no libraries: the only program in the containers.
pub fn busybox() -> Result<PathBuf> {
    let program = find("busybox")?;
    ensure!(is_static(&program)?, "{} is not static", program.display());
    Ok(program)
}

/// A program without an interpreter needs no dynamic loader; the name of the loader is in plain sight otherwise.
fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let head = bytes.get(..4096).unwrap_or(&bytes);
    Ok(!head.windows(8).any(|window| window == b"ld-linux" || window == b"/ld-musl"))
}
