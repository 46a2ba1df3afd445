//! The TCP sockets of this network namespace that are connected or listen, from the kernel by sock_diag(7).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::StateFlags;
use netlink_packet_sock_diag::{AF_INET, AF_INET6};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use dockfw_policy::service::Transport;

use super::listeners::request;
use super::netlink::dump;

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    /// Its inode.
    pub(crate) inode: u64,
    /// Its own end.
    pub(crate) local: SocketAddr,
    /// The other end; nothing where it listens.
    pub(crate) remote: Option<SocketAddr>,
    /// The index of the interface that it is bound to, as link-local addresses demand.
    pub(crate) interface: Option<u32>,
}

/// All that are connected, and all that listen.
pub(crate) fn read() -> io::Result<Vec<TcpSocket>> {
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        for states in [StateFlags::LISTEN, StateFlags::ESTABLISHED] {
            let is_connected = states == StateFlags::ESTABLISHED;
            let answers = dump(NETLINK_SOCK_DIAG, &request(Transport::Tcp, family, states))?;
            found.extend(answers.into_iter().filter_map(|answer| socket(answer, is_connected)));
        }
    }
    Ok(found)
}

fn socket(answer: SockDiagMessage, is_connected: bool) -> Option<TcpSocket> {
    let SockDiagMessage::InetResponse(answer) = answer else { return None };
    let ends = &answer.header.socket_id;
    let remote = SocketAddr::new(canonical(ends.destination_address), ends.destination_port);
    Some(TcpSocket {
        inode: answer.header.inode.into(),
        local: SocketAddr::new(canonical(ends.source_address), ends.source_port),
        remote: is_connected.then_some(remote),
        interface: Some(ends.interface_id).filter(|index| *index != 0),
    })
}

/// An IPv6 socket says `::ffff:192.0.2.1` where IPv4 is spoken.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// As TCP is where the kernel has no tcp_diag. 253 is for experiments (RFC 3692).
    #[test]
    fn what_the_kernel_can_not_list_is_an_error() {
        let SockDiagMessage::InetRequest(mut question) = request(Transport::Tcp, AF_INET, StateFlags::LISTEN)
        else {
            panic!("no request")
        };
        question.protocol = 253;
        let error = dump(NETLINK_SOCK_DIAG, &SockDiagMessage::InetRequest(question)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_connection_is_found_with_both_its_ends() {
        // Of both families where there is IPv6: the accepted end is `::ffff:127.0.0.1` to the kernel.
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
