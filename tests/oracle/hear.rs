//! Hears what has got through: in the host behind its input hook, and at the other ends of its interfaces.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use dockfw_lab::Netns;
use dockfw_policy::service::Transport;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg,
    setsockopt, socket, sockopt,
};

use crate::fixture::{OracleFixture, Place};
use crate::frames::{Heard, Tag, tag_of};

/// Room for what a socket gets between two looks. Senders have some hundred packets on the way at most, of a kilobyte each with all
/// that the kernel keeps about them.
const BUFFER: usize = 8 << 20;
/// Longer than any packet of the oracle; of others' only the start is of interest.
const LONGEST: usize = 128;
/// How many packets of a socket are taken at a time.
const BATCH: usize = 64;

/// All sockets that hear.
pub(crate) struct Ears(Vec<Ear>);

struct Ear {
    socket: OwnedFd,
    heard: Heard,
    lost: u32,
}

impl Ears {
    /// Behind the host's input hook for both families and protocols, in the container, and outside.
    pub(crate) fn open(fixture: &OracleFixture) -> Result<Self> {
        let mut ears = Vec::new();
        for (transport, protocol) in
            [(Transport::Udp, SockProtocol::Udp), (Transport::Tcp, SockProtocol::Tcp)]
        {
            // Those of IPv6 give what comes after the header, those of IPv4 the header too (raw(7), RFC 3542).
            ears.push(raw(&fixture.host, AddressFamily::Inet, protocol, Heard::Whole)?);
            ears.push(raw(&fixture.host, AddressFamily::Inet6, protocol, Heard::Upper(transport))?);
        }
        for place in [fixture.container(), fixture.outside()] {
            // By protocol, so that they hear what comes in, and not what goes out.
            ears.push(packets(place, SockProtocol::EthIp)?);
            ears.push(packets(place, SockProtocol::EthIpv6)?);
        }
        Ok(Self(ears))
    }

    /// Waits for a moment at most, and gives what was heard.
    pub(crate) fn listen(&mut self, moment: PollTimeout) -> Result<Vec<Tag>> {
        let mut ready: Vec<_> =
            self.0.iter().map(|ear| PollFd::new(ear.socket.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut ready, moment) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for packets"),
        }
        let ready: Vec<_> = ready.iter().map(|ear| ear.any() == Some(true)).collect();
        let mut tags = Vec::new();
        for (ear, _) in self.0.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            ear.take(&mut tags)?;
        }
        Ok(tags)
    }

    /// How many packets the sockets had no room for.
    pub(crate) fn lost(&self) -> u64 {
        self.0.iter().map(|ear| u64::from(ear.lost)).sum()
    }
}

impl Ear {
    fn take(&mut self, tags: &mut Vec<Tag>) -> Result<()> {
        let (mut buffer, mut control) = ([0; LONGEST], nix::cmsg_space!(u32));
        for _ in 0..BATCH {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let fd = self.socket.as_raw_fd();
            let message = match recvmsg::<()>(fd, &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => bail!("cannot hear: {error}"),
            };
            let (length, lost) = (message.bytes, message.cmsgs()?.find_map(overflow));
            self.lost = lost.unwrap_or(self.lost);
            tags.extend(tag_of(&buffer[..length], self.heard));
        }
        Ok(())
    }
}

fn overflow(message: ControlMessageOwned) -> Option<u32> {
    if let ControlMessageOwned::RxqOvfl(lost) = message { Some(lost) } else { None }
}

fn raw(netns: &Netns, family: AddressFamily, protocol: SockProtocol, heard: Heard) -> Result<Ear> {
    let socket = netns.run(|| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol));
    Ear { socket: socket.context("cannot open a raw socket")?, heard, lost: 0 }.ready()
}

fn packets(place: &Place, protocol: SockProtocol) -> Result<Ear> {
    let socket = place.netns.run(|| {
        let socket = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
        let interfaces = getifaddrs()?.filter(|entry| entry.interface_name == place.interface);
        let address = interfaces.filter_map(|entry| entry.address?.as_link_addr().copied()).next();
        bind(socket.as_raw_fd(), &address.context("no such interface")?)?;
        anyhow::Ok(socket)
    });
    let socket = socket.with_context(|| format!("cannot listen at {}", place.interface))?;
    Ear { socket, heard: Heard::Whole, lost: 0 }.ready()
}

impl Ear {
    fn ready(self) -> Result<Self> {
        setsockopt(&self.socket, sockopt::RcvBufForce, &BUFFER).context("no room for a socket")?;
        setsockopt(&self.socket, sockopt::RxqOvfl, &1)?;
        Ok(self)
    }
}
