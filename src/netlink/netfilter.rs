//! The questions to netfilter: nf_tables and connection tracking.

use std::io;

use dockfw_policy::engine::EngineError;
use mnl::Bus;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{setsockopt_impl, sockopt_impl};

use super::attributes::Attributes;
use super::message::{self, Message, Messages, Reply};
use super::socket::{self, Datagram, NoAnswer};

sockopt_impl!(
    /// Errors come with the kernel's message.
    ExtendedAck, SetOnly, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, bool
);
sockopt_impl!(
    /// Errors do not quote the whole message that they are about.
    CappedAck, SetOnly, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, bool
);

/// The size of the head that follows a message's own: `struct nfgenmsg` (linux/netfilter/nfnetlink.h).
const FAMILY_HEAD: usize = 4;
/// The types of messages about nf_tables start here.
pub(crate) const NFTABLES: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
/// The address family of everything that dockfw creates.
pub(crate) const INET: u8 = libc::NFPROTO_INET as u8;

/// The buffer for answers that wait to be read: thousands of errors of one transaction.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// The buffer for a transaction that is asked for. With pages of 192 KiB and more it takes fewer buffers than `sendmsg`
/// accepts at once (`UIO_MAXIOV`, 1024, linux/uio.h). It is more than any set of addresses needs that a host has memory
/// for.
const SEND_BUFFER: usize = 128 * 1024 * 1024;
/// How much of the buffer the kernel wants to be left (`netlink_sendmsg`, af_netlink.c).
const SEND_OVERHEAD: usize = 32;

/// The head of a message of netfilter's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// What it asks for, and its number.
    pub(crate) message: message::Head,
    /// `NFPROTO_*`.
    pub(crate) family: u8,
    /// The subsystem, if a batch begins or ends; otherwise 0.
    pub(crate) resource: u16,
}

/// Appends a message whose attributes `fill` writes.
pub(crate) fn write(buffer: &mut Vec<u8>, head: Head, fill: impl FnOnce(&mut Vec<u8>)) {
    message::write(buffer, head.message, |buffer| {
        write_family_head(buffer, head.family, head.resource);
        fill(buffer);
    });
}

fn write_family_head(buffer: &mut Vec<u8>, family: u8, resource: u16) {
    buffer.extend_from_slice(&[family, 0]);
    buffer.extend_from_slice(&resource.to_be_bytes());
}

impl<'a> Message<'a> {
    /// Returns the attributes of an object, if it is of the family `inet`.
    pub(crate) fn inet_attributes(&self) -> Option<Attributes<'a>> {
        let (head, attributes) = self.body.split_at_checked(FAMILY_HEAD)?;
        (*head.first()? == INET).then_some(Attributes(attributes))
    }

    /// Returns the family: `NFPROTO_*`.
    pub(crate) fn family(&self) -> Option<u8> {
        self.body.first().copied()
    }

    /// Returns the attributes, whatever the family.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(FAMILY_HEAD..).unwrap_or_default())
    }
}

/// A socket that talks to netfilter in the process's network namespace.
pub(crate) struct Socket {
    socket: socket::Socket,
    max_datagram: usize,
}

/// Why the kernel did not answer a request.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// It answered with this error.
    Refused(Reply),
    /// What was asked for changed while it was being read.
    Interrupted,
    /// Anything else.
    Engine(EngineError),
}

impl From<EngineError> for RequestError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<NoAnswer> for RequestError {
    fn from(why: NoAnswer) -> Self {
        const DOING: &str = "read what is in the kernel";
        match why {
            NoAnswer::Refused(reply) => Self::Refused(reply),
            NoAnswer::Interrupted => Self::Interrupted,
            NoAnswer::Garbled => Self::Engine(odd_answer(DOING)),
            NoAnswer::Io(error) => Self::Engine(io_error(DOING, error)),
        }
    }
}

/// The replies to a transaction.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The errors.
    pub(crate) errors: Vec<Reply>,
    /// Whether the kernel had more to report than there was room for.
    pub(crate) incomplete: bool,
}

/// Returns an error of a system call, or one that the kernel answered with.
pub(crate) fn io_error(doing: impl Into<String>, source: io::Error) -> EngineError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => EngineError::NotPermitted,
        _ => EngineError::Io { doing: doing.into(), source },
    }
}

/// Accepts failure: kernels before 4.12 have no messages for their errors, and those before 4.3 always quote what the
/// error is about.
fn or_do_without(result: nix::Result<()>) -> nix::Result<()> {
    if result == Err(Errno::ENOPROTOOPT) { Ok(()) } else { result }
}

fn odd_answer(doing: &str) -> EngineError {
    EngineError::Protocol {
        doing: doing.into(),
        answer: "a datagram that is not a sequence of messages".into(),
    }
}

impl Socket {
    /// Opens the socket.
    pub(crate) fn open() -> Result<Self, EngineError> {
        let socket = socket::Socket::open(Bus::Netfilter).map_err(|error| match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
                EngineError::Unsupported("the kernel has no netfilter netlink".into())
            }
            _ => io_error("can't open a netlink socket", error),
        })?;
        let max_datagram =
            prepare(&socket).map_err(|errno| io_error("can't prepare a netlink socket", errno.into()))?;
        Ok(Self { socket, max_datagram })
    }

    /// Returns the next number of a message.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.socket.next_sequence()
    }

    /// Asks nf_tables for something of the family `inet` and passes on each object of the answer.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Vec<u8>),
        take: impl FnMut(Message<'_>),
    ) -> Result<(), RequestError> {
        self.request_of(INET, NFTABLES | kind, flags, fill, take)
    }

    /// Does the same for any family, `NFPROTO_*`, and any subsystem, which is part of the kind.
    pub(crate) fn request_of(
        &mut self,
        family: u8,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Vec<u8>),
        mut take: impl FnMut(Message<'_>),
    ) -> Result<(), RequestError> {
        self.request_while(family, kind, flags, fill, |message| {
            take(message);
            true
        })
    }

    /// Does the same, as long as `take` wants more. After that, the socket can't be used any more: the kernel goes on
    /// answering.
    pub(crate) fn request_while(
        &mut self,
        family: u8,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Vec<u8>),
        take: impl FnMut(Message<'_>) -> bool,
    ) -> Result<(), RequestError> {
        let fill = |buffer: &mut Vec<u8>| {
            write_family_head(buffer, family, 0);
            fill(buffer);
        };
        Ok(self.socket.request((kind, flags), fill, take)?)
    }

    /// Returns the most bytes of a transaction, which is one datagram.
    pub(crate) fn max_datagram(&self) -> usize {
        self.max_datagram
    }

    /// Sends a transaction and reads the kernel's replies. The kernel has finished it when `sendmsg` returns, so all there
    /// is to read is there.
    pub(crate) fn transact(&mut self, pages: &[Vec<u8>]) -> Result<Replies, EngineError> {
        self.socket.send(pages).map_err(|errno| match errno {
            Errno::EMSGSIZE => too_large(pages.iter().map(Vec::len).sum()),
            // A sandbox around this process blocks transactions.
            Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT => {
                EngineError::Unsupported("no nf_tables transaction may be sent here".into())
            }
            errno => io_error("can't send a transaction to the kernel", errno.into()),
        })?;
        self.drain()
    }

    fn drain(&self) -> Result<Replies, EngineError> {
        const DOING: &str = "read what the kernel says of a transaction";
        let (mut replies, mut buffer) = (Replies::default(), Datagram::new());
        loop {
            match self.socket.read_waiting(&mut buffer) {
                Ok(None) => return Ok(replies),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => replies.incomplete = true,
                Err(error) => return Err(io_error(DOING, error)),
                Ok(Some(datagram)) => {
                    let mut messages = Messages(datagram);
                    let errors = messages.by_ref().filter_map(|message| message.reply());
                    replies.errors.extend(errors.filter(|reply| reply.errno != 0));
                    if !messages.is_at_end() {
                        return Err(odd_answer(DOING));
                    }
                }
            }
        }
    }
}

/// Makes room for transactions and for the replies. Returns how long a transaction may be.
fn prepare(socket: &socket::Socket) -> nix::Result<usize> {
    let descriptor = socket.descriptor();
    or_do_without(setsockopt(&descriptor, ExtendedAck, &true))?;
    or_do_without(setsockopt(&descriptor, CappedAck, &true))?;
    setsockopt(&descriptor, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(&descriptor, sockopt::RcvBuf, &RECEIVE_BUFFER))?;
    // In a user namespace the limit can't be forced, and the requested size is cut to `net.core.wmem_max`.
    setsockopt(&descriptor, sockopt::SndBufForce, &SEND_BUFFER)
        .or_else(|_| setsockopt(&descriptor, sockopt::SndBuf, &SEND_BUFFER))?;
    let room = getsockopt(&descriptor, sockopt::SndBuf)?.min(SEND_BUFFER);
    Ok(room.saturating_sub(SEND_OVERHEAD))
}

fn too_large(bytes: usize) -> EngineError {
    EngineError::Unsupported(format!(
        "the ruleset takes {bytes} bytes, more than this process may send to the kernel at once; \
         outside of containers root may send more, or raise net.core.wmem_max"
    ))
}
