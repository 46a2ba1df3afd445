//! Sends frames made by hand from an interface.

use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Socket, Type};

use crate::container::Container;
use crate::machine::Machine;
use crate::netns::{Netns, hardware_address};
use crate::packet::Packet;
use crate::run::run;

/// What all frames made by hand have as their source: an address that no interface has, so that they are told from what
/// a machine's own kernel sends, answers to them above all.
const HARDWARE_ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0xfa, 0xce];

/// What all frames made by hand have as their source, as nft writes it.
pub(crate) fn hardware_address_in_words() -> String {
    HARDWARE_ADDRESS.map(|byte| format!("{byte:02x}")).join(":")
}

/// A packet socket on one interface, whose frames go to one neighbour.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    neighbour: [u8; 6],
}

impl Sender {
    /// Sends from `interface` of `netns` to the neighbour with that hardware address.
    pub fn new(netns: &Netns, interface: &str, neighbour: [u8; 6]) -> Result<Self> {
        let socket = netns.run(|| open(interface)).with_context(|| format!("in {}", netns.name()))?;
        Ok(Self { socket, neighbour })
    }

    /// Sends a packet, whatever its addresses.
    pub fn send(&self, packet: &Packet) -> Result<()> {
        let frame = packet.frame(HARDWARE_ADDRESS, self.neighbour);
        self.send_frame(&frame).with_context(|| format!("cannot send {packet:?}"))
    }

    /// Sends a frame as it is, Ethernet header first.
    pub fn send_frame(&self, frame: &[u8]) -> Result<()> {
        let sent = (&self.socket).write(frame)?;
        ensure!(sent == frame.len(), "sent {sent} of {} bytes", frame.len());
        Ok(())
    }

    /// The Ethernet addresses of its frames: the neighbour's, and the one that no interface has.
    #[must_use]
    pub fn hardware_addresses(&self) -> [[u8; 6]; 2] {
        [self.neighbour, HARDWARE_ADDRESS]
    }
}

impl Machine {
    /// A sender of frames from this machine to `neighbour`, which must be on the same segment.
    pub fn sender_to(&self, neighbour: &Machine) -> Result<Sender> {
        Sender::new(self, &self.interface, hardware_address(neighbour, &neighbour.interface)?)
    }

    /// Sends one packet with any source address straight to `neighbour`.
    pub fn send_forged(&self, neighbour: &Machine, packet: &Packet) -> Result<()> {
        self.sender_to(neighbour)?.send(packet)
    }
}

impl Container {
    /// The hardware address of the interface that has its first IPv4 address.
    pub fn hardware_address(&self) -> Result<[u8; 6]> {
        hardware_address(self, &self.interface_of(self.v4().into())?)
    }

    fn interface_of(&self, address: IpAddr) -> Result<String> {
        let shown =
            run(self.command("ip").args(["-oneline", "address", "show", "to", &address.to_string()]))?;
        let interface =
            shown.split_whitespace().nth(1).context("no interface has the container's address")?;
        Ok(interface.to_owned())
    }

    /// A sender of frames from the container to the host, by the bridge that its default route (or, without one, its
    /// first interface) leads to.
    pub fn sender_to(&self, host: &Netns, bridge: &str) -> Result<Sender> {
        let address = self.addresses.iter().find(|address| is_on(host, bridge, address));
        let address = address.with_context(|| format!("container {} is not on {bridge}", self.name))?;
        Sender::new(self, &self.interface_of(*address)?, hardware_address(host, bridge)?)
    }
}

/// Whether the host would send to `address` by `bridge`.
fn is_on(host: &Netns, bridge: &str, address: &IpAddr) -> bool {
    let route = run(host.command("ip").args(["-oneline", "route", "get", &address.to_string()]));
    route.is_ok_and(|route| route.contains(&format!(" dev {bridge} ")))
}

fn open(interface: &str) -> Result<Socket> {
    let address = link_address(interface)?;
    // No protocol: the socket is to send, and would otherwise fill with what it hears.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("cannot open a packet socket")?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("cannot bind to {interface}"))?;
    Ok(socket)
}

/// Taken from the list of interfaces, which gives it ready for `bind`.
pub(crate) fn link_address(interface: &str) -> Result<LinkAddr> {
    let found = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    let mut links = found.filter_map(|entry| entry.address?.as_link_addr().copied());
    links.next().with_context(|| format!("no interface {interface}"))
}
