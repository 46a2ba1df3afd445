//! VXLAN made by hand: what a machine beside the nodes could send in the name of one of them.

use std::net::IpAddr;

use anyhow::Result;
use dockfw_lab::{Body, Container, Packet};

use crate::fixture::Node;
use crate::wire::VXLAN_PORT;

/// A datagram from one container to a port of another, in VXLAN in the clear from one's node to the other's.
pub(crate) fn vxlan(
    network: u32,
    (sender, from): (&Node, &Container),
    (receiver, to): (&Node, &Container),
    (port, payload): (u16, &str),
) -> Result<Packet> {
    let datagram = Body::Udp { from: 40000, to: port, payload: payload.into() };
    let inner = Packet::of(from.v4(), to.v4(), 1, datagram);
    let frame = inner.frame(from.hardware_address()?, to.hardware_address()?);
    // The flag that says that there is a number of a network, and that number (RFC 7348, section 5).
    let header = [[0x08, 0, 0, 0], (network << 8).to_be_bytes()].concat();
    let [source, destination] = [sender, receiver].map(|node| IpAddr::from(node.lab.host.v4));
    let body = Body::Udp { from: 50000, to: VXLAN_PORT, payload: [header, frame].concat() };
    Ok(Packet::of(source, destination, 2, body))
}
