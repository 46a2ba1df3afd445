//! The sockets of this network namespace that wait for connections: listening TCP sockets, and UDP sockets that are
//! bound but not connected.
//!
//! They come from the kernel by sock_diag(7). It lists the listening ones alone, whatever connections there are, and
//! reports whether an IPv6 socket takes IPv4 too; `/proc/net` does neither.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use dockfw_policy::service::{PortRange, Service, Transport};

use super::processes::{Holder, holders};
use crate::netlink::sock_diag::{Socket, State, sockets};

/// A socket that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// TCP or UDP.
    pub(crate) transport: Transport,
    /// The address that it is bound to. An unspecified one stands for all of the host's.
    pub(crate) address: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// Whether it takes IPv4 too, although its address is of IPv6.
    pub(crate) takes_ipv4: bool,
    /// The index of the only interface that it takes packets from, if it is bound to one.
    pub(crate) interface: Option<u32>,
    /// Who holds it; nothing if that can't be read, or if the kernel itself does.
    pub(crate) holder: Option<Holder>,
}

impl Listener {
    /// Returns what it offers, as a policy names it; port 0 is no port.
    pub(crate) fn service(&self) -> Option<Service> {
        Some(Service::Ports(self.transport, PortRange::single(self.port)?))
    }

    /// Returns whether the socket answers at this address of the host, as far as its own address goes.
    pub(crate) fn answers(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_))
            | (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => true,
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => self.takes_ipv4,
            (own, address) => own == address,
        }
    }
}

/// Returns all of them, by transport, port and address.
pub(crate) fn read() -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        for family in [Family::Ipv4, Family::Ipv6] {
            // UDP sockets that are not connected are in the state "close".
            let state = if transport == Transport::Tcp { State::Listen } else { State::Close };
            let answers = sockets(transport.number(), family, state)?;
            found.extend(answers.into_iter().filter_map(|socket| listener(transport, socket)));
        }
    }
    let holders = holders(found.iter().map(|(inode, _)| *inode).filter(|inode| *inode != 0).collect());
    let mut listeners: Vec<_> = found
        .into_iter()
        .map(|(inode, listener)| Listener { holder: holders.get(&inode).cloned(), ..listener })
        .collect();
    listeners.sort_by_key(|listener| (listener.transport, listener.port, listener.address));
    // Several sockets may share a port (SO_REUSEPORT).
    listeners.dedup();
    Ok(listeners)
}

/// Returns a socket's inode, and what it waits for.
fn listener(transport: Transport, socket: Socket) -> Option<(u64, Listener)> {
    // Kernels before 4.7 do not report it: then an IPv6 socket counts as one that takes IPv4 too, as most do.
    let (address, takes_ipv4) = unmapped(socket.local.ip(), socket.is_v6_only);
    let listener = Listener {
        transport,
        address,
        port: socket.local.port(),
        takes_ipv4,
        interface: socket.interface,
        holder: None,
    };
    // A UDP socket that was never bound has no port.
    (listener.port != 0).then_some((socket.inode, listener))
}

/// An IPv6 socket bound to `::ffff:192.0.2.1` is one for 192.0.2.1 alone.
fn unmapped(address: IpAddr, v6_only: bool) -> (IpAddr, bool) {
    match address {
        IpAddr::V4(_) => (address, true),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => (IpAddr::V4(v4), true),
            None => (address, v6.is_unspecified() && !v6_only),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV6, TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, bind, getsockname, listen, setsockopt,
        socket, sockopt,
    };

    use super::*;

    fn find(transport: Transport, port: u16) -> Vec<Listener> {
        read()
            .unwrap()
            .into_iter()
            .filter(|found| (found.transport, found.port) == (transport, port))
            .collect()
    }

    #[test]
    fn a_listening_socket_is_found_with_its_holder_and_a_connection_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection = TcpStream::connect(address).unwrap();
        let found = find(Transport::Tcp, address.port());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].address, found[0].interface), (address.ip(), None));
        assert_eq!(found[0].holder.as_ref().unwrap().pid, std::process::id());
        assert!(found[0].answers(address.ip()) && !found[0].answers([127, 0, 0, 2].into()));
        assert_eq!(find(Transport::Tcp, connection.local_addr().unwrap().port()), []);
    }

    #[test]
    fn a_bound_udp_socket_is_found_and_a_connected_one_is_not() {
        let bound = UdpSocket::bind("0.0.0.0:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = bound.local_addr().unwrap().port();
        connected.connect(("127.0.0.1", port)).unwrap();
        let found = find(Transport::Udp, port);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].answers([192, 0, 2, 1].into()) && !found[0].answers(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(find(Transport::Udp, connected.local_addr().unwrap().port()), []);
    }

    /// Returns a listening socket for IPv6 alone.
    fn v6_only() -> OwnedFd {
        let fd = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        setsockopt(&fd, sockopt::Ipv6V6Only, &true).unwrap();
        let any = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        bind(fd.as_raw_fd(), &any).unwrap();
        listen(&fd, Backlog::MAXCONN).unwrap();
        fd
    }

    #[test]
    fn an_ipv6_socket_takes_ipv4_unless_it_says_otherwise() {
        // std's sockets take both.
        let both = TcpListener::bind("[::]:0").unwrap();
        let found = find(Transport::Tcp, both.local_addr().unwrap().port());
        assert!(found[0].answers([192, 0, 2, 1].into()) && found[0].answers(Ipv6Addr::LOCALHOST.into()));
        let alone = v6_only();
        let port = getsockname::<SockaddrIn6>(alone.as_raw_fd()).unwrap().port();
        let found = find(Transport::Tcp, port);
        assert!(!found[0].answers([192, 0, 2, 1].into()) && found[0].answers(Ipv6Addr::LOCALHOST.into()));
        let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        assert_eq!(unmapped(any, true), (any, false));
        assert_eq!(unmapped("::ffff:192.0.2.1".parse().unwrap(), false), ([192, 0, 2, 1].into(), true));
        assert_eq!(unmapped(Ipv6Addr::LOCALHOST.into(), false), (Ipv6Addr::LOCALHOST.into(), false));
    }
}
