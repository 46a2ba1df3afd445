//! A real sshd on a machine of the lab, and clients that may log in to it as root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::mounts::WORK;
use crate::run::run;
use crate::wait::{patience, wait_until};

const PROGRAM: &str = "/usr/sbin/sshd";
/// How many seconds of silence a session outlives: a busy machine is not to end one that is alive.
const COUNT_ALIVE: u32 = 5;
/// How long a connection may take that is expected to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The server. Dropped, it is gone; sessions that are up live on, as they do when sshd restarts.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    files: PathBuf,
}

impl Sshd {
    /// Whether this machine has one: an error is a reason to skip.
    pub fn check() -> Result<()> {
        ensure!(fs::exists(PROGRAM)?, "no {PROGRAM} on this machine");
        Ok(())
    }

    /// Starts it, and waits until it answers. Sessions find programs in `path`.
    pub fn start(machine: &Machine, path: &OsStr) -> Result<Self> {
        let files = Path::new(WORK).join(format!("sshd-{}", machine.name()));
        // From the lab before, if there was one.
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&files)?;
        for name in ["host", "client"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(files.join(name)))?;
        }
        // It gives up its privileges into there.
        fs::create_dir_all("/run/sshd")?;
        let sshd = Self { child: spawn(machine, &files, path)?, files };
        wait_until(CONNECT, "for sshd", || knock(machine, machine.v4.into()).ok())?;
        Ok(sshd)
    }

    /// The key with which clients log in.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.files.join("client")
    }

    /// A command that runs `ssh` on a machine, for whom it lets in; the caller adds where to.
    #[must_use]
    pub fn client(&self, from: &Machine) -> Command {
        let mut command = from.command("ssh");
        command.args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-i"]).arg(self.key());
        command
    }
}

/// Opens a TCP connection to the port of SSH, and keeps silent.
pub fn knock(from: &Machine, to: IpAddr) -> Result<TcpStream> {
    let at = SocketAddr::new(to, 22);
    Ok(from.run(|| TcpStream::connect_timeout(&at, CONNECT * patience()))?)
}

fn spawn(machine: &Machine, files: &Path, path: &OsStr) -> Result<Child> {
    let config = files.join("sshd_config");
    let text = format!(
        "ListenAddress 0.0.0.0\nListenAddress ::\nHostKey {0}/host\nAuthorizedKeysFile {0}/client.pub\nPidFile none\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={1}\n\
         Subsystem sftp internal-sftp\nClientAliveInterval 1\nClientAliveCountMax {COUNT_ALIVE}\n",
        files.display(),
        path.display()
    );
    fs::write(&config, text)?;
    let mut sshd = machine.command(PROGRAM);
    sshd.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    sshd.stderr(File::create(files.join("log"))?);
    sshd.spawn().context("cannot start sshd")
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself, which its cases have then complained of.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
