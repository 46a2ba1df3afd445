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
    fn suffix(&self) -> Option<&'static str> {
        match self {
            Self::Nft => Some("nft"),
            Self::Legacy => Some("legacy"),
            Self::Native | Self::Directory(_) => None,
        }
    }
}

/// The system directories are named because a test may be started by a user's shell, without the sbin ones.
const SYSTEM: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The `PATH` in which the chosen iptables comes first.
pub(crate) fn search_path(variant: &Variant) -> Result<OsString> {
    let mut path = OsString::new();
    let first = match (variant, variant.suffix()) {
        (Variant::Directory(directory), _) => Some(directory.clone()),
        (_, suffix) => suffix.map(links).transpose()?,
    };
    if let Some(first) = first {
        path.push(first);
        path.push(":");
    }
    path.push(SYSTEM);
    Ok(path)
}

fn links(suffix: &str) -> Result<PathBuf> {
    let directory = Path::new(WORK).join(format!("iptables-{suffix}"));
    fs::create_dir_all(&directory)?;
    for family in ["iptables", "ip6tables"] {
        for verb in ["", "-save", "-restore"] {
            let target = find(&format!("{family}-{suffix}{verb}"))
                .with_context(|| format!("this machine has no {family}-{suffix}{verb}"))?;
            let link = directory.join(format!("{family}{verb}"));
            if !link.exists() {
                symlink(&target, &link).with_context(|| format!("cannot link {}", link.display()))?;
            }
        }
    }
    Ok(directory)
}

/// Where `name` is, among the system's directories and those of `PATH`.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let own = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(SYSTEM).chain(env::split_paths(&own));
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.is_file()))
        .with_context(|| format!("no {name}"))
}

/// The programs that make up Docker.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The daemon.
    pub dockerd: PathBuf,
    /// The client, of a version that speaks with the daemon.
    pub docker: PathBuf,
    /// A busybox that needs no libraries: the only program in the containers.
    pub busybox: PathBuf,
    /// Comes first in the daemon's `PATH`, for containerd, runc and docker-proxy of another root.
    pub helpers: Option<PathBuf>,
}

impl Programs {
    /// Those that the machine's packages brought.
    pub fn of_this_machine() -> Result<Self> {
        Ok(Self {
            dockerd: find("dockerd")?,
            docker: find("docker")?,
            busybox: find("busybox")?,
            helpers: None,
        })
    }

    /// What a lab with Docker needs of the machine, checked before it is raised: an error is a reason to skip.
    pub fn check(variant: &Variant) -> Result<()> {
        let programs = Self::of_this_machine()?;
        for program in ["ip", "nft", "nsenter", "tar"] {
            find(program)?;
        }
        ensure!(is_static(&programs.busybox)?, "{} is not static", programs.busybox.display());
        variant.suffix().map_or(Ok(()), |suffix| find(&format!("iptables-{suffix}")).map(drop))
    }
}

/// A program without an interpreter needs no dynamic loader; the name of the loader is in plain sight otherwise.
fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let head = bytes.get(..4096).unwrap_or(&bytes);
    Ok(!head.windows(8).any(|window| window == b"ld-linux" || window == b"/ld-musl"))
}
