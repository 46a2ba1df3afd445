//! Fetches Debian's cloud kernels from the mirror that this machine's apt uses, by an apt with lists of its own. A kernel that is
//! there is good for a day; then the mirror is asked whether there is a newer one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{debian_mirror, run};

use super::empty;
use crate::vmlinuz;

/// Always depends on the suite's newest one.
const NEWEST: &str = "linux-image-cloud-amd64";
/// Which packages those are, as apt says where it would get them.
const PACKAGES: &str = "packages";
/// Suites get a new kernel every few weeks, sid every few days.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// Sees to it that the directory holds the newest kernel of the suite: an image and its modules.
pub(super) fn fetch(suite: &str, directory: &Path) -> Result<()> {
    let marker = directory.join(PACKAGES);
    if is_fresh(&marker) {
        return Ok(());
    }
    match renew(suite, directory) {
        Err(error) if marker.exists() => {
            eprintln!("vm-test: whether {suite} has a newer kernel is not known: {error:#}");
            Ok(())
        }
        renewed => renewed,
    }
}

fn is_fresh(marker: &Path) -> bool {
    let modified = fs::metadata(marker).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < FRESH))
}

fn renew(suite: &str, directory: &Path) -> Result<()> {
    let apt = Apt::with_lists_in(directory.with_extension("apt"), suite)?;
    let names = apt.kernel()?;
    let packages = apt.get(&["download", "--print-uris"], &names)?;
    let marker = directory.join(PACKAGES);
    if fs::read_to_string(&marker).is_ok_and(|known| known == packages) {
        return Ok(File::options().write(true).open(marker)?.set_modified(SystemTime::now())?);
    }
    eprintln!("vm-test: fetching {} ({suite})", names.join(" "));
    // Under a name that nobody looks for until it is whole.
    let partial = directory.with_extension("partial");
    unpack(&apt, &names, &empty(&partial)?)?;
    fs::write(partial.join(PACKAGES), packages)?;
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::rename(partial, directory)?)
}

const EXTRACT: &str = r#"for package in *.deb; do dpkg-deb --extract "$package" root; done"#;
/// Where packages have modules: older ones, and those since everything lies below `usr`.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

fn unpack(apt: &Apt, names: &[String], target: &Path) -> Result<()> {
    let packages = empty(&apt.directory.join("packages"))?;
    run(apt.command("apt-get").arg("download").args(names).current_dir(&packages))?;
    run(Command::new("sh").args(["-ec", EXTRACT]).current_dir(&packages))?;
    let root = packages.join("root");
    fs::rename(vmlinuz::of(&root)?, target.join("vmlinuz"))?;
    let modules = MODULES.iter().map(|place| root.join(place)).find(|place| place.is_dir());
    fs::create_dir(target.join("lib"))?;
    fs::rename(modules.context("a kernel without modules")?, target.join("lib/modules"))?;
    Ok(fs::remove_dir_all(packages)?)
}

/// An apt that knows one suite, and nothing of what is installed here.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn with_lists_in(directory: PathBuf, suite: &str) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        fs::write(directory.join("sources.list"), source(suite, &debian_mirror()?))?;
        let apt = Self { directory };
        run(apt.command("apt-get").args(["--option", "APT::Update::Error-Mode=any", "--quiet", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let place = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::sourcelist", place("sources.list").as_str()),
            ("Dir::Etc::sourceparts", "/dev/null"),
            ("Dir::Etc::preferences", "/dev/null"),
            ("Dir::Etc::preferencesparts", "/dev/null"),
            ("Dir::State::lists", &place("lists")),
            ("Dir::State::status", "/dev/null"),
            ("Dir::Cache", &place("cache")),
            // Its own user can't write here.
            ("APT::Sandbox::User", "root"),
            ("APT::Architecture", "amd64"),
            // A mirror's copy of a suite that moves may be past its date for a while.
            ("Acquire::Check-Valid-Until", "false"),
        ] {
            command.args(["--option", &format!("{option}={value}")]);
        }
        command
    }

    fn get(&self, arguments: &[&str], names: &[String]) -> Result<String> {
        run(self.command("apt-get").args(arguments).args(names))
    }

    /// The packages that the newest kernel is made of.
    fn kernel(&self) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        command.args(["depends", "--recurse", "--important", NEWEST]);
        let names = of_kernel(&run(&mut command)?);
        ensure!(!names.is_empty(), "{NEWEST} depends on no kernel");
        Ok(names)
    }
}

fn source(suite: &str, mirror: &str) -> String {
    // For the package lists alone, whatever else this machine's apt likes to have; it knows Debian's keys by this file.
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    format!("deb [target=Packages signed-by={keys}] {mirror} {suite} main\n")
}

/// Those of a tree of dependencies that hold an image or modules. In older releases it is one.
fn of_kernel(tree: &str) -> Vec<String> {
    let is_versioned = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let kinds = ["linux-image-", "linux-binary-", "linux-modules-"];
    let is_part = |name: &&str| kinds.iter().any(|kind| name.strip_prefix(kind).is_some_and(is_versioned));
    tree.lines().filter(is_part).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_one_package_or_several() {
        let old = "linux-image-cloud-amd64\n  Depends: linux-image-5.10.0-32-cloud-amd64\nlinux-image-5.10.0-32-cloud-amd64\n\
                   <linux-initramfs-tool>\nkmod\n";
        assert_eq!(of_kernel(old), ["linux-image-5.10.0-32-cloud-amd64"]);
        let new = "linux-image-7.2.13+deb14-cloud-amd64\nlinux-base-7.2.13+deb14-cloud-amd64\n\
                   linux-modules-cloud-amd64\nlinux-binary-7.2.13+deb14-cloud-amd64\nlinux-modules-7.2.13+deb14-cloud-amd64\n";
        let parts = of_kernel(new);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|name| name.contains("-7.2.13+deb14-")), "{parts:?}");
    }
}
