//! What a contained program sees of the file system: the machine's, with everything that Docker, iproute2, the
//! iptables lock or dockfw would write replaced by memory of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Where the lab keeps its own things; on the private tmpfs of `/run`.
pub const WORK: &str = "/run/dockfw-lab";

/// Where dockerd keeps its own: its default, so that programs that look there find it.
pub(crate) const DOCKER_ROOT: &str = "/var/lib/docker";

/// Directories that stay readable as they are on the machine, with changes kept in memory.
const LAYERED: [&str; 3] = ["/etc", "/var/lib", "/opt"];

const NONE: Option<&str> = None;

/// Gives this process and its children private mounts. The whole of `/run` is replaced: beside the sockets, locks
/// and namespaces that would be shared, the machine's D-Bus lies there, over which dockerd would talk to a firewalld.
pub(crate) fn make_private() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace of our own")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("cannot make mounts private")?;
    let careful = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), careful, NONE).context("cannot mount /proc")?;
    empty_run()?;
    LAYERED.into_iter().try_for_each(layer)
}

/// Gives the calling process, which has but one thread, mounts in which what dockfw and iptables write is memory of its own: a
/// lesser [`contain`](crate::contain()), for programs that start nothing that stays, on kernels that may have little.
pub fn keep_apart() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace of our own")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("cannot make mounts private")?;
    empty_run()?;
    fs::create_dir_all("/var/lib")?;
    tmpfs("/var/lib")
}

fn empty_run() -> Result<()> {
    tmpfs("/run")?;
    for directory in ["/run/netns", "/run/lock", WORK] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {directory}"))?;
    }
    Ok(())
}

/// What of the lab's `/run` all hosts share: names of namespaces, and the lab's own things.
const COMMON: [&str; 2] = ["/run/netns", WORK];
/// Where Docker and dockfw write beside `/run` and Docker's data root.
const WRITTEN: [&str; 3] = ["/etc/docker", "/etc/dockfw", "/var/lib/dockfw"];

/// Gives the thread's mounts, which must be its own, an empty place of each that a host writes to.
pub(crate) fn set_apart(name: &str) -> Result<()> {
    let run = Path::new(WORK).join("run-of").join(name);
    fs::create_dir_all(&run)?;
    tmpfs(&run)?;
    fs::create_dir(run.join("lock"))?;
    for directory in COMMON {
        let target = run.join(directory.trim_start_matches("/run/"));
        fs::create_dir_all(&target)?;
        mount(Some(directory), &target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
            .with_context(|| format!("cannot bind {directory}"))?;
    }
    mount(Some(&run), "/run", NONE, MsFlags::MS_MOVE, NONE).context("cannot move mounts to /run")?;
    for directory in WRITTEN {
        fs::create_dir_all(directory)?;
        tmpfs(directory)?;
    }
    Ok(())
}

/// An empty dockerd data root. Of its own file system even here: overlay2 cannot lie on an overlay.
pub(crate) fn fresh_docker_root() -> Result<()> {
    fs::create_dir_all(DOCKER_ROOT)?;
    // From the lab before, if there was one; busy or not, nobody is to see it any more.
    let _ = umount2(DOCKER_ROOT, MntFlags::MNT_DETACH);
    tmpfs(DOCKER_ROOT)
}

/// A program that stands in the place of one of the machine's. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Substitute(PathBuf);

impl Substitute {
    /// Puts a script in the place of `program`.
    pub(crate) fn of(program: &Path, script: &str) -> Result<Self> {
        let name = program.file_name().context("a program has a name")?;
        let substitute = Path::new(WORK).join("instead").join(name);
        fs::create_dir_all(Path::new(WORK).join("instead"))?;
        fs::write(&substitute, script)?;
        fs::set_permissions(&substitute, Permissions::from_mode(0o755))?;
        mount(Some(&substitute), program, NONE, MsFlags::MS_BIND, NONE)
            .with_context(|| format!("cannot put a script in place of {}", program.display()))?;
        Ok(Self(program.to_owned()))
    }
}

impl Drop for Substitute {
    fn drop(&mut self) {
        // The mount is the lab's own, and goes with its last process if not now.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

pub(crate) fn tmpfs(target: impl AsRef<Path>) -> Result<()> {
    let target = target.as_ref();
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .with_context(|| format!("cannot mount a tmpfs on {}", target.display()))
}

/// Keeps what is changed in a directory of the machine, if it has it, in memory from here on.
pub fn layer(target: &str) -> Result<()> {
    if !Path::new(target).is_dir() {
        return Ok(());
    }
    let name = target.trim_start_matches('/').replace('/', "-");
    let target = Path::new(target);
    overlay(target, &Path::new(WORK).join("layers").join(name), target)
}

/// Mounts `lower` on `target`, with changes kept in `memory`.
pub(crate) fn overlay(lower: &Path, memory: &Path, target: &Path) -> Result<()> {
    let (upper, work) = (memory.join("upper"), memory.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let [lower, upper, work] = [lower, &upper, &work].map(|path| path.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("cannot layer memory over {lower}"))
}

/// Our parent as the machine numbers it; only right while `/proc` is still the machine's.
pub(crate) fn parent_pid() -> Result<Option<String>> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    Ok(status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|pid| pid.trim().to_owned()))
}
