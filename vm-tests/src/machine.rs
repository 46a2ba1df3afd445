//! A virtual machine: QEMU, and the port by which its agent runs scripts.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dockfw_lab::{Netns, run, wait_until};

use crate::disk::{Boot, Disk};
use crate::wire::{HARDWARE_ADDRESS, TAP};

/// From power-on to the agent's first word: 20 to 40 s where nothing is accelerated and nothing else runs.
const BOOTED: Duration = Duration::from_secs(600);
/// What takes seconds on a machine of one's own.
pub(crate) const SOON: Duration = Duration::from_secs(240);
/// Quick boots, little but packets to work at, and everything on the console.
pub(crate) const KERNEL_LINE: &str = "console=ttyS0 loglevel=4 mitigations=off nokaslr no_timer_check tsc=reliable \
random.trust_cpu=on init_on_alloc=0 lsm= audit=0 panic=-1 net.ifnames=0 cryptomgr.notests rcupdate.rcu_expedited=1";
/// The disk.
const ROOT: &str = "root=/dev/nvme0n1 rw";

/// How it is started, and ends with whoever started it. As a batch job: machines that take turns on a processor at each other's
/// every wake-up slow each other down by a seventh.
pub(crate) const QEMU: [&str; 14] = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "chrt",
    "--batch",
    "0",
    "qemu-system-x86_64",
    "-M",
    "q35,usb=off,smm=off,vmport=off",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
];
/// Without the instructions that copy byte by byte: real processors have short cuts for these, and QEMU has none. Starting
/// programs takes a seventh less time so.
const EMULATED: &[&str] =
    &["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off,erms=off,fsrm=off"];

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its disk, which stays as it is, and its kernel.
    pub(crate) disk: Disk,
    /// A tar archive that it sees as a second disk.
    pub(crate) kit: PathBuf,
    /// Modules that the kernel refuses to load.
    pub(crate) denied: Vec<String>,
    /// Where its own disk, its console and its port are.
    pub(crate) directory: PathBuf,
    /// The network namespace with the tap interface that is its cable.
    pub(crate) wire: Netns,
    /// Processors.
    pub(crate) processors: usize,
}

/// A machine that is on. Dropped, it is off.
#[derive(Debug)]
pub(crate) struct Machine {
    plan: Plan,
    qemu: Child,
    port: BufReader<UnixStream>,
    transcript: File,
    scripts: u64,
}

impl Plan {
    /// Gives the machine a disk of its own on top of the one that others use too.
    pub(crate) fn prepare(&self) -> Result<()> {
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "-F", self.disk.format, "-b"]).arg(&self.disk.image);
        run(command.arg(self.overlay())).map(drop)
    }

    /// Switches it on, and does not wait.
    pub(crate) fn power_on(&self) -> Result<Machine> {
        let port = self.directory.join("port");
        let _ = fs::remove_file(&port);
        let errors = append(&self.directory.join("qemu.log"))?;
        let mut command = self.qemu(&port);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut qemu = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let connected = wait_until(Duration::from_secs(30), "for QEMU", || match qemu.try_wait() {
            Ok(Some(status)) => Some(Err(anyhow!("QEMU ended, {status}"))),
            _ => UnixStream::connect(&port).ok().map(Ok),
        });
        let port = connected.and_then(|result| result).with_context(|| self.errors())?;
        port.set_read_timeout(Some(Duration::from_millis(100)))?;
        let transcript = append(&self.directory.join("transcript.log"))?;
        Ok(Machine { plan: self.clone(), qemu, port: BufReader::new(port), transcript, scripts: 0 })
    }

    fn overlay(&self) -> PathBuf {
        self.directory.join("disk.qcow2")
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.directory.join("qemu.log")).unwrap_or_default()
    }

    fn qemu(&self, port: &Path) -> Command {
        let mut command = self.wire.command(QEMU[0]);
        command.args(&QEMU[1..]).args(["-m", "2048", "-smp", &self.processors.to_string()]);
        self.add_root(&mut command);
        let console = self.directory.join("console.log").display().to_string();
        let (kit, port) = (self.kit.display(), port.display());
        for (option, value) in [
            ("-drive", format!("if=none,id=kit,file={kit},format=raw,readonly=on")),
            ("-device", "virtio-blk-pci,drive=kit,serial=kit".to_owned()),
            ("-netdev", format!("tap,id=wire,ifname={TAP},script=no,downscript=no")),
            ("-device", format!("virtio-net-pci,netdev=wire,mac={}", hardware_address())),
            ("-device", "virtio-rng-pci".to_owned()),
            ("-device", "virtio-serial-pci".to_owned()),
            ("-chardev", format!("socket,id=port,path={port},server=on,wait=off")),
            ("-device", "virtserialport,chardev=port,name=dockfw".to_owned()),
            ("-chardev", format!("file,id=console,path={console},append=on")),
            ("-serial", "chardev:console".to_owned()),
        ] {
            command.args([option, &value]);
        }
        command
    }

    fn add_root(&self, command: &mut Command) {
        let overlay = self.overlay();
        command.args([
            "-drive",
            &format!("if=none,id=root,file={},format=qcow2,cache=unsafe", overlay.display()),
        ]);
        match &self.disk.boot {
            Boot::Kernel(kernel) => {
                command.args(accelerator(kernel)).args(["-device", "nvme,drive=root,serial=root"]);
                command.arg("-kernel").arg(kernel).args(["-append", &self.kernel_line()]);
            }
            Boot::Itself(seed) => {
                let seed = format!("if=none,id=seed,file={},format=raw,readonly=on", seed.display());
                command.args(EMULATED).args(["-device", "virtio-blk-pci,drive=root,bootindex=1"]);
                command.args(["-drive", &seed, "-device", "virtio-blk-pci,drive=seed"]);
            }
        }
    }

    fn kernel_line(&self) -> String {
        match self.denied.as_slice() {
            [] => format!("{ROOT} {KERNEL_LINE}"),
            denied => format!("{ROOT} {KERNEL_LINE} module_blacklist={}", denied.join(",")),
        }
    }
}

fn hardware_address() -> String {
    HARDWARE_ADDRESS.map(|byte| format!("{byte:02x}")).join(":")
}

fn append(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// KVM where it works. That its device is there, and that QEMU starts with it, proves nothing in a virtual machine: a
/// kernel must get as far as to miss its disk and reboot, which ends this QEMU.
pub(crate) fn accelerator(kernel: &Path) -> &'static [&'static str] {
    static KVM: OnceLock<bool> = OnceLock::new();
    let works = || {
        let options =
            "-accel kvm -cpu max -M q35 -m 512 -nodefaults -display none -no-reboot -append panic=-1 -kernel";
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "20", "qemu-system-x86_64"]).args(options.split(' ')).arg(kernel);
        Path::new("/dev/kvm").exists() && run(&mut command).is_ok()
    };
    if *KVM.get_or_init(works) { &["-accel", "kvm", "-cpu", "max"] } else { EMULATED }
}

impl Machine {
    /// Waits until it has booted.
    pub(crate) fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOTED;
        while self.line(deadline).context("the machine does not come up")? != "@@ready" {}
        Ok(())
    }

    /// Runs a script, and gives its output and its exit code.
    pub(crate) fn attempt(&mut self, script: &str, patience: Duration) -> Result<(i32, String)> {
        self.scripts += 1;
        let marker = format!("@@{}", self.scripts);
        let escaped = script.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.transcript, "--- {script}")?;
        writeln!(self.port.get_mut(), "{marker} {escaped}").context("the machine hears nothing")?;
        let (deadline, mut said) = (Instant::now() + patience, String::new());
        loop {
            let line = self.line(deadline).with_context(|| format!("running {script:?}, after {said:?}"))?;
            match line.strip_prefix(&marker).and_then(|rest| rest.trim().parse().ok()) {
                Some(code) => return Ok((code, said.trim_end().to_owned())),
                None => said += &(line + "\n"),
            }
        }
    }

    /// Runs a script that must succeed, and soon.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let (code, said) = self.attempt(&format!("set -e\n{script}"), SOON)?;
        ensure!(code == 0, "exit code {code} of {script:?}: {said}");
        Ok(said)
    }

    /// Waits until a command succeeds.
    pub(crate) fn wait_for(&mut self, command: &str) -> Result<()> {
        let script = format!(
            "n=0; until {command}; do n=$((n + 1)); [ $n -lt 600 ] || exit 1; sleep 0.5; done >/dev/null 2>&1"
        );
        let (code, _) = self.attempt(&script, Duration::from_secs(600))?;
        if code != 0 {
            bail!("waited in vain for {command:?}: {}", self.run(&format!("{command} 2>&1 || true"))?);
        }
        Ok(())
    }

    /// Reboots, and waits until it is up again.
    pub(crate) fn reboot(&mut self) -> Result<()> {
        self.run("systemctl --no-block reboot")?;
        self.wait_until_up()
    }

    /// Shuts down, and ends.
    pub(crate) fn power_off(mut self) -> Result<Plan> {
        self.run("systemctl --no-block poweroff")?;
        wait_until(BOOTED, "for the machine to power off", || self.qemu.try_wait().transpose())??;
        Ok(self.plan.clone())
    }

    /// The next line of the port.
    fn line(&mut self, deadline: Instant) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.port.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => break,
                Ok(_) => bail!("QEMU has ended: {}", self.plan.errors()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    ensure!(Instant::now() < deadline, "nothing more in time, see console.log");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        writeln!(self.transcript, "{line}")?;
        Ok(line)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
