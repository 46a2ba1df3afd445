//! What Docker says of itself over its socket. It may not be there, or not be readable: then nothing is known.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use dockfw_policy::service::{PortRange, Service, Transport};
use serde::Deserialize;

/// Where dockerd listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// How long dockerd may take for one answer. It answers from memory; one that hangs must not hang the firewall.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer that is read: a host with thousands of containers stays far below it.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// A port that Docker publishes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    /// The number that clients dial.
    pub(crate) service: Service,
    /// The container's name.
    pub(crate) container: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    transport: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    firewall_backend: Option<FirewallBackend>,
    swarm: Option<Swarm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(default)]
    local_node_state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FirewallBackend {
    #[serde(default)]
    driver: String,
}

impl Info {
    fn read() -> Option<Self> {
        let body = get("/info").inspect_err(|error| log::debug!("Docker does not answer: {error}")).ok()?;
        serde_json::from_slice(&body)
            .inspect_err(|error| log::warn!("what Docker says of itself can't be read: {error}"))
            .ok()
    }

    fn uses_nftables(&self) -> bool {
        self.firewall_backend.as_ref().is_some_and(|backend| backend.driver.starts_with("nftables"))
    }

    fn is_swarm_node(&self) -> bool {
        self.swarm.as_ref().is_some_and(|swarm| swarm.local_node_state == "active")
    }
}

/// Whether Docker filters with nftables itself, or nothing where it does not answer. Docker before 28.1 does not say,
/// and has no such backend.
pub(crate) fn uses_nftables() -> Option<bool> {
    Info::read().map(|info| info.uses_nftables())
}

/// Whether this host is a node of a Swarm, or nothing where Docker does not answer.
pub(crate) fn is_swarm_node() -> Option<bool> {
    Info::read().map(|info| info.is_swarm_node())
}

/// The published ports of running containers, each once, or nothing where Docker does not answer.
pub(crate) fn published() -> Option<Vec<Published>> {
    let answer = get("/containers/json");
    let body = answer.inspect_err(|error| log::debug!("Docker does not answer: {error}")).ok()?;
    let containers: Vec<Container> = serde_json::from_slice(&body)
        .inspect_err(|error| log::warn!("Docker's list of containers can't be read: {error}"))
        .ok()?;
    let mut published: Vec<_> = containers.iter().flat_map(published_by).collect();
    published.sort();
    published.dedup();
    Some(published)
}

fn published_by(container: &Container) -> impl Iterator<Item = Published> + '_ {
    let name = container.names.first().map_or("", |name| name.trim_start_matches('/'));
    let name = printable(name);
    container.ports.iter().filter_map(move |port| {
        let transport = Transport::ALL.into_iter().find(|transport| transport.name() == port.transport)?;
        let range = PortRange::single(port.public_port?)?;
        Some(Published { service: Service::Ports(transport, range), container: name.clone() })
    })
}

/// A text from a container without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
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
    fn the_published_ports_are_read_and_names_made_printable() {
        let json = br#"[{"Names":["/we\u001b[31mb"],"Ports":[
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"PrivatePort":443,"Type":"tcp"}]}]"#;
        let containers: Vec<Container> = serde_json::from_slice(json).unwrap();
        let published: Vec<_> = published_by(&containers[0]).collect();
        assert_eq!(published.len(), 2);
        assert_eq!(published[0].container, "we[31mb");
        assert_eq!(published[0].service.to_string(), "8080/tcp");
    }

    #[test]
    fn what_docker_says_of_itself_is_read() {
        let info = |json: &str| serde_json::from_str::<Info>(json).unwrap();
        assert!(info(r#"{"FirewallBackend":{"Driver":"nftables+firewalld"}}"#).uses_nftables());
        assert!(!info(r#"{"FirewallBackend":{"Driver":"iptables"}}"#).uses_nftables());
        assert!(info(r#"{"Swarm":{"LocalNodeState":"active"}}"#).is_swarm_node());
        let bare = info(r#"{"ID":"x"}"#);
        assert!(!bare.uses_nftables() && !bare.is_swarm_node());
    }

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n[]").unwrap(), b"[]");
        assert!(body(b"HTTP/1.0 500 Oops\r\n\r\n{}").is_err());
        assert!(body(b"garbage").is_err());
    }
}
