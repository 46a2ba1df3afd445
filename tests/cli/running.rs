//! Something that runs while the test goes on.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dockfw_lab::wait_until;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::fixture::{CliFixture, DOCKFW, PRELUDE};

/// How long anything may take that waits for another process.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A program that is running, with all that it starts. Dropped, it is ended.
pub(crate) struct Running {
    child: Child,
    /// Its stderr, or its terminal; nothing once that is closed.
    talk: Option<File>,
    said: String,
}

impl Running {
    /// A script in namespaces of its own.
    pub(crate) fn script(fixture: &CliFixture, script: &str) -> Self {
        let mut command = Command::new("unshare");
        // With a process namespace, so that what the script left in the background dies with it.
        command.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-ec"]);
        command.arg(format!("{PRELUDE}\n{script}")).current_dir(&fixture.0);
        command.env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST");
        Self::start(command.stdin(Stdio::piped()))
    }

    /// A command that talks on its stderr.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let talk = child.stderr.take().unwrap();
        Self { child, talk: Some(without_blocking(talk.into())), said: String::new() }
    }

    /// A command on a terminal of its own.
    pub(crate) fn on_terminal(command: &mut Command) -> Self {
        let (ours, theirs) = terminal();
        let end = || theirs.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // The command has ends of the terminal of its own, which would keep it open here.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child, talk: Some(without_blocking(ours)), said: String::new() }
    }

    /// Gives it a line to read.
    pub(crate) fn tell(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Presses keys on its terminal, or writes to its stdin.
    pub(crate) fn press(&mut self, keys: &str) {
        match &mut self.child.stdin {
            Some(stdin) => stdin.write_all(keys.as_bytes()).unwrap(),
            None => self.talk.as_mut().unwrap().write_all(keys.as_bytes()).unwrap(),
        }
    }

    /// Closes its terminal.
    pub(crate) fn hang_up(&mut self) {
        self.talk = None;
    }

    /// Waits until it has said something.
    pub(crate) fn wait_for_talk(&mut self, part: &str) {
        let heard = wait_until(DEADLINE, "for talk", || {
            self.listen();
            self.said.contains(part).then_some(())
        });
        heard.unwrap_or_else(|error| panic!("{part:?} was not said: {error}\n{}", self.said));
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        // An error is that there is nothing, now or any more.
        while let Some(size @ 1..) = self.talk.as_mut().and_then(|talk| talk.read(&mut buffer).ok()) {
            self.said += &String::from_utf8_lossy(buffer.get(..size).unwrap());
        }
    }

    /// Waits for its end, which must be with this exit code. Returns what it said.
    pub(crate) fn ends(mut self, code: i32) -> String {
        let ended = wait_until(DEADLINE, "for the end", || {
            self.listen();
            self.child.try_wait().unwrap()
        });
        self.listen();
        let status = ended.unwrap_or_else(|error| panic!("{error}\n{}", self.said));
        // As a shell would say it.
        let ended = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(ended, Some(code), "{status}\n{}", self.said);
        std::mem::take(&mut self.said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows after this talk, line by line: of its control sequences, those that dockfw uses.
pub(crate) fn screen(talk: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![String::new()], 0, 0);
    let mut rest = talk;
    while let Some(c) = rest.chars().next() {
        let (cleared, up) = (rest.strip_prefix("\x1b[K"), rest.strip_prefix("\x1b[A"));
        rest = cleared.or(up).unwrap_or(&rest[c.len_utf8()..]);
        match c {
            '\x1b' if cleared.is_some() => lines[row].truncate(column),
            '\x1b' if up.is_some() => row = row.saturating_sub(1),
            '\r' => column = 0,
            '\n' => {
                row += 1;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            c => {
                let line: Vec<_> = lines[row].chars().collect();
                let behind = line.iter().skip(column + 1);
                lines[row] = line.iter().take(column).chain([&c]).chain(behind).collect();
                column += 1;
            }
        }
    }
    lines
}

/// The two ends of a terminal. Programs that other tests start meanwhile must not keep them open.
fn terminal() -> (OwnedFd, File) {
    let ours = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let mut options = File::options();
    let theirs = options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
    let theirs = theirs.open(ptsname_r(&ours).unwrap()).unwrap();
    (ours.into(), theirs)
}

fn without_blocking(end: OwnedFd) -> File {
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    File::from(end)
}
