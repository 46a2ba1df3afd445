//! What a machine is given: the package under test, the same as an older version, programs of the workspace's tests, and
//! how to become a Docker host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{busybox, libraries, run};

use crate::matrix::{Format, Package};

const SETUP: &str = include_str!("../guest/setup");
/// Where the kit is unpacked in a machine, and where its programs look for their libraries.
pub(crate) const PLACE: &str = "/kit";

/// Where the parts of kits come from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// As `packaging/build` leaves it.
    pub(crate) packages: PathBuf,
    /// Programs that all machines are given, by name: those of the workspace's tests, and others that these need and an
    /// older system has not in their version.
    pub(crate) programs: Vec<(String, PathBuf)>,
}

impl Parts {
    /// Packs the kit for systems that take this kind of package.
    pub(crate) fn pack(&self, package: Package, format: Format, directory: &Path) -> Result<PathBuf> {
        let kit = directory.join("kit");
        fs::create_dir_all(kit.join("lib"))?;
        fs::write(kit.join("setup"), SETUP)?;
        fs::copy(busybox()?, kit.join("busybox")).context("cannot copy busybox")?;
        let file = kit.join("dockfw").with_extension(format.extension());
        fs::copy(self.package(package, format)?, file).context("cannot copy the package")?;
        if format == Format::Deb {
            make_older(&kit)?;
        }
        self.programs.iter().try_for_each(|(name, program)| bring(program, &kit, name))?;
        let archive = directory.join("kit.tar");
        // Records of a size that disks come in.
        run(Command::new("tar")
            .args(["--record-size=1M", "-C"])
            .arg(&kit)
            .arg("-cf")
            .arg(&archive)
            .arg("."))?;
        fs::remove_dir_all(&kit)?;
        Ok(archive)
    }

    fn package(&self, package: Package, format: Format) -> Result<PathBuf> {
        let directory = match package {
            Package::Modern => self.packages.clone(),
            Package::Old => self.packages.join("old"),
        };
        let entries = fs::read_dir(&directory).with_context(|| format!("no {}", directory.display()))?;
        let fits = |path: &PathBuf| path.extension().is_some_and(|ending| ending == format.extension());
        let mut packages = entries.flatten().map(|entry| entry.path()).filter(fits);
        packages.next().with_context(|| format!("no .{} in {}", format.extension(), directory.display()))
    }
}

/// The package once more, as an older version: what an upgrade begins with.
fn make_older(kit: &Path) -> Result<()> {
    let script = "dpkg-deb -R dockfw.deb older && sed -i 's/^Version: .*/Version: 0.0.1-1/' older/DEBIAN/control && \
                  dpkg-deb -Zgzip -z1 -b older older.deb && rm -r older";
    run(Command::new("sh").args(["-c", script]).current_dir(kit)).map(drop)
}

/// A program with this machine's libraries and loader, for a system whose own may be older.
pub(crate) fn bring(program: &Path, kit: &Path, name: &str) -> Result<()> {
    let mut loader = None;
    for library in libraries(program)? {
        let file = library.file_name().context("a library has a name")?.to_string_lossy().into_owned();
        fs::copy(&library, kit.join("lib").join(&file)).with_context(|| format!("cannot copy {file}"))?;
        loader = loader.or(file.starts_with("ld-").then_some(file));
    }
    ensure!(loader.is_some(), "{} has no loader", program.display());
    let interpreter = format!("{PLACE}/lib/{}", loader.unwrap_or_default());
    let target = kit.join(name);
    // What debuggers want of a test program is most of it, and would be read from an emulated disk.
    run(Command::new("strip").arg("-o").arg(&target).arg(program))?;
    let mut command = Command::new("patchelf");
    // DT_RPATH, where libraries too look for those that they need; in DT_RUNPATH they don't (ld.so(8)).
    command.args([
        "--set-interpreter",
        &interpreter,
        "--force-rpath",
        "--set-rpath",
        &format!("{PLACE}/lib"),
    ]);
    run(command.arg(target)).map(drop)
}
