//! Packets made by hand, with any addresses: what a neighbour on the wire could send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Marks the lab's packets for the [`Witness`](crate::Witness), who then need not tell them from the host's own.
pub(crate) const DSCP: u8 = 0x3f;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A packet to be sent as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source address, anybody's. Of the same family as the destination.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// By what a witness knows it: the IPv4 identification, or the IPv6 flow label. Not 0.
    pub token: u16,
    /// Its hop limit (IPv6) or time to live (IPv4).
    pub hop_limit: u8,
    /// What it carries.
    pub body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment without data.
    Tcp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// Its flags.
        flags: TcpFlags,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// Its data.
        payload: Vec<u8>,
    },
    /// An ICMP or ICMPv6 message, by the family of the addresses; echo request is 8 or 128.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// All after the checksum: at least four bytes.
        rest: Vec<u8>,
    },
    /// Any other protocol.
    Other {
        /// Its number.
        protocol: u8,
        /// All after the IP header.
        payload: Vec<u8>,
    },
}

/// TCP's flags, as in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The first segment of a connection.
    pub const SYN: Self = Self(0x02);
    /// The second one.
    pub const SYN_ACK: Self = Self(0x12);
    /// One of a connection that is up.
    pub const ACK: Self = Self(0x10);
    /// A reset.
    pub const RST: Self = Self(0x04);
    /// The end.
    pub const FIN_ACK: Self = Self(0x11);
}

impl Packet {
    /// A packet with the hop limit that most have.
    #[must_use]
    pub fn of(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, token: u16, body: Body) -> Self {
        Self { source: source.into(), destination: destination.into(), token, hop_limit: 64, body }
    }

    /// The first segment of a TCP connection.
    #[must_use]
    pub fn syn(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, port: u16, token: u16) -> Self {
        let body = Body::Tcp { from: 40000, to: port, flags: TcpFlags::SYN };
        Self::of(source, destination, token, body)
    }

    /// A datagram.
    #[must_use]
    pub fn udp(
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        port: u16,
        token: u16,
        payload: &str,
    ) -> Self {
        let body = Body::Udp { from: 40000, to: port, payload: payload.as_bytes().to_vec() };
        Self::of(source, destination, token, body)
    }

    /// An echo request.
    #[must_use]
    pub fn echo(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, token: u16) -> Self {
        let (source, destination) = (source.into(), destination.into());
        let kind = if destination.is_ipv6() { 128 } else { 8 };
        let [high, low] = token.to_be_bytes();
        let body = Body::Icmp { kind, code: 0, rest: vec![0, 1, high, low] };
        Self::of(source, destination, token, body)
    }

    /// The packet as it goes onto the wire, Ethernet header first.
    #[must_use]
    pub fn frame(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let (ethertype, header) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800_u16, self.v4_header(source, destination))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => (0x86dd, self.v6_header(source, destination)),
            _ => panic!("source and destination of different families: {self:?}"),
        };
        [&to[..], &from, &ethertype.to_be_bytes(), &header, &self.upper()].concat()
    }

    fn v4_header(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let length = length_of(20 + self.upper().len());
        let mut header = vec![0x45, DSCP << 2];
        header.extend(length.to_be_bytes());
        header.extend(self.token.to_be_bytes());
        // No fragment, and room for the checksum.
        header.extend([0, 0, self.hop_limit, self.protocol(), 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        with_checksum(header, 10, &[])
    }

    fn v6_header(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let first = 6 << 28 | u32::from(DSCP) << 22 | u32::from(self.token);
        let mut header = first.to_be_bytes().to_vec();
        header.extend(length_of(self.upper().len()).to_be_bytes());
        header.extend([self.protocol(), self.hop_limit]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }

    fn protocol(&self) -> u8 {
        match self.body {
            Body::Tcp { .. } => TCP,
            Body::Udp { .. } => UDP,
            Body::Icmp { .. } if self.destination.is_ipv6() => ICMPV6,
            Body::Icmp { .. } => ICMP,
            Body::Other { protocol, .. } => protocol,
        }
    }

    /// All after the IP header.
    fn upper(&self) -> Vec<u8> {
        match &self.body {
            Body::Tcp { from, to, flags } => {
                let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
                // Sequence and acknowledgement 1, five words of header, a window, no urgent data.
                segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags.0, 0xff, 0xff, 0, 0, 0, 0]);
                self.with_pseudo_checksum(segment, 16)
            }
            Body::Udp { from, to, payload } => {
                let length = length_of(8 + payload.len());
                let header = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
                self.with_pseudo_checksum([header, payload.clone()].concat(), 6)
            }
            Body::Icmp { kind, code, rest } => {
                let message = [&[*kind, *code, 0, 0], rest.as_slice()].concat();
                if self.destination.is_ipv6() {
                    self.with_pseudo_checksum(message, 2)
                } else {
                    with_checksum(message, 2, &[])
                }
            }
            Body::Other { payload, .. } => payload.clone(),
        }
    }

    fn with_pseudo_checksum(&self, bytes: Vec<u8>, at: usize) -> Vec<u8> {
        let mut pseudo = Vec::new();
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(v4) => pseudo.extend(v4.octets()),
                IpAddr::V6(v6) => pseudo.extend(v6.octets()),
            }
        }
        pseudo.extend([0, self.protocol()]);
        pseudo.extend(length_of(bytes.len()).to_be_bytes());
        with_checksum(bytes, at, &pseudo)
    }
}

fn length_of(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a packet of the lab is small")
}

/// Writes the internet checksum over `bytes` and `pseudo` at offset `at`, where zeroes are.
fn with_checksum(mut bytes: Vec<u8>, at: usize, pseudo: &[u8]) -> Vec<u8> {
    let sum = match !fold(word_sum(pseudo) + word_sum(&bytes)) {
        // For UDP over IPv6, 0 would mean that there is none; 0xffff is the same number, for all protocols.
        0 => 0xffff,
        sum => sum,
    };
    let field = bytes.get_mut(at..at + 2).expect("headers are longer than that");
    field.copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn word_sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    words.sum()
}

/// Adds the carries back in.
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
    const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    #[test]
    fn a_header_checks() {
        let frame = Packet::syn(SOURCE, HOST, 80, 7).frame([1; 6], [2; 6]);
        assert_eq!(fold(word_sum(&frame[14..34])), 0xffff);
        assert_eq!(frame.len(), 14 + 20 + 20);
        assert_eq!(frame[18..20], [0, 7]);
    }

    #[test]
    fn odd_lengths_check_with_their_pseudo_header() {
        let frame = Packet::udp(SOURCE, HOST, 53, 7, "odd").frame([1; 6], [2; 6]);
        let pseudo = [&SOURCE.octets()[..], &HOST.octets(), &[0, UDP, 0, 11]].concat();
        assert_eq!(fold(word_sum(&frame[34..]) + word_sum(&pseudo)), 0xffff);
    }

    #[test]
    fn the_flow_label_is_the_token() {
        let frame = Packet::echo(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 0x1234).frame([1; 6], [2; 6]);
        assert_eq!(frame[14..18], [0x6f, 0xc0, 0x12, 0x34]);
        assert_eq!(frame[54], 128);
    }
}
