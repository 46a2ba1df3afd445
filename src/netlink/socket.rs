//! A netlink socket of any bus: opened, asked, and read.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mnl::Bus;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, MsgFlags, NetlinkAddr, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::message::{self, DUMP, Head, Message, Messages, Reply};
use crate::ffi;

/// How long the kernel may take for one datagram. As a rule it has answered as soon as it has received the question.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a list is asked for again if it changed while it was read.
const ATTEMPTS: usize = 10;

/// The buffer for one datagram: twice what the kernel puts into one (NLMSG_GOODSIZE and 32 KiB at most, af_netlink.c).
/// Aligned like `struct nlmsghdr`, as `mnl` requires.
#[repr(align(4))]
pub(super) struct Datagram([u8; 64 * 1024]);

impl Datagram {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self([0; _]))
    }
}

/// A socket for a bus of the kernel's in the process's network namespace.
pub(super) struct Socket {
    socket: mnl::Socket,
    sequence: u32,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The kernel answered with this error.
    Refused(Reply),
    /// What was asked for changed while it was being read.
    Interrupted,
    /// What was received is no sequence of messages, or one of them is not what was asked for.
    Garbled,
    /// The socket failed.
    Io(io::Error),
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<NoAnswer> for io::Error {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Refused(reply) => Self::from_raw_os_error(reply.errno),
            NoAnswer::Interrupted => Self::other("what was read kept changing"),
            NoAnswer::Garbled => Self::new(io::ErrorKind::InvalidData, "the kernel's answer can't be read"),
            NoAnswer::Io(error) => error,
        }
    }
}

impl Socket {
    /// Opens a socket of this bus.
    pub(super) fn open(bus: Bus) -> io::Result<Self> {
        #[allow(clippy::disallowed_methods, reason = "this is where sockets are opened")]
        let socket = mnl::Socket::open(bus)?;
        // `mnl` does not do this. Programs that are run must not have the socket.
        fcntl(ffi::descriptor(&socket), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        socket.bind(0, 0)?;
        // Connected to the kernel: no other process can send to it.
        socket::connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let opened = Self { socket, sequence: 0 };
        opened.limit(PATIENCE)?;
        Ok(opened)
    }

    /// Lets reads fail after this time.
    fn limit(&self, time: Duration) -> nix::Result<()> {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let time = TimeVal::new(seconds, time.subsec_micros().into());
        setsockopt(&self.descriptor(), sockopt::ReceiveTimeout, &time)
    }

    /// Returns the socket's descriptor, for its options.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        ffi::descriptor(&self.socket)
    }

    /// Returns the next number of a message.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    /// Asks for something, and passes on each message of the answer as long as `take` wants more. `fill` writes everything
    /// after the message's head. After that, the socket can't be used any more: the kernel goes on answering.
    pub(super) fn request(
        &mut self,
        (kind, flags): (u16, u16),
        fill: impl FnOnce(&mut Vec<u8>),
        mut take: impl FnMut(Message<'_>) -> bool,
    ) -> Result<(), NoAnswer> {
        let sequence = self.next_sequence();
        let mut request = Vec::new();
        message::write(&mut request, Head { kind, flags, sequence }, fill);
        self.socket.send(&request)?;
        let is_dump = flags & DUMP == DUMP;
        let (mut buffer, mut interrupted) = (Datagram::new(), false);
        loop {
            let mut messages = Messages(self.read(&mut buffer)?);
            for message in messages.by_ref().filter(|message| message.sequence == sequence) {
                interrupted |= message.is_interrupted();
                match message.reply() {
                    Some(reply) if reply.errno != 0 => return Err(NoAnswer::Refused(reply)),
                    Some(_) if interrupted => return Err(NoAnswer::Interrupted),
                    Some(_) => return Ok(()),
                    None if take(message) => {}
                    None => return Ok(()),
                }
                if !is_dump {
                    return Ok(());
                }
            }
            if !messages.is_at_end() {
                return Err(NoAnswer::Garbled);
            }
        }
    }

    /// Sends pages as one datagram.
    pub(super) fn send(&self, pages: &[Vec<u8>]) -> nix::Result<()> {
        let slices: Vec<_> = pages.iter().map(|page| IoSlice::new(page)).collect();
        let number = self.socket.as_raw_fd();
        socket::sendmsg::<NetlinkAddr>(number, &slices, &[], MsgFlags::empty(), None).map(drop)
    }

    /// Reads a datagram; waits for it as long as the kernel may take.
    fn read<'a>(&self, buffer: &'a mut Datagram) -> io::Result<&'a [u8]> {
        loop {
            match self.socket.recv_raw(&mut buffer.0) {
                Ok(length) => return Ok(buffer.0.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
    }

    /// Reads a datagram that is there already, if there is one.
    pub(super) fn read_waiting<'a>(&self, buffer: &'a mut Datagram) -> io::Result<Option<&'a [u8]>> {
        if self.has_waiting()? { self.read(buffer).map(Some) } else { Ok(None) }
    }

    /// Returns whether there is something to read: a datagram, or an error.
    fn has_waiting(&self) -> nix::Result<bool> {
        loop {
            match poll(&mut [PollFd::new(self.descriptor(), PollFlags::POLLIN)], PollTimeout::ZERO) {
                Err(Errno::EINTR) => {}
                ready => return Ok(ready? > 0),
            }
        }
    }
}

/// Returns what a failed read means.
fn read_error(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            let silence = format!("the kernel did not answer within {} s", PATIENCE.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, silence)
        }
        // libmnl reports this for a datagram that is longer than the buffer for it (`mnl_socket_recvfrom`, socket.c).
        Some(libc::ENOSPC) => Errno::EMSGSIZE.into(),
        _ => error,
    }
}

/// Reads all that a bus has of a kind, completely or not at all: asks again if it changed meanwhile. `fill` writes what
/// follows the question's head. `read` decodes an answer; if it can't decode one, the whole is an error.
pub(super) fn dump<T>(
    bus: Bus,
    kind: u16,
    fill: impl Fn(&mut Vec<u8>),
    read: impl Fn(Message<'_>) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut socket = Socket::open(bus)?;
    for _ in 0..ATTEMPTS {
        match list(&mut socket, kind, &fill, &read) {
            Err(NoAnswer::Interrupted) => {}
            result => return Ok(result?),
        }
    }
    Err(NoAnswer::Interrupted.into())
}

fn list<T>(
    socket: &mut Socket,
    kind: u16,
    fill: impl Fn(&mut Vec<u8>),
    read: impl Fn(Message<'_>) -> Option<T>,
) -> Result<Vec<T>, NoAnswer> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    socket.request((kind, DUMP), fill, |message| {
        let answer = read(message);
        is_whole = answer.is_some();
        found.extend(answer);
        is_whole
    })?;
    if is_whole { Ok(found) } else { Err(NoAnswer::Garbled) }
}

/// Returns the answer of a bus to a question that has one answer.
pub(super) fn ask<T>(
    bus: Bus,
    kind: u16,
    fill: impl Fn(&mut Vec<u8>),
    read: impl Fn(Message<'_>) -> Option<T>,
) -> io::Result<T> {
    let mut answer = None;
    Socket::open(bus)?.request((kind, message::REQUEST), fill, |message| {
        answer = read(message);
        false
    })?;
    Ok(answer.ok_or(NoAnswer::Garbled)?)
}

#[cfg(test)]
mod tests {

    use dockfw_system::programs::{Limits, find, run};

    use super::*;

    #[test]
    fn a_kernel_that_does_not_answer_is_not_waited_for() {
        let mut socket = Socket::open(Bus::Route).unwrap();
        socket.limit(Duration::from_millis(50)).unwrap();
        // The kernel skips what is no request (netlink_rcv_skb, af_netlink.c).
        let why = socket.request((0, 0), |_| {}, |_| true).unwrap_err();
        let error = io::Error::from(why);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("the kernel did not answer"), "{error}");
    }

    #[test]
    fn no_program_has_a_socket() {
        let sockets = [Bus::Netfilter, Bus::Route, Bus::SockDiag].map(|bus| Socket::open(bus).unwrap());
        let own = sockets.each_ref().map(|socket| {
            std::fs::read_link(format!("/proc/self/fd/{}", socket.socket.as_raw_fd())).unwrap()
        });
        let list = run(&find("ls").unwrap(), &["-l", "/proc/self/fd"], "", Limits::QUESTION).unwrap();
        assert!(list.stdout.contains("/proc/"), "{}", list.stdout);
        for socket in own {
            assert!(!list.stdout.contains(socket.to_str().unwrap()), "{}", list.stdout);
        }
    }

    #[test]
    fn what_waits_is_read_and_nothing_is_waited_for() {
        let socket = Socket::open(Bus::Route).unwrap();
        let mut buffer = Datagram::new();
        assert_eq!(socket.read_waiting(&mut buffer).unwrap(), None);
        let mut question = Vec::new();
        // A question of a kind that does not exist: refused at once.
        message::write(&mut question, Head { kind: 0xfff0, flags: message::REQUEST, sequence: 7 }, |body| {
            body.extend_from_slice(&[0; 16]);
        });
        socket.send(&[question]).unwrap();
        let answer = socket.read_waiting(&mut buffer).unwrap().unwrap();
        assert_eq!(Messages(answer).next().unwrap().reply().unwrap().sequence, 7);
        assert_eq!(socket.read_waiting(&mut buffer).unwrap(), None);
    }
}
