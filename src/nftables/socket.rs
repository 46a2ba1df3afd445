//! The netlink socket: opened, asked, and listened to.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use dockfw_policy::engine::EngineError;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::{setsockopt_impl, sockopt_impl};

use super::message::{self, Head, Message, Messages, Reply};

sockopt_impl!(
    /// Errors come with the kernel's words.
    ExtendedAck, SetOnly, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, bool
);
sockopt_impl!(
    /// Errors don't quote the whole message that they are about.
    CappedAck, SetOnly, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, bool
);

/// The room for one datagram: twice what the kernel puts into one (NLMSG_GOODSIZE and 32 KiB at most, af_netlink.c).
const DATAGRAM: usize = 64 * 1024;
/// The room for answers that wait to be read: thousands of errors of one transaction.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// The room for a transaction that is asked for. With pages of 192 KiB and more it is less than `sendmsg` takes buffers at once
/// (`UIO_MAXIOV`, 1024, linux/uio.h), and more than any set of addresses takes that a host has memory for.
const SEND_BUFFER: usize = 128 * 1024 * 1024;
/// What the kernel wants to be left of it (`netlink_sendmsg`, af_netlink.c).
const SEND_OVERHEAD: usize = 32;

/// How long the kernel may take for one datagram. As a rule it has answered when it has taken the question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a netlink socket give up when the kernel does not answer: to read is then an error, in the words of [`read_error`].
pub(crate) fn limit(socket: &impl AsFd) -> nix::Result<()> {
    limit_to(socket, PATIENCE)
}

fn limit_to(socket: &impl AsFd, time: Duration) -> nix::Result<()> {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    setsockopt(socket, sockopt::ReceiveTimeout, &TimeVal::new(seconds, time.subsec_micros().into()))
}

/// What it means that reading from a socket with a [`limit`] failed.
pub(crate) fn read_error(errno: Errno) -> io::Error {
    match errno {
        Errno::EAGAIN => {
            let silence = format!("the kernel did not answer within {} s", PATIENCE.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, silence)
        }
        errno => errno.into(),
    }
}

/// A socket that talks to netfilter in the process's network namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
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

/// What came back of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The errors.
    pub(crate) errors: Vec<Reply>,
    /// Whether the kernel had more to say than there was room for.
    pub(crate) incomplete: bool,
}

/// An error of a system call.
pub(crate) fn io_error(doing: impl Into<String>, errno: Errno) -> EngineError {
    match errno {
        Errno::EPERM | Errno::EACCES => EngineError::NotPermitted,
        errno => EngineError::Io { doing: doing.into(), source: read_error(errno) },
    }
}

/// Kernels before 4.12 have no words for their errors, and those before 4.3 always quote what the error is about.
fn or_do_without(result: nix::Result<()>) -> nix::Result<()> {
    if result == Err(Errno::ENOPROTOOPT) { Ok(()) } else { result }
}

fn odd_answer(doing: &str) -> EngineError {
    EngineError::Protocol { doing: doing.into(), answer: "a datagram that is no sequence of messages".into() }
}

impl Socket {
    /// Opens the socket.
    pub(crate) fn open() -> Result<Self, EngineError> {
        let fd = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(|errno| match errno {
            Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP => {
                EngineError::Unsupported("the kernel has no netfilter netlink".into())
            }
            errno => io_error("open a netlink socket", errno),
        })?;
        let mut socket = Self { fd, sequence: 0, max_datagram: 0 };
        socket.prepare().map_err(|errno| io_error("prepare a netlink socket", errno))?;
        Ok(socket)
    }

    fn prepare(&mut self) -> nix::Result<()> {
        // Connected to the kernel: no other process can send to it.
        socket::bind(self.fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        socket::connect(self.fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        limit(&self.fd)?;
        or_do_without(setsockopt(&self.fd, ExtendedAck, &true))?;
        or_do_without(setsockopt(&self.fd, CappedAck, &true))?;
        setsockopt(&self.fd, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&self.fd, sockopt::RcvBuf, &RECEIVE_BUFFER))?;
        // In a user namespace the limit can't be forced, and what is asked for is cut to `net.core.wmem_max`.
        setsockopt(&self.fd, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&self.fd, sockopt::SndBuf, &SEND_BUFFER))?;
        let room = getsockopt(&self.fd, sockopt::SndBuf)?.min(SEND_BUFFER);
        self.max_datagram = room.saturating_sub(SEND_OVERHEAD);
        Ok(())
    }

    /// The next number of a message.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    /// Asks nf_tables for something of the family `inet` and hands over each object that is the answer.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Vec<u8>),
        take: impl FnMut(Message<'_>),
    ) -> Result<(), RequestError> {
        self.request_of(message::INET, message::NFTABLES | kind, flags, fill, take)
    }

    /// The same of any family, `NFPROTO_*`, and of any subsystem, which is part of the kind.
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

    /// The same, as long as `take` wants more. After that, the socket is of no use any more: the kernel goes on answering.
    pub(crate) fn request_while(
        &mut self,
        family: u8,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Vec<u8>),
        mut take: impl FnMut(Message<'_>) -> bool,
    ) -> Result<(), RequestError> {
        const DOING: &str = "read what is in the kernel";
        let sequence = self.next_sequence();
        let mut request = Vec::new();
        let head = Head { kind, flags, sequence, family, resource: 0 };
        message::write(&mut request, head, fill);
        socket::send(self.fd.as_raw_fd(), &request, MsgFlags::empty()).map_err(|e| io_error(DOING, e))?;
        let is_dump = flags & message::DUMP == message::DUMP;
        let (mut buffer, mut interrupted) = (vec![0; DATAGRAM], false);
        loop {
            let datagram = self.receive(&mut buffer, MsgFlags::empty()).map_err(|e| io_error(DOING, e))?;
            let mut messages = Messages(datagram);
            for message in messages.by_ref().filter(|message| message.sequence == sequence) {
                interrupted |= message.is_interrupted();
                match message.reply() {
                    Some(reply) if reply.errno != 0 => return Err(RequestError::Refused(reply)),
                    Some(_) if interrupted => return Err(RequestError::Interrupted),
                    Some(_) => return Ok(()),
                    None if take(message) => {}
                    None => return Ok(()),
                }
                if !is_dump {
                    return Ok(());
                }
            }
            if !messages.is_at_end() {
                return Err(odd_answer(DOING).into());
            }
        }
    }

    fn receive<'a>(&self, buffer: &'a mut [u8], flags: MsgFlags) -> nix::Result<&'a [u8]> {
        loop {
            // With MSG_TRUNC the length is the datagram's own, even where there was no room for all of it.
            match socket::recv(self.fd.as_raw_fd(), buffer, flags | MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                Ok(length) => return buffer.get(..length).ok_or(Errno::EMSGSIZE),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The most bytes of a transaction, which is one datagram.
    pub(crate) fn max_datagram(&self) -> usize {
        self.max_datagram
    }

    /// Sends a transaction and reads what the kernel says of it. The kernel is done with it when `sendmsg`
    /// returns, so that what there is to read is there.
    pub(crate) fn transact(&mut self, pages: &[Vec<u8>]) -> Result<Replies, EngineError> {
        let bytes = pages.iter().map(Vec::len).sum::<usize>();
        let slices: Vec<_> = pages.iter().map(|page| IoSlice::new(page)).collect();
        socket::sendmsg::<NetlinkAddr>(self.fd.as_raw_fd(), &slices, &[], MsgFlags::empty(), None).map_err(
            |errno| match errno {
                Errno::EMSGSIZE => too_large(bytes),
                // A sandbox around this process that lets no transaction through.
                Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT => {
                    EngineError::Unsupported("no nf_tables transaction may be sent here".into())
                }
                errno => io_error("send a transaction to the kernel", errno),
            },
        )?;
        self.drain()
    }

    fn drain(&self) -> Result<Replies, EngineError> {
        const DOING: &str = "read what the kernel says of a transaction";
        let (mut replies, mut buffer) = (Replies::default(), vec![0; DATAGRAM]);
        loop {
            match self.receive(&mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return Ok(replies),
                Err(Errno::ENOBUFS) => replies.incomplete = true,
                Err(errno) => return Err(io_error(DOING, errno)),
                Ok(datagram) => {
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

fn too_large(bytes: usize) -> EngineError {
    EngineError::Unsupported(format!(
        "the ruleset takes {bytes} bytes, more than this process may send to the kernel at once; \
         outside of containers root may send more, or raise net.core.wmem_max"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn a_kernel_that_does_not_answer_is_not_waited_for() {
        let mut socket = Socket::open().unwrap();
        limit_to(&socket.fd, Duration::from_millis(50)).unwrap();
        // What is no request is passed over (netlink_rcv_skb, af_netlink.c).
        let error = socket.request(0, 0, |_| {}, |_| {}).unwrap_err();
        let RequestError::Engine(error) = error else { panic!("{error:?}") };
        assert!(error.in_full().contains("the kernel did not answer"), "{}", error.in_full());
    }
}
