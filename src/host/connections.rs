//! The TCP sockets of this network namespace that are connected or listen, from the kernel by sock_diag(7).

use std::io;
use std::net::SocketAddr;

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;

use crate::netlink::sock_diag::{Socket, State, sockets};

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    /// Its inode.
    pub(crate) inode: u64,
    /// Its own end.
    pub(crate) local: SocketAddr,
    /// The other end; nothing if it listens.
    pub(crate) remote: Option<SocketAddr>,
    /// The index of the interface that it is bound to, which link-local addresses need.
    pub(crate) interface: Option<u32>,
}

/// Returns all that are connected, and all that listen.
pub(crate) fn read() -> io::Result<Vec<TcpSocket>> {
    let mut found = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for state in [State::Listen, State::Established] {
            let answers = sockets(Transport::Tcp.number(), family, state)?;
            found.extend(answers.into_iter().map(|socket| tcp_socket(socket, state)));
        }
    }
    Ok(found)
}

fn tcp_socket(socket: Socket, state: State) -> TcpSocket {
    TcpSocket {
        inode: socket.inode,
        local: canonical(socket.local),
        remote: (state == State::Established).then(|| canonical(socket.remote)),
        interface: socket.interface,
    }
}

/// An IPv6 socket reports `::ffff:192.0.2.1` for an IPv4 connection.
fn canonical(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_with_both_its_ends() {
        // Both families, if there is IPv6: the kernel has the accepted end as `::ffff:127.0.0.1`.
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (_server, _) = listener.accept().unwrap();
        let found = read().unwrap();
        let own: Vec<_> = found.iter().filter(|socket| socket.local.port() == port).collect();
        let peer = client.local_addr().unwrap();
        assert_eq!(own.iter().filter(|socket| socket.remote == Some(peer)).count(), 1, "{own:?}");
        assert_eq!(own.iter().filter(|socket| socket.remote.is_none()).count(), 1, "{own:?}");
    }
}
