//! Where the operator is connected from, and to which port of this host. (Which port was dialled, connection tracking
//! knows.) Of all connections of this host, it is the one by which dockfw was started.
//!
//! That is a connection which one of this process's ancestors holds, and which another process accepted: the process
//! that serves a login (sshd's and its like) has its connection, and not the socket that listens for more. What an
//! ancestor accepted itself (a forwarded port, a web panel's other users) is someone else's, and so are all other
//! connections to the port: scanners hold those. Programs' names do not matter.
//!
//! In tmux and screen there is no such ancestor. There `SSH_CONNECTION` names the connection, and dockfw looks up
//! whether it is still up: the variable may be from a login days ago.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::connections::{self, TcpSocket};
use super::processes;

/// The variable in which sshd(8) reports who is connected.
const VARIABLE: &str = "SSH_CONNECTION";

/// The operator's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The operator's end.
    pub(crate) client: SocketAddr,
    /// This host's end.
    pub(crate) server: SocketAddr,
    /// The index of the interface that it is bound to, which link-local addresses need.
    pub(crate) interface: Option<u32>,
}

/// What is known of the operator's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is up.
    Live(Session),
    /// There was this one, and it is gone: for example, a session of tmux outlived it.
    Gone(Session),
    /// There is none: a console, a timer, a unit.
    None,
    /// It is unknown, for this reason.
    Unknown(String),
}

/// Finds the operator's connection.
pub(crate) fn origin() -> Origin {
    let named = std::env::var(VARIABLE).ok().and_then(|text| parse(&text));
    match connections::read() {
        Ok(sockets) => {
            let held =
                processes::ancestors().find_map(|pid| served(&processes::sockets(pid).collect(), &sockets));
            judge(held, named, &sockets)
        }
        // What can't be looked up has to be believed.
        Err(error) => named.map_or_else(
            || Origin::Unknown(format!("can't read this host's TCP connections: {error}")),
            Origin::Live,
        ),
    }
}

/// Judges what was found. A connection of this process's ancestors counts more than a variable.
fn judge(held: Option<Session>, named: Option<Session>, sockets: &[TcpSocket]) -> Origin {
    let Some(named) = named.filter(|_| held.is_none()) else {
        return held.map_or(Origin::None, Origin::Live);
    };
    let ends = (Some(named.client), named.server);
    let live = sockets.iter().find(|socket| (socket.remote, socket.local) == ends);
    live.and_then(session).map_or(Origin::Gone(named), Origin::Live)
}

/// Returns the connection that a process with these sockets serves, if another process accepted it.
fn served(held: &BTreeSet<u64>, sockets: &[TcpSocket]) -> Option<Session> {
    let listens = |port: u16, own: bool| {
        let mut listening = sockets.iter().filter(|socket| socket.remote.is_none());
        listening.any(|socket| socket.local.port() == port && held.contains(&socket.inode) == own)
    };
    let own = sockets.iter().filter(|socket| socket.remote.is_some() && held.contains(&socket.inode));
    let accepted = |socket: &&TcpSocket| {
        let port = socket.local.port();
        listens(port, false) && !listens(port, true)
    };
    own.filter(accepted).find_map(session)
}

fn session(socket: &TcpSocket) -> Option<Session> {
    let client = socket.remote?;
    Some(Session { client, server: socket.local, interface: socket.interface })
}

/// Reads `CLIENT PORT SERVER PORT`. Addresses may name their zone, as in `fe80::1%eth0`.
fn parse(text: &str) -> Option<Session> {
    let mut words = text.split_ascii_whitespace();
    let mut end = || {
        let address = words.next()?;
        let address: IpAddr = address.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
    };
    let session = Session { client: end()?, server: end()?, interface: None };
    words.next().is_none().then_some(session)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listening(inode: u64, port: u16) -> TcpSocket {
        TcpSocket { inode, local: SocketAddr::new([0; 4].into(), port), remote: None, interface: None }
    }

    fn connected(inode: u64, local: &str, remote: &str) -> TcpSocket {
        TcpSocket { inode, local: at(local), remote: Some(at(remote)), interface: None }
    }

    fn client(held: &[u64], sockets: &[TcpSocket]) -> Option<String> {
        served(&held.iter().copied().collect(), sockets).map(|session| session.client.to_string())
    }

    /// sshd listens (1); the operator is connected (2), and a scanner too (3).
    fn sockets() -> Vec<TcpSocket> {
        vec![
            listening(1, 22),
            connected(3, "192.0.2.1:22", "203.0.113.66:40000"),
            connected(2, "192.0.2.1:22", "203.0.113.7:50000"),
        ]
    }

    #[test]
    fn the_process_above_tells_which_connection_is_the_operators() {
        assert_eq!(client(&[2], &sockets()), Some("203.0.113.7:50000".into()));
        assert_eq!(client(&[], &sockets()), None);
        assert_eq!(client(&[1], &sockets()), None, "sshd itself");
    }

    #[test]
    fn what_a_process_accepted_or_dialled_itself_is_no_session() {
        let mut all = sockets();
        // A forwarded port of this very session, and a connection to elsewhere.
        all.extend([listening(4, 8080), connected(5, "192.0.2.1:8080", "203.0.113.66:40001")]);
        all.push(connected(6, "192.0.2.1:40002", "198.51.100.1:5432"));
        assert_eq!(client(&[4, 5, 6], &all), None);
        assert_eq!(client(&[4, 5, 6, 2], &all), Some("203.0.113.7:50000".into()));
    }

    #[test]
    fn the_variable_counts_only_while_its_connection_is_up() {
        let session = |client| Session { client: at(client), server: at("192.0.2.1:22"), interface: None };
        let (named, old) = (session("203.0.113.7:50000"), session("203.0.113.9:50000"));
        let live = judge(None, Some(named), &sockets());
        assert_eq!(live, Origin::Live(named));
        assert_eq!(judge(None, Some(old), &sockets()), Origin::Gone(old));
        let held = served(&[2].into(), &sockets());
        assert_eq!(judge(held, Some(old), &sockets()), live, "the process above counts more");
        assert_eq!(judge(None, None, &sockets()), Origin::None);
    }

    #[test]
    fn the_variable_is_read_with_mapped_addresses_and_zones() {
        let ends = |text| parse(text).map(|found| (found.client.to_string(), found.server.to_string()));
        let both = |client: &str, server: &str| Some((client.to_owned(), server.to_owned()));
        assert_eq!(ends("203.0.113.7 50000 192.0.2.1 22"), both("203.0.113.7:50000", "192.0.2.1:22"));
        assert_eq!(ends("::ffff:203.0.113.7 1 ::ffff:192.0.2.1 22"), both("203.0.113.7:1", "192.0.2.1:22"));
        assert_eq!(ends("fe80::1%eth0 1 fe80::2%eth0 22"), both("[fe80::1]:1", "[fe80::2]:22"));
        for bad in ["", "203.0.113.7", "203.0.113.7 1 192.0.2.1", "203.0.113.7 1 192.0.2.1 99999", "a 1 b 2"]
        {
            assert_eq!(ends(bad), None, "{bad}");
        }
        assert_eq!(ends("203.0.113.7 1 192.0.2.1 22 more"), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_the_variable_panic(text in "[0-9a-f:%. ]{0,60}") {
            parse(&text);
        }
    }
}
