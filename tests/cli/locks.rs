//! Two runs at once.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use dockfw_lab::wait_until;

use crate::desk::{DOCKFW, Desk, GOOD, PRELUDE};

/// How long anything may take that waits for another process.
const DEADLINE: Duration = Duration::from_secs(20);

/// A script that is running, with all that it starts. Dropped, it is ended.
struct Running {
    script: Child,
    talk: Receiver<String>,
    said: String,
}

impl Running {
    fn start(desk: &Desk, script: &str) -> Self {
        let mut command = Command::new("unshare");
        // With a process namespace, so that what the script left in the background dies with it.
        command.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-ec"]);
        command.arg(format!("{PRELUDE}\n{script}")).current_dir(&desk.0);
        command.env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut script = command.spawn().unwrap();
        let lines = BufReader::new(script.stderr.take().unwrap()).lines();
        let (sender, talk) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { script, talk, said: String::new() }
    }

    /// Gives the script a line to `read`.
    fn tell(&mut self, line: &str) {
        writeln!(self.script.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line on stderr.
    fn wait_for_talk(&mut self, part: &str) {
        loop {
            let line = self.talk.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("{part:?} was not said ({error})\n{}", self.said));
            self.said += &format!("{line}\n");
            if line.contains(part) {
                return;
            }
        }
    }

    /// Waits for the end, which must be a good one.
    fn succeeds(mut self) {
        let status =
            wait_until(DEADLINE, "for the script to end", || self.script.try_wait().unwrap()).unwrap();
        let rest: String = self.talk.iter().map(|line| format!("{line}\n")).collect();
        assert!(status.success(), "{status}\n{}{rest}", self.said);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

const WAITING: &str = "waiting for another dockfw to finish";

#[test]
fn an_apply_waits_for_the_lock_and_says_so() {
    let Some(desk) = Desk::with_namespaces("lock") else { return };
    let mut running = Running::start(
        &desk,
        "mkdir /run/dockfw
         mkfifo held release
         flock /run/dockfw/lock sh -c 'echo >held; read -r _ <release' &
         read -r _ <held
         dockfw apply >/dev/null &
         apply=$!
         read -r go
         kill -0 $apply
         fails nft list table inet dockfw
         echo >release
         wait $apply
         nft list table inet dockfw >/dev/null",
    );
    running.wait_for_talk(WAITING);
    running.tell("go");
    running.succeeds();
}

/// The first apply stands still, with the lock, for as long as a Docker of the test's own does not answer it.
#[test]
fn of_two_applies_at_once_the_second_waits() {
    let Some(desk) = Desk::with_namespaces("two") else { return };
    desk.write("first/dockfw.toml", GOOD);
    desk.write("second/dockfw.toml", GOOD.replace("443", "444"));
    let docker = UnixListener::bind(desk.0.join("docker.sock")).unwrap();
    docker.set_nonblocking(true).unwrap();
    let mut running = Running::start(
        &desk,
        "dockfw() { \"$DOCKFW\" \"$1\" --config \"$2/dockfw.toml\"; }
         DOCKER_HOST=unix://docker.sock dockfw apply first >/dev/null &
         first=$!
         read -r go
         dockfw apply second >/dev/null &
         second=$!
         wait $first
         wait $second
         dockfw status second >/dev/null
         fails dockfw status first",
    );
    let asked = wait_until(DEADLINE, "for the first apply to ask Docker", || docker.accept().ok()).unwrap();
    running.tell("go");
    running.wait_for_talk(WAITING);
    drop(asked);
    running.succeeds();
}
