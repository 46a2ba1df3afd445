//! What nodes send each other, as a capture has it.

use std::net::Ipv4Addr;

/// A frame between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Encrypted (RFC 4303).
    Esp,
    /// VXLAN in the clear, with its network's number (RFC 7348).
    Vxlan(u32),
}

const ESP: u8 = 50;
const UDP: u8 = 17;
/// Docker's data path port by default.
pub(crate) const VXLAN_PORT: u16 = 4789;

/// What a frame carries from one node to another, if it is of these kinds.
pub(crate) fn carried(frame: &[u8], between: [Ipv4Addr; 2]) -> Option<Carried> {
    let packet = frame.get(14..).filter(|_| frame.get(12..14) == Some(&[0x08, 0x00]))?;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let ends = [address(12)?, address(16)?];
    let is_between = between.iter().all(|node| ends.contains(node));
    let upper = packet.get(usize::from(packet.first()? & 0x0f) * 4..).filter(|_| is_between)?;
    match *packet.get(9)? {
        ESP => Some(Carried::Esp),
        UDP if upper.get(2..4)? == VXLAN_PORT.to_be_bytes() => {
            let [high, middle, low] = <[u8; 3]>::try_from(upper.get(12..15)?).ok()?;
            Some(Carried::Vxlan(u32::from_be_bytes([0, high, middle, low])))
        }
        _ => None,
    }
}
