//! A host with a real sshd, and sessions on it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dockfw_lab::{Engine, Lab, LabOptions, Machine, Programs, Sshd, Variant, patience};
use tempfile::TempDir;

const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");
/// How long anything may take that a session is asked to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing answers where nothing will. On the lab's network an answer takes less than a millisecond.
const SILENCE: Duration = Duration::from_secs(1);

/// Whether this machine has what it takes.
pub(crate) fn possible() -> Result<()> {
    Sshd::check()?;
    Programs::check(&Variant::Nft)
}

/// The host with its sshd, and the clients of the lab. Dropped, all of it is gone.
pub(crate) struct SshFixture {
    pub(crate) lab: Lab,
    pub(crate) engine: Engine,
    files: TempDir,
    sshd: Sshd,
}

impl SshFixture {
    pub(crate) fn raise(engine: Engine) -> Result<Self> {
        let lab = Lab::raise(LabOptions { dockfw: Some(DOCKFW.into()), ..LabOptions::default() })?;
        let sshd = Sshd::start(&lab.host, lab.path())?;
        Ok(Self { lab, engine, files: tempfile::tempdir()?, sshd })
    }

    /// Writes the policy that the next apply reads.
    pub(crate) fn policy(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.files.path().join("dockfw.toml"), text)?)
    }

    /// The beginning of a command line of dockfw's.
    pub(crate) fn dockfw(&self) -> String {
        format!("{DOCKFW} --config {}", self.files.path().join("dockfw.toml").display())
    }

    /// The command line of an apply.
    pub(crate) fn apply(&self, options: &str) -> String {
        format!("{} apply --backend {} {options}", self.dockfw(), self.engine.backend())
    }

    /// Whether nothing answers at sshd's port.
    pub(crate) fn is_shut(&self, from: &Machine, to: IpAddr) -> bool {
        let at = SocketAddr::new(to, 22);
        from.run(|| TcpStream::connect_timeout(&at, SILENCE)).is_err()
    }

    /// Logs in at an address of the host.
    pub(crate) fn login(&self, from: &Machine, to: &str) -> Result<Session> {
        self.login_by(from, to, 22)
    }

    /// Logs in by another port than sshd's.
    pub(crate) fn login_by(&self, from: &Machine, to: &str, port: u16) -> Result<Session> {
        let mut command = self.sshd.client(from);
        command.args(["-p", &port.to_string(), &format!("root@{to}"), "sh"]);
        Session::start(command)
    }

    /// Logs in to run one command, with a terminal there or without.
    pub(crate) fn run(&self, from: &Machine, terminal: bool, command: &str) -> Result<Login> {
        let mut ssh = self.sshd.client(from);
        ssh.args([if terminal { "-tt" } else { "-T" }, &format!("root@{}", self.lab.host.v4)]);
        ssh.arg(format!("exec {command}")).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Login(ssh.spawn().context("cannot start a session")?))
    }

    /// A shell on the host that nobody logged in to, as at its console.
    pub(crate) fn console(&self) -> Result<Session> {
        Session::start(self.lab.command("sh"))
    }
}

/// A client of ssh. Dropped, it is ended.
pub(crate) struct Login(Child);

impl Login {
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        Ok(self.0.wait().map(drop)?)
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// A shell on the host, which is told what to run line by line.
pub(crate) struct Session {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

/// What a command of a session came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    /// What it printed, and what it complained of.
    pub(crate) said: String,
}

impl Done {
    pub(crate) fn exits(&self, code: i32) -> Result<&Self> {
        ensure!(self.code == code, "exit code {} and not {code}: {}", self.code, self.said);
        Ok(self)
    }

    pub(crate) fn says(&self, part: &str) -> Result<&Self> {
        ensure!(self.said.contains(part), "{part:?} is not in {:?}", self.said);
        Ok(self)
    }
}

impl Session {
    fn start(mut command: Command) -> Result<Self> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = piped.spawn().context("cannot start a session")?;
        let stdin = child.stdin.take().context("no way in")?;
        let stdout = BufReader::new(child.stdout.take().context("no way out")?);
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, stdin, lines })
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, command: &str) -> Result<Done> {
        self.begin(command)?;
        self.end().with_context(|| command.to_owned())
    }

    /// Starts a command.
    pub(crate) fn begin(&mut self, command: &str) -> Result<()> {
        // The end on a line of its own, also where the command ends none.
        Ok(writeln!(self.stdin, "{{ {command}; }} </dev/null 2>&1; printf '\\nended with %s of this\\n' $?")?)
    }

    /// Waits for the end of the command that was started.
    pub(crate) fn end(&mut self) -> Result<Done> {
        let deadline = Instant::now() + PATIENCE * patience();
        let mut said = String::new();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(rest).with_context(|| said.clone())?;
            if let Some(code) =
                line.strip_prefix("ended with ").and_then(|rest| rest.strip_suffix(" of this"))
            {
                return Ok(Done { code: code.parse()?, said });
            }
            said += &line;
            said.push('\n');
        }
    }

    /// Whether it still answers.
    pub(crate) fn is_alive(&mut self) -> Result<()> {
        match self.run("echo here")?.said.trim() {
            "here" => Ok(()),
            other => bail!("the session says {other:?}"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends with its connection or its shell anyway.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
