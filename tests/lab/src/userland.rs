//! Where programs of the lab's host run: in this machine's root file system, or in another release's.
//!
//! Another [`Root`] is entered by `pivot_root` in a mount namespace of its own, for runc refuses to start a container
//! in a chroot. Memory lies over it, and `/proc`, `/sys`, `/dev`, `/run` and `/etc/dockfw` are the lab's. The network
//! namespaces stay what they are. A program of this machine, dockfw for one, brings its libraries along.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::chroot;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::pivot_root;

use crate::mounts::{Substitute, WORK, overlay, set_apart, tmpfs};
use crate::netns::{Netns, in_thread, of_thread};
use crate::programs::{Variant, find, search_path};
use crate::roots::Root;
use crate::run::run;

/// What a root sees of the lab, and whether with all that is mounted below.
const SHARED: [(&str, bool); 5] =
    [("/proc", true), ("/sys", true), ("/dev", true), ("/run", false), ("/etc/dockfw", false)];
/// The kernel's modules fit to no other release; iptables-legacy has them loaded by itself.
const MODULES: &str = "/lib/modules";

/// The root file system in which the host's programs run, and their `PATH`.
#[derive(Clone, Debug)]
pub(crate) struct Userland {
    /// The mount namespace; none for the lab's own.
    mounts: Option<Arc<File>>,
    path: OsString,
}

impl Userland {
    /// Enters the root, if there is to be another one, and finds the chosen iptables there.
    pub(crate) fn raise(root: Option<&Root>, variant: &Variant) -> Result<Self> {
        let mounts = root.map(enter).transpose()?.map(Arc::new);
        let userland = Self { mounts, path: OsString::new() };
        let path = userland.run(|| search_path(variant, root.map(Root::suite)))?;
        Ok(Self { path, ..userland })
    }

    /// The same programs, with mounts in which what Docker, iptables and dockfw write is apart from everyone else's.
    pub(crate) fn apart(&self, name: &str) -> Result<Self> {
        let mounts = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            set_apart(name)?;
            File::open(of_thread("ns/mnt")).context("no /proc")
        });
        let mounts = mounts.with_context(|| format!("cannot set {name} apart"))?;
        Ok(Self { mounts: Some(Arc::new(mounts)), path: self.path.clone() })
    }

    /// `PATH`: the links to the chosen iptables first.
    pub(crate) fn path(&self) -> &OsString {
        &self.path
    }

    /// Does something with the file system that the host's programs see.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(mounts) = &self.mounts else { return work() };
        in_thread(|| {
            let entered = unshare(CloneFlags::CLONE_FS).and_then(|()| setns(mounts, CloneFlags::CLONE_NEWNS));
            entered.unwrap_or_else(|error| panic!("cannot enter a mount namespace: {error}"));
            work()
        })
    }

    /// A command that runs one of the host's programs, in this network namespace.
    pub(crate) fn command(&self, netns: &Netns, program: impl AsRef<Path>) -> Command {
        let mut command = netns.command_in(self.mounts().as_deref(), program);
        command.env("PATH", &self.path);
        command
    }

    /// A path that opens the mount namespace, where it is not the lab's own.
    fn mounts(&self) -> Option<String> {
        let file = self.mounts.as_ref()?;
        Some(format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd()))
    }

    /// Puts the root's program in the place of this machine's.
    pub(crate) fn lend(&self, program: &str) -> Result<Substitute> {
        let mounts = self.mounts().context("there is no root to lend programs from")?;
        let (own, of_root) = (find(program)?, self.run(|| find(program))?);
        Substitute::of(
            &own,
            &format!("#!/bin/sh\nexec nsenter --mount={mounts} -- {} \"$@\"\n", of_root.display()),
        )
    }

    /// The words by which a program of this machine is started, whose libraries may not be those of the root: there
    /// it lies beside copies of its libraries, and this machine's loader starts it with them.
    pub(crate) fn bring(&self, program: &Path) -> Result<Vec<PathBuf>> {
        match &self.mounts {
            None => Ok(vec![program.to_owned()]),
            Some(_) => copy_with_libraries(program),
        }
    }
}

fn enter(root: &Root) -> Result<File> {
    fs::create_dir_all("/etc/dockfw")?;
    in_thread(|| {
        pivot_into(root.directory())?;
        File::open(of_thread("ns/mnt")).context("no /proc")
    })
    .with_context(|| format!("cannot enter {}", root.directory().display()))
}

/// Makes `lower` the root of this thread, in mounts of its own.
fn pivot_into(lower: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let base = Path::new(WORK).join("userland");
    fs::create_dir_all(&base)?;
    // Seen by nobody outside, so that it goes with the last process inside.
    tmpfs(&base)?;
    let root = base.join("root");
    fs::create_dir(&root)?;
    overlay(lower, &base, &root)?;
    for (directory, recursive) in SHARED {
        bind(&root, directory, recursive)?;
    }
    if Path::new(MODULES).is_dir() {
        bind(&root, MODULES, false)?;
    }
    env::set_current_dir(&root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chroot(".")?)
}

fn bind(root: &Path, directory: &str, recursive: bool) -> Result<()> {
    let target = root.join(directory.trim_start_matches('/'));
    fs::create_dir_all(&target)?;
    let flags = if recursive { MsFlags::MS_BIND | MsFlags::MS_REC } else { MsFlags::MS_BIND };
    mount(Some(directory), &target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot bind {directory}"))
}

fn copy_with_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let directory = Path::new(WORK).join("program");
    fs::create_dir_all(&directory)?;
    let copy = |file: &Path| -> Result<PathBuf> {
        let target = directory.join(file.file_name().context("a file has a name")?);
        fs::copy(file, &target).with_context(|| format!("cannot copy {}", file.display()))?;
        Ok(target)
    };
    let files: Vec<PathBuf> = libraries(program)?.iter().map(|file| copy(file)).collect::<Result<_>>()?;
    let is_loader =
        |file: &&PathBuf| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-"));
    let loader = files.iter().find(is_loader).context("no loader among its libraries")?;
    Ok(vec![loader.clone(), "--library-path".into(), directory.clone(), copy(program)?])
}

/// The libraries that a program of this machine is started with, the loader among them.
pub fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = run(Command::new("ldd").arg(program))?;
    Ok(listed.lines().filter_map(library).collect())
}

/// `libmnl.so.0 => /lib/libmnl.so.0 (0x...)` or, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x...)`.
fn library(line: &str) -> Option<PathBuf> {
    let found = line.split_once("=>").map_or(line, |(_, found)| found);
    found.split_whitespace().next().filter(|word| word.starts_with('/')).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_have_paths() {
        assert_eq!(library("\tlibmnl.so.0 => /lib/libmnl.so.0 (0x00)"), Some("/lib/libmnl.so.0".into()));
        assert_eq!(library("\t/lib64/ld-linux.so.2 (0x00)"), Some("/lib64/ld-linux.so.2".into()));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00)"), None);
    }
}
