//! Disks of releases of Debian: built once by mmdebstrap from the mirror that this machine's apt uses, and kept in a
//! cache by suite, package list and what the runner puts there. A disk does not age: to get a newer one of a suite that
//! moves, remove it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{cache_directory, debian_mirror, run};
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{AGENT, AGENT_UNIT, Boot, Disk};
use crate::vmlinuz;

/// What a Docker host of Debian has here: Docker, what dockfw asks for, and the services whose restart is a scenario.
const PACKAGES: &str = "busybox-static,conntrack,docker.io,firewalld,ipset,iproute2,iptables,iptables-persistent,kmod,\
libmnl0,libnftnl11,linux-image-cloud-amd64,nftables,openssh-server,procps,systemd-sysv,udev";
/// Suites whose docker.io brings its client.
const WITH_CLIENT: [&str; 2] = ["bullseye", "bookworm"];
/// What waits for its scenario.
const NOT_AT_BOOT: &str = "containerd docker docker.socket firewalld netfilter-persistent nftables";
const NETWORK: &str = include_str!("../guest/eth0.network");
/// Larger than what any scenario writes; the file is sparse.
const SIZE: &str = "4G";

/// The disk of a suite if it is there; an error is a reason to skip a row.
pub(crate) fn cached(suite: &str) -> Result<Disk> {
    let directory = directory(suite)?;
    ensure!(directory.is_dir(), "its disk is not built: {}", directory.display());
    let boot = Boot::Kernel(directory.join("vmlinuz"));
    Ok(Disk { image: directory.join("disk.ext4"), format: "raw", boot })
}

/// Builds the disk of a suite, unless it is there.
pub(crate) fn build(suite: &str) -> Result<()> {
    let directory = directory(suite)?;
    if directory.is_dir() {
        return Ok(());
    }
    eprintln!("vm-test: building a disk of Debian {suite} in {} (once)", directory.display());
    // Under a name that nobody looks for until it is whole.
    let partial = directory.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let root = partial.join("root");
    mmdebstrap(suite, &root)?;
    furnish(&root)?;
    fs::copy(vmlinuz::of(&root)?, partial.join("vmlinuz")).context("cannot copy the kernel")?;
    pack(&root, &partial.join("disk.ext4"))?;
    fs::remove_dir_all(&root)?;
    Ok(fs::rename(&partial, &directory)?)
}

fn directory(suite: &str) -> Result<PathBuf> {
    let key = xxh3_64(
        [packages(suite).as_str(), NOT_AT_BOOT, AGENT, AGENT_UNIT, NETWORK, SIZE].concat().as_bytes(),
    );
    Ok(cache_directory("DOCKFW_VMS", "vms")?.join(format!("{suite}-{:08x}", key >> 32)))
}

fn packages(suite: &str) -> String {
    let client = if WITH_CLIENT.contains(&suite) { "" } else { ",docker-cli" };
    format!("{PACKAGES}{client}")
}

fn mmdebstrap(suite: &str, root: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=minbase", "--components=main", "--format=directory"]);
    command.arg(format!("--include={}", packages(suite)));
    // A mirror's copy of a suite that moves may be past its date for a while.
    let valid = "Acquire::Check-Valid-Until \"false\"";
    for option in ["APT::Install-Recommends \"false\"", "Acquire::Languages \"none\"", valid] {
        command.arg(format!("--aptopt={option}"));
    }
    for tree in ["man", "doc", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{tree}/*"));
    }
    command.args(["--dpkgopt=force-unsafe-io", suite]).arg(root).arg(debian_mirror()?);
    // The kernel's package makes no initramfs then, which would take longer than all the rest; none is needed.
    let status =
        command.env("INITRD", "No").stdin(Stdio::null()).status().context("cannot start mmdebstrap")?;
    ensure!(status.success(), "mmdebstrap failed, {status}");
    Ok(())
}

/// What the runner needs there, and nothing that it does not say.
fn furnish(root: &Path) -> Result<()> {
    let agent = root.join("usr/local/sbin/vm-agent");
    fs::write(&agent, AGENT)?;
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("etc/systemd/system/vm-agent.service"), AGENT_UNIT)?;
    fs::write(root.join("etc/hostname"), "host\n")?;
    fs::write(root.join("etc/systemd/network/10-eth0.network"), NETWORK)?;
    let services = format!("systemctl enable vm-agent systemd-networkd; systemctl disable {NOT_AT_BOOT}");
    run(Command::new("chroot").arg(root).args(["sh", "-c", &services]))?;
    Ok(())
}

fn pack(root: &Path, image: &Path) -> Result<()> {
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0", "-d"]);
    run(command.arg(root).arg(image).arg(SIZE)).map(drop)
}
