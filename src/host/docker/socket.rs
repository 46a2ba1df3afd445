//! Questions to dockerd over its socket.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dockfw_policy::printable;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use serde::de::DeserializeOwned;

use crate::host::processes;

/// Where dockerd listens unless `DOCKER_HOST` names another place.
const SOCKET: &str = "/var/run/docker.sock";
/// The name of its process; Red Hat's of Docker 1.13 is `dockerd-current`.
const DAEMON: &str = "dockerd";
/// How long dockerd may take for one answer. It answers from memory; one that hangs must not hang the firewall.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a daemon that did not answer in time is not asked again.
const REST: Duration = Duration::from_secs(30);
/// The longest answer that is read: a host with thousands of containers stays far below it.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Whether dockerd can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It answers.
    Answers,
    /// It is not running, or not on this host.
    Absent,
    /// It may be running, but can't be asked, for this reason.
    Unreadable(String),
}

/// Returns whether dockerd can be asked.
pub(crate) fn presence() -> Presence {
    match get("/_ping") {
        Ok(_) => Presence::Answers,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Presence::Absent
        }
        Err(error) => Presence::Unreadable(error.to_string()),
    }
}

/// Returns what dockerd answers to a GET of `path`; nothing if it does not answer, or its answer can't be read.
pub(super) fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    let body = get(path).inspect_err(|error| log::debug!("Docker does not answer {path}: {error}")).ok()?;
    serde_json::from_slice(&body)
        .inspect_err(|error| log::warn!("Docker's answer to {path} can't be read: {error}"))
        .ok()
}

/// Returns Docker's answer to a GET of `path`, from whichever API version it speaks.
fn get(path: &str) -> io::Result<Vec<u8>> {
    static DOCKER: Courtesy = Courtesy { silent_since: Mutex::new(None) };
    let socket = socket_path();
    if socket == Path::new(SOCKET) && is_systemd_in_its_place() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    DOCKER.ask(|| get_from(&socket, path, TIMEOUT, MAX_ANSWER))
}

/// Returns whether systemd may be the one that listens (`docker.socket`), and would start Docker for a question: no
/// question may start anything. Besides, while a host boots, Docker waits for dockfw.
fn is_systemd_in_its_place() -> bool {
    processes::is_init("systemd") && !processes::is_running(DAEMON)
}

/// Avoids waiting for the same daemon again and again.
struct Courtesy {
    silent_since: Mutex<Option<Instant>>,
}

impl Courtesy {
    fn ask(&self, question: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let mut silent_since = self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        if silent_since.is_some_and(|since| since.elapsed() < REST) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let answer = question();
        let is_silent = answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        *silent_since = is_silent.then(Instant::now);
        answer
    }
}

/// Does the same with this socket, within this time, and for at most this many bytes.
fn get_from(socket: &Path, path: &str, time: Duration, limit: u64) -> io::Result<Vec<u8>> {
    let mut daemon = Daemon::connect(socket, time)?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    daemon.write_all(format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    daemon.take(limit.saturating_add(1)).read_to_end(&mut answer)?;
    if answer.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a longer answer than any of Docker's"));
    }
    body(&answer).map(<[u8]>::to_vec)
}

/// A connection to a daemon that has a deadline for all that it is to do.
struct Daemon {
    stream: UnixStream,
    deadline: Instant,
}

impl Daemon {
    fn connect(path: &Path, time: Duration) -> io::Result<Self> {
        let fd = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let daemon = Self { stream: fd.into(), deadline: Instant::now() + time };
        // If it accepts nobody, connecting may take as long as sending (unix(7)).
        daemon.in_time(UnixStream::set_write_timeout, |stream| {
            Ok(socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?)
        })?;
        Ok(daemon)
    }

    /// Does something with the connection, with `set_timeout` set to the time that is left.
    fn in_time<T>(
        &self,
        set_timeout: fn(&UnixStream, Option<Duration>) -> io::Result<()>,
        act: impl FnOnce(&UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        set_timeout(&self.stream, Some(left))?;
        act(&self.stream).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

impl Read for Daemon {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.in_time(UnixStream::set_read_timeout, |mut stream| stream.read(buffer))
    }
}

impl Write for Daemon {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time(UnixStream::set_write_timeout, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn socket_path() -> PathBuf {
    let host = env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// Returns the body of an HTTP answer with status 200.
fn body(answer: &[u8]) -> io::Result<&[u8]> {
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(odd)?;
    let (head, body) = answer.split_at(end);
    let status =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    match status.split(' ').nth(1) {
        Some("200") => body.get(4..).ok_or_else(odd),
        _ => Err(io::Error::other(printable(&status))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nix::sys::socket::{Backlog, listen};

    use super::*;

    /// Returns a daemon of the test's own, which does this with each connection, and where it listens.
    fn daemon(serve: impl Fn(UnixStream) + Send + 'static) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
        (directory, path)
    }

    fn kind_of_failure(path: &Path, time: Duration, limit: u64) -> io::ErrorKind {
        get_from(path, "/x", time, limit).unwrap_err().kind()
    }

    #[test]
    fn a_daemon_that_trickles_has_one_deadline_for_all_of_its_answer() {
        let (_directory, path) = daemon(|mut stream| {
            // Each byte arrives well within the time for all of them.
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(kind_of_failure(&path, Duration::from_millis(200), 1 << 20), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_daemon_that_reads_or_says_nothing_keeps_nobody() {
        let (_directory, path) = daemon(|stream| drop(stream.peer_addr().map(|_| std::mem::forget(stream))));
        assert_eq!(kind_of_failure(&path, Duration::from_millis(50), 1 << 20), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_daemon_that_accepts_nobody_keeps_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        // As many as it has room for.
        let _first = UnixStream::connect(&path).unwrap();
        assert_eq!(kind_of_failure(&path, Duration::from_millis(50), 1 << 20), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_answer_that_is_too_long_is_none() {
        let (_directory, path) = daemon(|mut stream| {
            // Closing it with the request unread would reset it.
            let _ = stream
                .read(&mut [0; 1024])
                .and_then(|_| stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n[]        "));
        });
        let long = Duration::from_secs(20);
        assert_eq!(get_from(&path, "/x", long, 29).unwrap(), b"[]        ");
        assert_eq!(kind_of_failure(&path, long, 28), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_silent_daemon_is_waited_for_once() {
        let docker = Courtesy { silent_since: Mutex::new(None) };
        assert!(docker.ask(|| Err(io::ErrorKind::ConnectionRefused.into())).is_err());
        assert_eq!(docker.ask(|| Ok(b"[]".to_vec())).unwrap(), b"[]");
        assert!(docker.ask(|| Err(io::ErrorKind::TimedOut.into())).is_err());
        assert!(docker.ask(|| panic!("it is asked again")).is_err());
        *docker.silent_since.lock().unwrap() = Instant::now().checked_sub(REST);
        assert_eq!(docker.ask(|| Ok(b"[]".to_vec())).unwrap(), b"[]");
    }

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n[]").unwrap(), b"[]");
        assert!(body(b"HTTP/1.0 500 Oops\r\n\r\n{}").is_err());
        assert!(body(b"garbage").is_err());
    }
}
