//! Hears the frames on an interface.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, socket};
use socket2::Socket;

use crate::netns::Netns;
use crate::sender::link_address;

/// A packet socket that hears what comes by one interface, and what goes.
#[derive(Debug)]
pub struct Sniffer {
    socket: Socket,
}

/// What is told of an IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// Its protocol, or the next header of IPv6.
    pub protocol: u8,
    /// What follows the IP header (of IPv4 without options).
    pub payload: Vec<u8>,
}

impl Sniffer {
    /// Listens on `interface` of `netns`; each look waits for at most `patience`.
    pub fn new(netns: &Netns, interface: &str, patience: Duration) -> Result<Self> {
        let socket = netns.run(|| open(interface)).with_context(|| format!("in {}", netns.name()))?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self { socket })
    }

    /// The next IP packet; nothing if none came, or something else.
    pub fn next(&self) -> Result<Option<Heard>> {
        let mut frame = [0; 2048];
        match (&self.socket).read(&mut frame) {
            Ok(length) => Ok(frame.get(..length).and_then(read)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error).context("a packet socket failed"),
        }
    }
}

fn open(interface: &str) -> Result<Socket> {
    let address = link_address(interface)?;
    let socket: OwnedFd =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
            .context("cannot open a packet socket")?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("cannot bind to {interface}"))?;
    Ok(socket.into())
}

/// Ethernet's header is 14 bytes long; then the offsets of RFC 791 and RFC 8200.
fn read(frame: &[u8]) -> Option<Heard> {
    let (header, packet) = frame.split_at_checked(14)?;
    match header.get(12..)? {
        [0x08, 0x00] => {
            let at =
                |from: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(from..from + 4)?).ok()?));
            let payload = packet.get(20..)?.to_vec();
            Some(Heard {
                source: at(12)?.into(),
                destination: at(16)?.into(),
                protocol: *packet.get(9)?,
                payload,
            })
        }
        [0x86, 0xdd] => {
            let at =
                |from: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(from..from + 16)?).ok()?));
            let payload = packet.get(40..)?.to_vec();
            Some(Heard {
                source: at(8)?.into(),
                destination: at(24)?.into(),
                protocol: *packet.get(6)?,
                payload,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    #[test]
    fn reads_what_is_sent() {
        for (source, destination) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let [source, destination]: [IpAddr; 2] = [source.parse().unwrap(), destination.parse().unwrap()];
            let heard = read(&Packet::syn(source, destination, 80, 7).frame([0; 6], [1; 6])).unwrap();
            assert_eq!((heard.source, heard.destination, heard.protocol), (source, destination, 6));
            assert_eq!(heard.payload[2..4], [0, 80]);
        }
    }

    #[test]
    fn a_torn_frame_is_nothing() {
        let frame = Packet::syn([192, 0, 2, 1], [192, 0, 2, 2], 80, 7).frame([0; 6], [1; 6]);
        assert!((0..34).all(|length| read(&frame[..length]).is_none()));
    }
}
