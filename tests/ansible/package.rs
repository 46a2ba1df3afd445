//! A small real package of the program as it was built for the tests, with the maintainer scripts of the real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use dockfw_lab::run;

const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");
const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// Builds it into a directory, as a flat repository for apt.
pub(crate) fn build(directory: &Path) -> Result<PathBuf> {
    let tree = directory.join("tree");
    let place = |from: &Path, to: &str, mode: &str| {
        run(Command::new("install").args(["-D", "-m", mode]).arg(from).arg(tree.join(to))).map(drop)
    };
    let packaging = Path::new(PACKAGING);
    place(Path::new(DOCKFW), "usr/sbin/dockfw", "755")?;
    for file in ["dockfw.toml", "conf.d/README"] {
        place(&packaging.join(file), &format!("etc/dockfw/{file}"), "644")?;
    }
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        place(&packaging.join("deb").join(script), &format!("DEBIAN/{script}"), "755")?;
    }
    fs::write(tree.join("DEBIAN/conffiles"), "/etc/dockfw/dockfw.toml\n")?;
    let architecture = run(Command::new("dpkg").arg("--print-architecture"))?;
    let control = format!(
        "Package: dockfw\nVersion: {VERSION}\nArchitecture: {}\nMaintainer: tests <tests@dockfw.example>\n\
         Description: the program under test\n",
        architecture.trim()
    );
    fs::write(tree.join("DEBIAN/control"), &control)?;
    let package = directory.join("dockfw.deb");
    run(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).args([&tree, &package]))?;
    index(directory, &control)?;
    Ok(package)
}

fn index(directory: &Path, control: &str) -> Result<()> {
    let sum = run(Command::new("sha256sum").arg(directory.join("dockfw.deb")))?;
    let sum = sum.split_whitespace().next().context("no sum")?;
    let size = fs::metadata(directory.join("dockfw.deb"))?.len();
    let entry = format!("{control}Filename: ./dockfw.deb\nSize: {size}\nSHA256: {sum}\n");
    Ok(fs::write(directory.join("Packages"), entry)?)
}

/// Has apt forget the repositories of this machine: nothing is to be fetched.
pub(crate) fn only_local_repositories() -> Result<()> {
    let script = "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*";
    run(Command::new("sh").args(["-c", script])).map(drop)
}

/// Has apt know a repository.
pub(crate) fn know(repository: &Path) -> Result<()> {
    let line = format!("deb [trusted=yes] file:{} ./\n", repository.display());
    Ok(fs::write("/etc/apt/sources.list", line)?)
}
