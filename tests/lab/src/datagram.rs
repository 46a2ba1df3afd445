//! A UDP socket that answers from the address it was asked at. An unconnected socket would answer from whichever
//! address the route suggests, and a client that asked another one would not take it for an answer.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::service::bind_any;

#[derive(Debug)]
pub(crate) struct DatagramSocket(Socket);

/// A datagram, with what is needed to answer it.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) payload: Vec<u8>,
    peer: SockaddrStorage,
    /// The local address that it was sent to, and for IPv6 the interface.
    at: Option<(IpAddr, u32)>,
}

impl DatagramSocket {
    pub(crate) fn bind(domain: Domain, port: u16) -> io::Result<Self> {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, Ipv4PacketInfo, &true)?;
        }
        bind_any(&socket, domain, port)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    pub(crate) fn receive(&self) -> io::Result<Datagram> {
        let mut buffer = [0; 2048];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
        let message: RecvMsg<'_, '_, SockaddrStorage> =
            recvmsg(self.0.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
        let at = message.cmsgs()?.find_map(|control| local_address(&control));
        let peer = message.address.ok_or(io::ErrorKind::InvalidData)?;
        let length = message.bytes;
        Ok(Datagram { payload: buffer.get(..length).unwrap_or_default().to_vec(), peer, at })
    }

    pub(crate) fn reply(&self, to: &Datagram, payload: &[u8]) -> io::Result<()> {
        let slices = [IoSlice::new(payload)];
        let send = |control: &[ControlMessage<'_>]| {
            sendmsg(self.0.as_raw_fd(), &slices, control, MsgFlags::empty(), Some(&to.peer))
        };
        match to.at {
            Some((IpAddr::V4(v4), _)) => {
                let address = in_addr { s_addr: u32::from_ne_bytes(v4.octets()) };
                let unset = in_addr { s_addr: 0 };
                send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: address,
                    ipi_addr: unset,
                })])?
            }
            Some((IpAddr::V6(v6), interface)) => {
                let address = in6_addr { s6_addr: v6.octets() };
                // The interface only where the address means nothing without: a reply may take another way back.
                let ipi6_ifindex = if v6.is_unicast_link_local() { interface } else { 0 };
                send(&[ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_addr: address, ipi6_ifindex })])?
            }
            None => send(&[])?,
        };
        Ok(())
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Datagram {
    pub(crate) fn peer_address(&self) -> SocketAddr {
        let v4 = self.peer.as_sockaddr_in().map(|&address| SocketAddr::V4(SocketAddrV4::from(address)));
        let v6 = || self.peer.as_sockaddr_in6().map(|&address| SocketAddr::V6(SocketAddrV6::from(address)));
        v4.or_else(v6).expect("an internet socket has internet peers")
    }
}

fn local_address(control: &ControlMessageOwned) -> Option<(IpAddr, u32)> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some((IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()), 0))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some((IpAddr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex))
        }
        _ => None,
    }
}
