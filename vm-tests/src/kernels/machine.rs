//! A machine without a disk: QEMU with a kernel and an initramfs, whose first process ends it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use dockfw_lab::wait_until;

use super::kernel::Kernel;
use super::last_lines;
use crate::machine::{KERNEL_LINE, QEMU, accelerator};

/// A machine that is done takes some minutes where nothing is accelerated, and longer where something else runs.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Two, however many others there are: what a packet meets in the middle of an apply is seen only where both happen at once.
const PROCESSORS: &str = "2";
/// Half of it is for the archive and what is unpacked of it.
const MEMORY: &str = "1024";

/// What a machine left.
pub(crate) struct Ended {
    /// What its first process wrote.
    pub(crate) results: String,
    /// How it ended.
    pub(crate) status: Result<ExitStatus>,
    /// The last lines of its console.
    pub(crate) console: String,
}

impl Ended {
    /// Returns whether QEMU itself crashed before it had run anything of the kernel: emulated processors race with its own
    /// map of the machine's memory, and one of its assertions fails (`iotlb_to_section`, QEMU 7.2).
    fn is_crash_of_qemu(&self, directory: &Path) -> bool {
        let has_died = self.status.as_ref().is_ok_and(|status| status.signal().is_some());
        has_died && fs::metadata(directory.join("console.log")).is_ok_and(|console| console.len() == 0)
    }
}

/// Boots a kernel, and waits until the machine is off. If QEMU crashes before the kernel has started, boots it once more.
pub(crate) fn run(kernel: &Kernel, initramfs: &Path, directory: &Path) -> Result<Ended> {
    let ended = boot(kernel, initramfs, directory)?;
    if !ended.is_crash_of_qemu(directory) {
        return Ok(ended);
    }
    eprintln!("vm-test: QEMU crashed before the kernel started, and is started once more: {}", ended.console);
    boot(kernel, initramfs, directory)
}

fn boot(kernel: &Kernel, initramfs: &Path, directory: &Path) -> Result<Ended> {
    let mut qemu = power_on(kernel, initramfs, directory)?;
    let status = wait_until(LONGEST, "for the machine to power off", || qemu.try_wait().transpose());
    let _ = qemu.kill();
    qemu.wait()?;
    let read = |name: &str| -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(directory.join(name))?).into_owned())
    };
    let console = last_lines(&(read("qemu.log")? + &read("console.log")?));
    Ok(Ended { results: read("results.log")?, status: status.and_then(|status| Ok(status?)), console })
}

fn power_on(kernel: &Kernel, initramfs: &Path, directory: &Path) -> Result<Child> {
    let mut command = Command::new(QEMU[0]);
    command
        .args(&QEMU[1..])
        .args(["-no-reboot", "-m", MEMORY, "-smp", PROCESSORS])
        .args(accelerator(&kernel.image));
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    // After a fault in the kernel nothing that a machine says is worth anything.
    command.args(["-append", &format!("{KERNEL_LINE} oops=panic")]);
    for log in ["console.log", "results.log"] {
        command.args(["-serial", &format!("file:{}", directory.join(log).display())]);
    }
    command.args(["-device", "virtio-rng-pci"]);
    let errors = File::create(directory.join("qemu.log"))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    command.spawn().with_context(|| format!("cannot start {command:?}"))
}
