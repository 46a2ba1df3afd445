//! The packages: what is in them, and what they do to a system.
//!
//! `./dev package --test` builds them and names their directory in `DOCKFW_PACKAGES`, and in `DOCKFW_TEST_RELEASES` the releases
//! of Debian to install them on, where it is not all of them. The cases are scripts: those in `file/` look at the packages
//! on this machine, those in `host/` install them on a system of their own (see [`System`]).

mod system;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use dockfw_lab::Root;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use system::System;

/// A case: its name and its script.
type Case = (&'static str, &'static str);

/// What every script begins with.
const PRELUDE: &str = include_str!("prelude.sh");

const FILE_CASES: [Case; 6] = [
    ("debian-tools-find-no-fault", include_str!("file/lintian.sh")),
    ("rpm-tools-find-no-fault", include_str!("file/rpmlint.sh")),
    ("both-hold-the-same-files", include_str!("file/contents.sh")),
    ("the-unit-is-valid-and-confined", include_str!("file/unit.sh")),
    ("the-manual-has-no-faults", include_str!("file/manual.sh")),
    ("shells-complete-the-command-line", include_str!("file/completions.sh")),
];

const DEB_CASES: [Case; 6] = [
    ("an-installation-enables-nothing", include_str!("host/deb-install.sh")),
    ("the-unit-boots-with-what-it-may", include_str!("host/deb-boot.sh")),
    ("an-upgrade-applies-again-what-was-in-force", include_str!("host/deb-upgrade.sh")),
    ("a-removal-takes-the-policy-out", include_str!("host/deb-remove.sh")),
    ("a-purge-leaves-nothing", include_str!("host/deb-purge.sh")),
    ("in-a-chroot-the-host-is-left-alone", include_str!("host/deb-chroot.sh")),
];

/// With systemd, which fresh root file systems do not have, but this machine.
const SYSTEMD_CASES: [Case; 1] =
    [("the-policy-outlives-other-services-of-rules", include_str!("host/systemd-services.sh"))];
/// What these find done when the system comes up.
const ENABLED: &str = include_str!("host/systemd-enabled.sh");

const RPM_CASES: [Case; 4] = [
    ("an-empty-root-takes-it-and-gives-it-back", include_str!("host/rpm-root.sh")),
    ("the-fail-safe-knows-the-port-of-ssh", include_str!("host/rpm-failsafe.sh")),
    ("an-upgrade-applies-again-what-was-in-force", include_str!("host/rpm-upgrade.sh")),
    ("a-removal-leaves-nothing", include_str!("host/rpm-remove.sh")),
];

const REFUSED: [Case; 1] = [("a-system-that-is-too-old-is-told", include_str!("host/deb-too-old.sh"))];

/// Those for old systems, which are installed and removed as the others are.
const OLD_FILE_CASES: [Case; 4] = [
    ("debian-tools-find-no-fault", include_str!("file/lintian.sh")),
    ("rpm-tools-find-no-fault", include_str!("file/rpmlint.sh")),
    ("no-symbol-is-newer-than-glibc-2.17", include_str!("file/old-symbols.sh")),
    ("old-package-managers-can-read-them", include_str!("file/old-formats.sh")),
];

const OLD_CASES: [Case; 1] =
    [("both-engines-work-without-the-system's-libraries", include_str!("host/old-engines.sh"))];

/// The releases of Debian whose libraries the .deb is for.
const SUITES: [&str; 3] = ["bookworm", "trixie", "sid"];
/// One that is too old for it.
const TOO_OLD: &str = "bullseye";

fn main() -> ExitCode {
    if let Some(unknown) = unknown_release() {
        eprintln!("no release {unknown:?}; there are: {}, {TOO_OLD}", SUITES.join(", "));
        return ExitCode::FAILURE;
    }
    let packages = env::var_os("DOCKFW_PACKAGES").map(PathBuf::from);
    let mut trials = trials_of("file", &FILE_CASES, packages.as_deref(), |packages, script| {
        Ok(on_this_machine(packages, script).output()?)
    });
    for suite in SUITES.into_iter().filter(|suite| is_chosen(suite)) {
        trials.extend(trials_of(suite, &DEB_CASES, packages.as_deref(), move |packages, script| {
            let root = Root::prepare(suite)?;
            System::on(root.directory(), packages)?.run(script)
        }));
    }
    if is_chosen(TOO_OLD) {
        trials.extend(trials_of(TOO_OLD, &REFUSED, packages.as_deref(), on_too_old));
    }
    trials.extend(trials_of("systemd", &SYSTEMD_CASES, packages.as_deref(), |packages, script| {
        System::on(Path::new("/"), packages)?.boot(ENABLED, script)
    }));
    // This machine's root has an rpm.
    trials.extend(trials_of("rpm", &RPM_CASES, packages.as_deref(), |packages, script| {
        System::on(Path::new("/"), packages)?.run(script)
    }));
    trials.extend(trials_of_old(packages.as_deref()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Those of the packages for old systems: for Debian 11 as well, which is too old for the others.
fn trials_of_old(packages: Option<&Path>) -> Vec<Trial> {
    // They are built for x86_64 alone.
    let old = packages.map(|packages| packages.join("old")).filter(|old| old.is_dir());
    let mut trials = trials_of("old", &OLD_FILE_CASES, old.as_deref(), |old, script| {
        Ok(on_this_machine(old, script).output()?)
    });
    if is_chosen(TOO_OLD) {
        trials.extend(trials_of("old", &DEB_CASES, old.as_deref(), on_too_old));
        trials.extend(trials_of("old", &OLD_CASES, old.as_deref(), on_too_old));
    }
    trials.extend(trials_of("old-rpm", &RPM_CASES, old.as_deref(), |old, script| {
        System::on(Path::new("/"), old)?.run(script)
    }));
    trials
}

/// Whether packages are to be installed on this release.
fn is_chosen(suite: &str) -> bool {
    let Ok(chosen) = env::var("DOCKFW_TEST_RELEASES") else { return true };
    chosen.split(',').any(|name| name == suite)
}

/// A release that was asked for and that no case is of, if there is one.
fn unknown_release() -> Option<String> {
    let chosen = env::var("DOCKFW_TEST_RELEASES").ok()?;
    let is_known = |name: &str| SUITES.contains(&name) || name == TOO_OLD;
    chosen.split(',').find(|name| !is_known(name)).map(str::to_owned)
}

fn on_too_old(packages: &Path, script: &str) -> anyhow::Result<Output> {
    System::on(Root::prepare(TOO_OLD)?.directory(), packages)?.run(script)
}

/// Each case as a trial, to be run in this way.
fn trials_of(
    group: &str,
    cases: &[Case],
    packages: Option<&Path>,
    run: impl Fn(&Path, &str) -> anyhow::Result<Output> + Copy + Send + 'static,
) -> Vec<Trial> {
    let trial = |(name, script): &Case| {
        let (script, packages) = (*script, packages.map(Path::to_owned));
        Trial::ignorable_test(format!("{group}::{name}"), move || {
            let Some(packages) = packages else {
                return Ok(Completion::ignored_with("no packages: ./dev package --test builds them"));
            };
            outcome(run(&packages, script), env::var_os("DOCKFW_TEST_RELEASES").is_some())
        })
    };
    cases.iter().map(trial).collect()
}

/// The exit code by which a script says on its last line why it can't run here.
const SKIPPED: i32 = 77;

/// What came of a case. One that can't run is ignored, unless it `must`: because its release was asked for by name.
fn outcome(ran: anyhow::Result<Output>, must: bool) -> Result<Completion, Failed> {
    let output = match ran {
        Ok(output) => output,
        Err(error) if must => return Err(format!("{error:#}").into()),
        Err(error) => return Ok(Completion::ignored_with(format!("{error:#}"))),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {
            said.lines().filter(|line| line.starts_with("note: ")).for_each(|note| eprintln!("{note}"));
            Ok(Completion::Completed)
        }
        Some(SKIPPED) => Ok(Completion::ignored_with(said.lines().last().unwrap_or_default())),
        _ => Err(format!("{}\n{said}", output.status).into()),
    }
}

fn on_this_machine(packages: &Path, script: &str) -> Command {
    let mut command = shell(script);
    command.env("PACKAGES", packages).env("SOURCE", env!("CARGO_MANIFEST_DIR"));
    command
}

/// A shell that runs a script, with all that it says on its stdout.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("exec 2>&1\n{PRELUDE}\n{script}")]);
    command.env("LC_ALL", "C.UTF-8").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(std::process::Stdio::null());
    command
}
