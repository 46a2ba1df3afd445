//! The questions to sock_diag(7): the sockets of this network namespace.

use std::io;
use std::net::{IpAddr, SocketAddr};

use dockfw_policy::address::Family;
use mnl::Bus;
use nix::libc;

use super::attributes::Attributes;
use super::message::Message;
use super::socket::dump;

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// The size of `struct inet_diag_sockid` (linux/inet_diag.h): ends, interface and cookie of a socket. All zeros mean no
/// socket.
const SOCKET_ID: usize = 48;
/// `INET_DIAG_SKV6ONLY` (linux/inet_diag.h).
const V6_ONLY: u16 = 11;

/// The state of a socket: the kernel's number (include/net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Connected: `TCP_ESTABLISHED`.
    Established = 1,
    /// Not connected: `TCP_CLOSE`. Such sockets of UDP accept packets from everywhere.
    Close = 7,
    /// Waiting for connections: `TCP_LISTEN`.
    Listen = 10,
}

/// A socket, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Its own end.
    pub(crate) local: SocketAddr,
    /// The other end; without one, an unspecified address and port 0.
    pub(crate) remote: SocketAddr,
    /// The index of the interface that it is bound to.
    pub(crate) interface: Option<u32>,
    /// Its inode; 0 if the kernel itself holds it.
    pub(crate) inode: u64,
    /// Whether it is one of IPv6 that accepts no IPv4. Kernels before 4.7 do not report that.
    pub(crate) is_v6_only: bool,
}

/// Returns the sockets of this protocol (`IPPROTO_*`), family and state.
pub(crate) fn sockets(protocol: u8, family: Family, state: State) -> io::Result<Vec<Socket>> {
    dump(Bus::SockDiag, BY_FAMILY, |body| write(body, protocol, family, state), |answer| read(&answer))
}

/// Writes `struct inet_diag_req_v2` (linux/inet_diag.h): family, protocol, extensions, padding, states, which socket.
fn write(body: &mut Vec<u8>, protocol: u8, family: Family, state: State) {
    let family = match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    let states = 1_u32 << state as u8;
    body.extend_from_slice(&[family as u8, protocol, 0, 0]);
    body.extend_from_slice(&states.to_ne_bytes());
    body.extend_from_slice(&[0; SOCKET_ID]);
}

/// Reads `struct inet_diag_msg` (linux/inet_diag.h), and attributes. Nothing: it is something else, or incomplete.
fn read(message: &Message<'_>) -> Option<Socket> {
    let (family, rest) = message.body.split_first().filter(|_| message.kind == BY_FAMILY)?;
    let (_state_timer_retransmits, rest) = rest.split_first_chunk::<3>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, rest) = rest.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk()?;
    let (destination, rest) = rest.split_first_chunk()?;
    let (interface, rest) = rest.split_first_chunk()?;
    let (_cookie_expires_queues_owner, rest) = rest.split_first_chunk::<24>()?;
    let (inode, attributes) = rest.split_first_chunk()?;
    let end = |bytes, port| Some(SocketAddr::new(address(*family, bytes)?, u16::from_be_bytes(port)));
    Some(Socket {
        local: end(source, *source_port)?,
        remote: end(destination, *destination_port)?,
        interface: Some(u32::from_ne_bytes(*interface)).filter(|index| *index != 0),
        inode: u32::from_ne_bytes(*inode).into(),
        is_v6_only: is_v6_only(Attributes(attributes))?,
    })
}

fn address(family: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family.into() {
        libc::AF_INET => bytes.first_chunk::<4>().map(|first| IpAddr::from(*first)),
        libc::AF_INET6 => Some(IpAddr::from(*bytes)),
        _ => None,
    }
}

/// Returns nothing if the rest is not attributes.
fn is_v6_only(mut attributes: Attributes<'_>) -> Option<bool> {
    let is_it = attributes.by_ref().filter(|attribute| attribute.kind == V6_ONLY).last();
    attributes.is_at_end().then(|| is_it.is_some_and(|it| it.value.iter().any(|byte| *byte != 0)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::super::attributes::put;
    use super::super::message::{Head, Messages};
    use super::*;

    /// Returns a message with an answer, as the kernel sends it.
    fn answer(family: i32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = Head { kind: BY_FAMILY, flags: 2, sequence: 1 };
        super::super::message::write(&mut bytes, head, |body| {
            body.extend_from_slice(&[family as u8, 10, 0, 0]);
            body.extend_from_slice(&[0x1f, 0x90, 0xc3, 0x50]);
            body.extend_from_slice(&[[192, 0, 2, 1].as_slice(), &[0; 12]].concat());
            body.extend_from_slice(&[[198, 51, 100, 7].as_slice(), &[0; 12]].concat());
            body.extend_from_slice(&3_u32.to_ne_bytes());
            body.extend_from_slice(&[9; 24]);
            body.extend_from_slice(&12_345_u32.to_ne_bytes());
            attributes.iter().for_each(|(kind, value)| put(body, *kind, value));
        });
        bytes
    }

    fn first(bytes: &[u8]) -> Option<Socket> {
        read(&Messages(bytes).next()?)
    }

    #[test]
    fn an_answer_is_read_as_the_kernel_writes_it() {
        let expected = Socket {
            local: ([192, 0, 2, 1], 8080).into(),
            remote: ([198, 51, 100, 7], 50_000).into(),
            interface: Some(3),
            inode: 12_345,
            is_v6_only: false,
        };
        assert_eq!(first(&answer(libc::AF_INET, &[])), Some(expected));
        // With INET_DIAG_SHUTDOWN in front.
        let v6 = first(&answer(libc::AF_INET6, &[(8, &[0]), (V6_ONLY, &[1])])).unwrap();
        assert_eq!(v6.local, (Ipv6Addr::new(0xc000, 0x201, 0, 0, 0, 0, 0, 0), 8080).into());
        assert!(v6.is_v6_only);
        assert!(!first(&answer(libc::AF_INET6, &[(V6_ONLY, &[0])])).unwrap().is_v6_only);
        assert_eq!(first(&answer(libc::AF_UNIX, &[])), None);
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let whole = answer(libc::AF_INET6, &[(V6_ONLY, &[1])]);
        assert!(first(&whole).is_some());
        let head = 16;
        let without_attributes = head + 72;
        // Padding may be missing, as that of the last attribute.
        for length in (head..whole.len() - 3).filter(|length| *length != without_attributes) {
            let mut cut = whole[..length].to_vec();
            cut[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            assert_eq!(first(&cut), None, "{length} bytes");
        }
    }

    /// TCP behaves like this if the kernel has no tcp_diag. 253 is for experiments (RFC 3692).
    #[test]
    fn what_the_kernel_can_not_list_is_an_error() {
        let error = sockets(253, Family::Ipv4, State::Listen).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_sockets_of_the_state_that_was_asked_for_are_listed() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let is_there = |state| {
            let found = sockets(libc::IPPROTO_TCP as u8, Family::Ipv4, state).unwrap();
            found.iter().any(|socket| socket.local == local)
        };
        assert!(is_there(State::Listen) && !is_there(State::Established));
    }

    /// What is read of a message with this body.
    fn read_body(body: &[u8]) -> Option<Socket> {
        let mut bytes = Vec::new();
        let head = Head { kind: BY_FAMILY, flags: 2, sequence: 1 };
        super::super::message::write(&mut bytes, head, |buffer| buffer.extend_from_slice(body));
        first(&bytes)
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_body(&body);
        }

        #[test]
        fn no_mangled_answer_makes_it_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = answer(libc::AF_INET6, &[(8, &[0]), (V6_ONLY, &[1])]);
            let mut body = whole[16..].to_vec();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.truncate(cut.index(body.len()));
            let read = read_body(&body);
            prop_assert!(read.is_none() || body.len() >= 72, "{read:?} of {} bytes", body.len());
        }
    }
}
