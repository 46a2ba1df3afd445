//! Questions to dockerd over its socket.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::text::printable;

/// Where dockerd listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// How long dockerd may take for one answer. It answers from memory; one that hangs must not hang the firewall.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer that is read: a host with thousands of containers stays far below it.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Whether dockerd can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It answers.
    Answers,
    /// It is not running, or not on this host.
    Absent,
    /// It may be running, and can't be asked; why.
    Unreadable(String),
}

/// Whether dockerd can be asked.
pub(crate) fn presence() -> Presence {
    match get("/_ping") {
        Ok(_) => Presence::Answers,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Presence::Absent
        }
        Err(error) => Presence::Unreadable(error.to_string()),
    }
}

/// What dockerd answers to a GET of `path`, or nothing where it does not, or not in a way that can be read.
pub(super) fn ask<T: DeserializeOwned>(path: &str) -> Option<T> {
    let body = get(path).inspect_err(|error| log::debug!("Docker does not answer {path}: {error}")).ok()?;
    serde_json::from_slice(&body)
        .inspect_err(|error| log::warn!("Docker's answer to {path} can't be read: {error}"))
        .ok()
}

/// Docker's answer to a GET of `path`, from whichever API version it speaks.
fn get(path: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket_path())?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    body(&answer).map(<[u8]>::to_vec)
}

fn socket_path() -> PathBuf {
    let host = env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").map_or_else(|| SOCKET.into(), PathBuf::from)
}

/// The body of an HTTP answer that says 200.
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
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n[]").unwrap(), b"[]");
        assert!(body(b"HTTP/1.0 500 Oops\r\n\r\n{}").is_err());
        assert!(body(b"garbage").is_err());
    }
}
