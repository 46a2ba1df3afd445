//! Frames made by hand, with a tag by which they are known again on the other side of the host.
//!
//! The tag is a datagram's data, or stands in a SYN's sequence and acknowledgement numbers, which no translation of addresses
//! changes.

use std::net::IpAddr;

use dockfw_policy::service::Transport;

/// Tells the oracle's packets from all others; any number would do.
const MAGIC_0: u8 = 0xd0;
const MAGIC_1: u8 = 0xcf;
const UDP: u8 = 17;
const TCP: u8 = 6;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// Which packet it is: who sent it, on which stream, and as which of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) sender: u8,
    pub(crate) stream: u8,
    pub(crate) number: u32,
}

/// All of a packet that differs within a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) from: u16,
    pub(crate) to: u16,
}

/// A frame, from its Ethernet header to its end.
pub(crate) fn frame([to, from]: [[u8; 6]; 2], headers: &Headers, tag: Tag) -> Vec<u8> {
    let upper = upper(headers, tag);
    let protocol = if headers.transport == Transport::Udp { UDP } else { TCP };
    let mut frame = Vec::with_capacity(96);
    frame.extend(to);
    frame.extend(from);
    match (headers.source, headers.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend([0x08, 0x00]);
            frame.extend(v4_header(source.octets(), destination.octets(), protocol, upper.len()));
        }
        (source, destination) => {
            frame.extend([0x86, 0xdd]);
            frame.extend([0x60, 0, 0, 0, 0, upper.len() as u8, protocol, 64]);
            frame.extend(octets(source));
            frame.extend(octets(destination));
        }
    }
    frame.extend(upper);
    frame
}

fn v4_header(source: [u8; 4], destination: [u8; 4], protocol: u8, length: usize) -> [u8; V4_HEADER] {
    let mut header = [0; V4_HEADER];
    // Version 4, five words; not to be cut; 64 hops.
    header[0] = 0x45;
    header[3] = (V4_HEADER + length) as u8;
    header[6] = 0x40;
    header[8] = 64;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source);
    header[16..20].copy_from_slice(&destination);
    let sum = checksum(words(&header));
    header[10..12].copy_from_slice(&sum);
    header
}

/// All after the IP header.
fn upper(headers: &Headers, tag: Tag) -> Vec<u8> {
    let ports = [headers.from.to_be_bytes(), headers.to.to_be_bytes()].concat();
    let (rest, at, protocol) = match headers.transport {
        // Its length, and room for the checksum.
        Transport::Udp => ([&[0, 16, 0, 0][..], &tag.bytes()].concat(), 6, UDP),
        // Five words of header, SYN, a window, room for the checksum, nothing urgent.
        _ => ([&tag.bytes()[..], &[0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]].concat(), 16, TCP),
    };
    let mut upper = [ports, rest].concat();
    let addresses = words(&octets(headers.source)) + words(&octets(headers.destination));
    let sum = addresses + u32::from(protocol) + upper.len() as u32 + words(&upper);
    upper[at..at + 2].copy_from_slice(&checksum(sum));
    upper
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The sum of an even number of bytes as words.
fn words(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

/// The internet checksum (RFC 1071) of a sum of words. 0 would mean none to UDP; 0xffff is the same number to all.
fn checksum(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    match !(((once & 0xffff) + (once >> 16)) as u16) {
        0 => [0xff, 0xff],
        sum => sum.to_be_bytes(),
    }
}

impl Tag {
    fn bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.number.to_be_bytes();
        [MAGIC_0, MAGIC_1, self.sender, self.stream, a, b, c, d]
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let [MAGIC_0, MAGIC_1, sender, stream, a, b, c, d] = *bytes.first_chunk::<8>()? else { return None };
        Some(Self { sender, stream, number: u32::from_be_bytes([a, b, c, d]) })
    }
}

/// Where a packet was heard, which tells what of it is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// From the IP header on, which says the protocol.
    Whole,
    /// All after the IP header.
    Upper(Transport),
}

/// The tag of a packet, if it is one of the oracle's.
pub(crate) fn tag_of(packet: &[u8], heard: Heard) -> Option<Tag> {
    let (upper, protocol) = match (heard, packet.first()? >> 4) {
        (Heard::Upper(Transport::Udp), _) => (packet, UDP),
        (Heard::Upper(_), _) => (packet, TCP),
        (Heard::Whole, 4) => (packet.get(V4_HEADER..)?, *packet.get(9)?),
        (Heard::Whole, _) => (packet.get(V6_HEADER..)?, *packet.get(6)?),
    };
    match protocol {
        UDP => Tag::of(upper.get(8..)?),
        TCP => Tag::of(upper.get(4..)?),
        _ => None,
    }
}

trials![a_tag_is_known_again, checksums_check];

/// A frame of each family and protocol, from its IP header on.
fn examples(tag: Tag) -> Vec<(Headers, Vec<u8>)> {
    let ends = [["192.0.2.20", "192.0.2.1"], ["2001:db8::20", "2001:db8::1"]];
    let headers = ends.into_iter().flat_map(|ends| {
        let [source, destination] = ends.map(|end| end.parse().unwrap());
        [Transport::Udp, Transport::Tcp].map(|transport| Headers {
            source,
            destination,
            transport,
            from: 40_000,
            to: 7001,
        })
    });
    headers.map(|headers| (headers, frame([[1; 6], [2; 6]], &headers, tag).split_off(14))).collect()
}

fn a_tag_is_known_again() {
    let tag = Tag { sender: 1, stream: 31, number: 0xfedc_ba98 };
    for (headers, packet) in examples(tag) {
        assert_eq!(tag_of(&packet, Heard::Whole), Some(tag), "{headers:?}");
        let upper = if headers.source.is_ipv4() { V4_HEADER } else { V6_HEADER };
        assert_eq!(tag_of(&packet[upper..], Heard::Upper(headers.transport)), Some(tag), "{headers:?}");
    }
    assert_eq!(tag_of(&[0x45; 64], Heard::Whole), None);
}

fn checksums_check() {
    for (headers, packet) in examples(Tag { sender: 0, stream: 3, number: 9 }) {
        let (upper, protocol) =
            if headers.source.is_ipv4() { (V4_HEADER, packet[9]) } else { (V6_HEADER, packet[6]) };
        if headers.source.is_ipv4() {
            assert_eq!(checksum(words(&packet[..upper])), [0xff; 2], "{headers:?}");
        }
        let pseudo =
            words(&octets(headers.source)) + words(&octets(headers.destination)) + u32::from(protocol);
        let upper = &packet[upper..];
        assert_eq!(checksum(pseudo + upper.len() as u32 + words(upper)), [0xff; 2], "{headers:?}");
    }
}
