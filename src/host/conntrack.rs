//! What connection tracking knows of a connection, over netlink. The numbers are those of
//! linux/netfilter/nfnetlink_conntrack.h.

use std::net::{IpAddr, SocketAddr};

use dockfw_policy::engine::EngineError;
use dockfw_policy::service::Transport;
use nix::errno::Errno;
use nix::libc;

use crate::netlink::attributes::{Attributes, NESTED, put};
use crate::netlink::message::{DUMP, REQUEST};
use crate::netlink::netfilter::{RequestError, Socket, io_error};

/// `IPCTNL_MSG_CT_GET`, of its subsystem.
const GET: u16 = ((libc::NFNL_SUBSYS_CTNETLINK as u16) << 8) | 1;
/// `CTA_TUPLE_ORIG`: what the first packet had.
const ORIGINAL: u16 = 1;
/// `CTA_TUPLE_REPLY`: what answers have.
const REPLY: u16 = 2;
/// `CTA_TUPLE_IP`.
const ADDRESSES: u16 = 1;
/// `CTA_IP_V4_SRC`, `CTA_IP_V6_SRC`.
const SOURCE: [u16; 2] = [1, 3];
/// `CTA_IP_V4_DST`, `CTA_IP_V6_DST`.
const DESTINATION: [u16; 2] = [2, 4];
/// `CTA_TUPLE_PROTO`.
const PORTS: u16 = 2;
/// `CTA_PROTO_NUM`.
const PROTOCOL: u16 = 1;
/// `CTA_PROTO_SRC_PORT`.
const SOURCE_PORT: u16 = 2;
/// `CTA_PROTO_DST_PORT`.
const DESTINATION_PORT: u16 = 3;

/// The source and the destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The source.
    pub(crate) source: SocketAddr,
    /// The destination.
    pub(crate) destination: SocketAddr,
}

/// Returns the ends of a client's packets before any translation, given those of this host's answers. Nothing if
/// connection tracking knows of no such connection, or has seen it only since an answer, which it then took for the
/// first packet.
pub(crate) fn dialled(answers: Ends) -> Result<Option<Ends>, EngineError> {
    let family = if answers.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut found = None;
    let asked = Socket::open()?.request_of(
        family as u8,
        GET,
        REQUEST,
        |request| put(request, REPLY | NESTED, &written(answers)),
        |message| found = original(message.attributes(), answers),
    );
    unless_absent(asked)?;
    Ok(found)
}

/// Returns no error if there is no such connection, or no nf_conntrack_netlink.
fn unless_absent(asked: Result<(), RequestError>) -> Result<(), EngineError> {
    match asked {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(reply)) => match Errno::from_raw(reply.errno) {
            Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP => Ok(()),
            errno => Err(io_error("can't ask connection tracking", errno.into())),
        },
        Err(RequestError::Interrupted) => Err(EngineError::Raced),
        Err(RequestError::Engine(error)) => Err(error),
    }
}

/// A connection, as its first packet was and as its answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Its protocol, if it has ports.
    pub(crate) transport: Transport,
    /// What its first packet had.
    pub(crate) original: Ends,
    /// What answers have.
    pub(crate) reply: Ends,
}

/// Passes on each connection of TCP and UDP that connection tracking knows; there may be hundreds of thousands. If it
/// can't be asked, there are none.
pub(crate) fn each(mut take: impl FnMut(Flow)) -> Result<(), EngineError> {
    let asked = Socket::open()?.request_of(
        // Of both families at once: the kernel goes through its whole table for each question.
        libc::AF_UNSPEC as u8,
        GET,
        DUMP,
        |_| {},
        |message| flow(message.attributes()).into_iter().for_each(&mut take),
    );
    match asked {
        // Connections that came and went meanwhile make no difference here.
        Err(RequestError::Interrupted) => Ok(()),
        asked => unless_absent(asked),
    }
}

fn flow(connection: Attributes<'_>) -> Option<Flow> {
    let original = Attributes(connection.value(ORIGINAL));
    let [protocol] = Attributes(original.value(PORTS)).value(PROTOCOL) else { return None };
    let transport = Transport::ALL.into_iter().find(|transport| transport.number() == *protocol)?;
    Some(Flow { transport, original: read(original)?, reply: read(Attributes(connection.value(REPLY)))? })
}

/// The kernel searches by ends of either direction.
fn original(connection: Attributes<'_>, answers: Ends) -> Option<Ends> {
    let direction = |kind: u16| read(Attributes(connection.value(kind)));
    direction(REPLY).filter(|reply| *reply == answers).and_then(|_| direction(ORIGINAL))
}

fn written(ends: Ends) -> Vec<u8> {
    let (mut addresses, mut ports, mut tuple) = (vec![], vec![], vec![]);
    for (end, [v4, v6]) in [(ends.source, SOURCE), (ends.destination, DESTINATION)] {
        match end.ip() {
            IpAddr::V4(address) => put(&mut addresses, v4, &address.octets()),
            IpAddr::V6(address) => put(&mut addresses, v6, &address.octets()),
        }
    }
    put(&mut ports, PROTOCOL, &[libc::IPPROTO_TCP as u8]);
    put(&mut ports, SOURCE_PORT, &ends.source.port().to_be_bytes());
    put(&mut ports, DESTINATION_PORT, &ends.destination.port().to_be_bytes());
    put(&mut tuple, ADDRESSES | NESTED, &addresses);
    put(&mut tuple, PORTS | NESTED, &ports);
    tuple
}

fn read(tuple: Attributes<'_>) -> Option<Ends> {
    let (addresses, ports) = (Attributes(tuple.value(ADDRESSES)), Attributes(tuple.value(PORTS)));
    let end = |[v4, v6]: [u16; 2], port: u16| {
        let address = addresses.find(v4).or_else(|| addresses.find(v6))?.address()?;
        Some(SocketAddr::new(address, u16::from_be_bytes(ports.value(port).try_into().ok()?)))
    };
    Some(Ends { source: end(SOURCE, SOURCE_PORT)?, destination: end(DESTINATION, DESTINATION_PORT)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for ends in
            [ends("192.0.2.1:22", "198.51.100.7:50000"), ends("[2001:db8::1]:22", "[2001:db8::7]:50000")]
        {
            assert_eq!(read(Attributes(&written(ends))), Some(ends));
        }
    }

    #[test]
    fn only_what_a_client_began_has_been_dialled() {
        let (request, answers) =
            (ends("198.51.100.7:50000", "192.0.2.1:2222"), ends("192.0.2.1:22", "198.51.100.7:50000"));
        let connection = |original: Ends, reply: Ends| {
            let mut attributes = Vec::new();
            put(&mut attributes, ORIGINAL | NESTED, &written(original));
            put(&mut attributes, REPLY | NESTED, &written(reply));
            attributes
        };
        assert_eq!(original(Attributes(&connection(request, answers)), answers), Some(request));
        assert_eq!(original(Attributes(&connection(answers, request)), answers), None);
    }

    #[test]
    fn a_flow_is_one_of_a_protocol_with_ports() {
        let (request, answers) =
            (ends("172.17.0.2:50000", "172.17.0.1:22"), ends("172.17.0.1:22", "172.17.0.2:50000"));
        let mut attributes = Vec::new();
        put(&mut attributes, ORIGINAL | NESTED, &written(request));
        put(&mut attributes, REPLY | NESTED, &written(answers));
        let expected = Flow { transport: Transport::Tcp, original: request, reply: answers };
        assert_eq!(flow(Attributes(&attributes)), Some(expected));
        for length in 0..attributes.len() - 1 {
            assert_eq!(flow(Attributes(&attributes[..length])), None, "{length} bytes");
        }
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let whole = written(ends("192.0.2.1:22", "198.51.100.7:50000"));
        for length in 0..whole.len() {
            assert_eq!(read(Attributes(&whole[..length])), None, "{length} bytes");
        }
    }
}
