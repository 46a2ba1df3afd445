//! What a machine boots with, in memory: programs with their libraries, the same for all kernels, and the kernel's modules.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Engine, busybox, run};

use super::kernel::Kernel;
use super::oracle::Floors;
use super::rows::Row;
use super::{modules, policies};
use crate::kit::{PLACE, bring};

const INIT: &str = include_str!("../../guest/init");
/// Where iptables' own build looks for its plugins: on Debian, and on Red Hat's systems.
const PLUGINS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib64/xtables"];
/// The iptables that the name alone means: that of hosts whose firewall is still xtables.
const VARIANT: &str = "legacy";

/// What all machines have: an archive.
#[derive(Debug)]
pub(crate) struct Base(PathBuf);

impl Base {
    /// Packs it: the programs, and what the first process exports to them.
    pub(crate) fn pack(programs: &[(String, PathBuf)], settings: &str, directory: &Path) -> Result<Self> {
        let root = directory.join("root");
        let kit = root.join(PLACE.trim_start_matches('/'));
        fs::create_dir_all(kit.join("lib"))?;
        fs::copy(busybox()?, kit.join("busybox")).context("cannot copy busybox")?;
        programs.iter().try_for_each(|(name, program)| bring(program, &kit, name))?;
        link_iptables(&kit)?;
        take_plugins(&root)?;
        policies::write(&kit)?;
        fs::write(kit.join("settings"), settings)?;
        furnish(&root)?;
        let archive = directory.join("base.cpio");
        pack(&root, &archive)?;
        Ok(Self(archive))
    }

    /// The whole for a row: archives one after the other are one to the kernel.
    pub(crate) fn with_kernel(
        &self,
        row: &Row,
        tried: &[Engine],
        kernel: &Kernel,
        directory: &Path,
    ) -> Result<PathBuf> {
        let root = directory.join("modules");
        modules::take(&kernel.modules, &root)?;
        if let Some(system) = &kernel.system {
            take_system(system, &root)?;
        }
        let engines = tried.iter().map(|engine| {
            let Floors { applies, packets } = Floors::of(row, *engine);
            format!("{} {} {applies} {packets}\n", engine, engine.backend())
        });
        fs::create_dir(root.join("etc"))?;
        fs::write(root.join("etc/engines"), engines.collect::<String>())?;
        let (part, whole) = (directory.join("modules.cpio"), directory.join("initramfs"));
        pack(&root, &part)?;
        let mut archive = File::create(&whole)?;
        for part in [&self.0, &part] {
            io::copy(&mut File::open(part)?, &mut archive)?;
        }
        fs::remove_file(part)?;
        Ok(whole)
    }
}

/// One program each, which does as it is called.
fn link_iptables(kit: &Path) -> Result<()> {
    for family in ["iptables", "ip6tables"] {
        for verb in ["", "-save", "-restore"] {
            for variant in ["legacy", "nft"] {
                symlink(format!("xtables-{variant}-multi"), kit.join(format!("{family}-{variant}{verb}")))?;
            }
            symlink(format!("xtables-{VARIANT}-multi"), kit.join(format!("{family}{verb}")))?;
        }
    }
    Ok(())
}

/// They need no library that the program itself has not.
fn take_plugins(root: &Path) -> Result<()> {
    let plugins = PLUGINS.iter().find(|place| Path::new(place).is_dir());
    let plugins = plugins.with_context(|| format!("no plugins of iptables in {}", PLUGINS.join(" or ")))?;
    let target = root.join(plugins.trim_start_matches('/'));
    fs::create_dir_all(&target)?;
    run(Command::new("sh").args(["-ec", "cp \"$1\"/*.so \"$2\"", "sh", plugins]).arg(target)).map(drop)
}

/// What of a system's root file system its programs may need.
const OF_SYSTEM: &str = "bin sbin lib lib64 usr/bin usr/sbin usr/lib usr/lib64";

/// The system's own programs, which `guest/init` puts in the place of those that this machine brings. Without the kernel's modules.
fn take_system(system: &Path, root: &Path) -> Result<()> {
    let target = root.join("system");
    fs::create_dir_all(&target)?;
    let script = format!(
        "cd \"$1\"; tar -c --exclude=lib/modules $(ls -d {OF_SYSTEM} 2>/dev/null) | tar -x -C \"$2\""
    );
    let mut command = Command::new("sh");
    command.args(["-ec", &script, "sh"]).arg(system).arg(&target);
    run(&mut command).with_context(|| format!("cannot take {}", system.display())).map(drop)
}

/// Where the kernel and programs look for what is in the kit.
fn furnish(root: &Path) -> Result<()> {
    let init = root.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    symlink("/bin", root.join("sbin"))?;
    symlink(PLACE, root.join("usr/sbin"))?;
    Ok(())
}

/// Not compressed: that would take longer to unpack than to read.
fn pack(root: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-ec", "find . | \"$1\" cpio -o -H newc", "sh"]).arg(busybox()?);
    command.current_dir(root).stdout(File::create(archive)?).stderr(Stdio::null());
    let status = command.status().context("cannot start a shell")?;
    ensure!(status.success(), "cannot pack {}", root.display());
    Ok(fs::remove_dir_all(root)?)
}
