//! Groups (multicast): what a machine sends to one comes back to its own members.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::netns::Netns;

/// So long may a datagram take that comes back at once or never.
const PATIENCE: Duration = Duration::from_secs(2);

impl Netns {
    /// Whether a member of a group on this machine hears what another process of it sends there by `interface`.
    pub fn hears_itself(&self, interface: &str, group: IpAddr, port: u16) -> Result<bool> {
        self.run(|| loops(interface, group, port))
            .with_context(|| format!("what {} sends to {group} by {interface}", self.name()))
    }
}

fn loops(interface: &str, group: IpAddr, port: u16) -> Result<bool> {
    let index = if_nametoindex(interface)?;
    let domain = if group.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = || Socket::new(domain, Type::DGRAM, Some(Protocol::UDP));
    let (member, sender) = (socket()?, socket()?);
    // A group of a link needs the link.
    let group_at = match group {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), port),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, index).into(),
    };
    member.bind(&group_at.into())?;
    member.set_read_timeout(Some(PATIENCE))?;
    match group {
        IpAddr::V4(group) => {
            member.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
        }
        IpAddr::V6(group) => member.join_multicast_v6(&group, index)?,
    }
    sender.bind_device(Some(interface.as_bytes()))?;
    let payload = format!("looped {}", std::process::id());
    sender.send_to(payload.as_bytes(), &group_at.into())?;
    let mut heard = [0; 64];
    match io::Read::read(&mut &member, &mut heard) {
        Ok(length) => Ok(heard.get(..length) == Some(payload.as_bytes())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
