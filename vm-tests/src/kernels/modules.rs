//! The modules that a machine is given, unpacked, for busybox's modprobe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dockfw_lab::run;

/// What may be needed, below `lib/modules/VERSION/kernel`: whole directories, and modules by how their paths begin. Whichever of these
/// a kernel has built in is not there.
const WANTED: &[&str] = &[
    "net/802/",
    "net/bridge/",
    "net/ipv4/",
    "net/ipv6/",
    "net/llc/",
    "net/netfilter/",
    "net/netlink/",
    "net/packet/",
    "net/unix/",
    "drivers/net/dummy.",
    "drivers/net/veth.",
    "fs/overlayfs/",
    // For nf_tables and connection tracking.
    "lib/",
    "arch/x86/crypto/crc32",
    "crypto/crc32",
];

/// Puts those of the kernel into a root.
pub(super) fn take(modules: &Path, root: &Path) -> Result<()> {
    let version = modules.file_name().context("a kernel has a version")?;
    let target = root.join("lib/modules").join(version);
    fs::create_dir_all(&target)?;
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        if modules.join(list).is_file() {
            fs::copy(modules.join(list), target.join(list)).with_context(|| format!("cannot copy {list}"))?;
        }
    }
    let files = wanted(&modules.join("kernel"))?;
    ensure!(!files.is_empty(), "no modules for networks in {}", modules.display());
    files.iter().try_for_each(|file| unpack(modules, file, &target))?;
    run(Command::new("depmod").arg("--basedir").arg(root).arg(version)).map(drop)
}

/// Relative to the directory of the version.
fn wanted(kernel: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(kernel, &mut found)?;
    let is_wanted = |path: &Path| WANTED.iter().any(|wanted| path.to_string_lossy().starts_with(wanted));
    let relative = |path: PathBuf| Some(path.strip_prefix(kernel).ok()?.to_owned());
    let wanted = found.into_iter().filter_map(relative).filter(|path| is_wanted(path));
    Ok(wanted.map(|path| Path::new("kernel").join(path)).collect())
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Not every kernel can unpack them, nor every modprobe.
fn unpack(modules: &Path, file: &Path, target: &Path) -> Result<()> {
    let (from, to) = (modules.join(file), target.join(file));
    fs::create_dir_all(to.parent().unwrap_or(target))?;
    match packer(file) {
        None => fs::copy(&from, &to).map(drop).with_context(|| format!("cannot copy {}", from.display())),
        Some(program) => {
            let unpacked = fs::File::create(to.with_extension(""))?;
            let mut command = Command::new(program);
            command.args(["--decompress", "--stdout"]).arg(&from).stdout(unpacked);
            let status = command.status().with_context(|| format!("cannot start {program}"))?;
            ensure!(status.success(), "{program} cannot unpack {}", from.display());
            Ok(())
        }
    }
}

/// The program that packed a module.
fn packer(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "xz" => Some("xz"),
        "zst" => Some("zstd"),
        "gz" => Some("gzip"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_packed_in_several_ways() {
        let packers = ["veth.ko", "veth.ko.xz", "veth.ko.zst"].map(|name| packer(Path::new(name)));
        assert_eq!(packers, [None, Some("xz"), Some("zstd")]);
    }
}
