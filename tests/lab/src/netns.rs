//! Network namespaces: made, entered by a thread, and given to programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;

use crate::run::{run, run_with_input};

const DIRECTORY: &str = "/run/netns";

/// A network namespace. Clones share it; one that the lab made loses its name when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Netns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    path: PathBuf,
    file: File,
    named_by_us: bool,
}

impl Netns {
    /// Makes a namespace, visible to `ip netns`, with `lo` up.
    pub fn create(name: &str) -> Result<Self> {
        let path = Path::new(DIRECTORY).join(name);
        let file = in_thread(|| name_new_namespace(&path))
            .with_context(|| format!("cannot make network namespace {name}"))?;
        let netns = Self { inner: Arc::new(Inner { name: name.to_owned(), path, file, named_by_us: true }) };
        netns.ip(&["link set lo up"])?;
        netns.answer_each_time()?;
        Ok(netns)
    }

    /// Makes the kernel send each ICMP error that it has a reason for. By itself it keeps most of those to one destination back, and a
    /// port where nothing listens then looks like one that is closed by a filter.
    pub(crate) fn answer_each_time(&self) -> Result<()> {
        self.set_sysctl("net.ipv4.icmp_ratemask", "0")?;
        self.set_sysctl("net.ipv6.icmp.ratelimit", "0")?;
        // For all destinations together, and since Linux 5.2. A list of types, which can't be empty; no message has this one.
        let ratemask = "net.ipv6.icmp.ratemask";
        if self.sysctl(ratemask).is_ok() { self.set_sysctl(ratemask, "0") } else { Ok(()) }
    }

    /// A namespace that others made: `/proc/PID/ns/net`.
    pub fn open(name: &str, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file =
            File::open(&path).with_context(|| format!("no network namespace at {}", path.display()))?;
        Ok(Self { inner: Arc::new(Inner { name: name.to_owned(), path, file, named_by_us: false }) })
    }

    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A path that opens it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs `work` in a thread that has entered the namespace. Sockets that it opens stay there for good; sysctls
    /// under `/proc/sys/net` are the namespace's; threads that it starts are in the namespace too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            self.enter();
            work()
        })
    }

    /// Moves the calling thread into the namespace, for good: for threads that live in the background.
    pub(crate) fn enter(&self) {
        let entered = setns(&self.inner.file, CloneFlags::CLONE_NEWNET);
        entered.unwrap_or_else(|error| panic!("cannot enter network namespace {}: {error}", self.name()));
    }

    /// A command that runs `program` in the namespace. Through nsenter: `ip netns exec` mounts a new `/sys` and so
    /// hides the cgroups, without which dockerd does not start.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.command_in(None, program)
    }

    /// As [`command`](Self::command), in a mount namespace too.
    pub(crate) fn command_in(&self, mounts: Option<&str>, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.args(mounts.map(|path| format!("--mount={path}"))).arg("--").arg(program.as_ref());
        command
    }

    /// Runs lines of `ip` commands, as for `ip -batch`.
    pub fn ip(&self, lines: &[&str]) -> Result<()> {
        let input = lines.join("\n") + "\n";
        self.run(|| run_with_input(Command::new("ip").args(["-batch", "-"]), input.as_bytes()))?;
        Ok(())
    }

    /// Loads nftables text.
    pub fn nft(&self, text: &str) -> Result<()> {
        run_with_input(self.command("nft").args(["-f", "-"]), text.as_bytes())?;
        Ok(())
    }

    /// Runs a shell line and gives its output, for set-up that has no function of its own.
    pub fn shell(&self, line: &str) -> Result<String> {
        run(self.command("sh").args(["-c", line]))
    }

    /// Whether duplicate address detection still holds back an IPv6 address.
    pub(crate) fn has_tentative_addresses(&self) -> bool {
        // A line for each: the address, and in hexadecimal its link, length, scope and flags (net/ipv6/addrconf.c, `if6_seq_show`).
        let lines = self.read("net/if_inet6").unwrap_or_default();
        let mut flags =
            lines.lines().filter_map(|line| u32::from_str_radix(line.split_whitespace().nth(4)?, 16).ok());
        flags.any(|flags| flags & libc::IFA_F_TENTATIVE != 0)
    }

    /// Reads a file of `/proc/self` that is about the namespace: `net/dev`.
    pub fn read(&self, file: &str) -> Result<String> {
        let read = self.run(|| fs::read_to_string(of_thread(file)));
        read.with_context(|| format!("cannot read {file} in {}", self.name()))
    }

    /// Reads a sysctl below `net.`, named as `sysctl` names it (`/` for a dot within an interface's name).
    pub fn sysctl(&self, name: &str) -> Result<String> {
        let path = sysctl_path(name);
        let value = self.run(|| fs::read_to_string(&path)).with_context(|| format!("cannot read {name}"))?;
        Ok(value.trim().to_owned())
    }

    /// Sets a sysctl below `net.`.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = sysctl_path(name);
        self.run(|| fs::write(&path, value)).with_context(|| format!("cannot set {name} in {}", self.name()))
    }
}

/// `net.ipv4.ip_forward` names a file; as with the sysctl program, `/` stands for a dot that is part of a name.
fn sysctl_path(name: &str) -> PathBuf {
    let swapped = name.chars().map(|c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    });
    Path::new("/proc/sys").join(swapped.collect::<String>())
}

/// A file of the calling thread in `/proc`. Not by `thread-self`, which came with Linux 3.17.
pub(crate) fn of_thread(file: &str) -> PathBuf {
    Path::new("/proc/self/task").join(gettid().to_string()).join(file)
}

fn name_new_namespace(path: &Path) -> Result<File> {
    File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some(&of_thread("ns/net")), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(File::open(path)?)
}

/// A thread of its own for each visit, so that no thread ever has to find its way back.
pub(crate) fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let result = thread::scope(|scope| scope.spawn(work).join());
    result.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.named_by_us {
            // Nothing to be done about an error, and the end of the process unmounts all.
            let _ = umount2(&self.path, MntFlags::MNT_DETACH);
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The hardware address of an interface in a namespace.
pub(crate) fn hardware_address(netns: &Netns, interface: &str) -> Result<[u8; 6]> {
    let links = run(netns.command("ip").args(["-json", "link", "show", "dev", interface]))?;
    let links: serde_json::Value = serde_json::from_str(&links)?;
    let text = links.pointer("/0/address").and_then(|address| address.as_str());
    text.and_then(parse_mac).ok_or_else(|| anyhow!("{interface} in {} has no hardware address", netns.name()))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_become_paths() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/5.rp_filter"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.5/rp_filter")
        );
    }

    #[test]
    fn mac_addresses_parse() {
        assert_eq!(parse_mac("02:00:00:00:00:ff"), Some([2, 0, 0, 0, 0, 255]));
        assert_eq!(parse_mac("02:00"), None);
    }
}
