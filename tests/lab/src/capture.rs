//! What goes over an interface, as it is on the wire.

use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Netns;
use crate::sender::link_address;

/// Room for what passes between two looks; the kernel drops what does not fit.
const BUFFER: usize = 8 << 20;
/// Longer than any frame of the lab's links.
const LONGEST: usize = 65_536;

/// A packet socket that hears all frames of an interface, in and out.
#[derive(Debug)]
pub struct Capture {
    socket: Socket,
}

impl Capture {
    /// Listens from now on.
    pub fn start(netns: &Netns, interface: &str) -> Result<Self> {
        let socket = netns.run(|| listen(interface)).with_context(|| format!("in {}", netns.name()))?;
        Ok(Self { socket })
    }

    /// What was heard since the last call, Ethernet headers first.
    pub fn take(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            match (&self.socket).read(&mut buffer) {
                Ok(length) => frames.push(buffer.get(..length).unwrap_or_default().to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(frames),
                Err(error) => return Err(error).context("cannot read what was captured"),
            }
        }
    }
}

fn listen(interface: &str) -> Result<Socket> {
    let all = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(all)))
        .context("cannot open a packet socket")?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_nonblocking(true)?;
    bind(socket.as_raw_fd(), &link_address(interface)?)
        .with_context(|| format!("cannot bind to {interface}"))?;
    Ok(socket)
}
