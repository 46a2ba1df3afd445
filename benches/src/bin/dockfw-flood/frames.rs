//! The frames of a flood: all different, and valid, so that connection tracking takes each for the first of a connection.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use clap::ValueEnum;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The first packet of a TCP connection.
    Syn,
    /// A UDP datagram.
    Udp,
    /// A ping.
    Icmp,
}

/// What all frames of a flood share.
#[derive(Clone, Debug)]
pub(crate) struct Flood {
    pub(crate) kind: Kind,
    pub(crate) to: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) from: Ipv4Addr,
    pub(crate) sources: u32,
    pub(crate) neighbour: [u8; 6],
}

/// How many different frames a flood has at least: the connections of one source differ by their ports.
const FEWEST: u32 = 512;
/// Registered ports and those below are left alone.
const FIRST_PORT: u32 = 49_152;
/// How many ports there are from that one on.
const PORTS: u32 = 65_536 - FIRST_PORT;
/// An address that no interface has.
const OWN: [u8; 6] = [0x02, 0, 0, 0, 0xf1, 0x0d];
const IPV4: [u8; 2] = [0x08, 0x00];
const HEADER: usize = 20;

impl Flood {
    /// All of them, Ethernet headers first.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        (0..self.sources.max(FEWEST)).map(|number| self.frame(number)).collect()
    }

    fn frame(&self, number: u32) -> Vec<u8> {
        let source = Ipv4Addr::from_bits(self.from.to_bits() + number % self.sources);
        let upper = self.upper(source, number);
        let ip = self.ip(source, upper.len());
        [&self.neighbour[..], &OWN, &IPV4, &ip, &upper].concat()
    }

    /// Version 4, five words; not to be cut; 64 hops (RFC 791).
    fn ip(&self, source: Ipv4Addr, length: usize) -> Vec<u8> {
        let [high, low] = ((HEADER + length) as u16).to_be_bytes();
        let start = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, self.protocol()];
        let addresses = [source.octets(), self.to.octets()].concat();
        let sum = checksum(words(&start) + words(&addresses));
        [&start[..], &sum, &addresses].concat()
    }

    fn protocol(&self) -> u8 {
        match self.kind {
            Kind::Icmp => 1,
            Kind::Syn => 6,
            Kind::Udp => 17,
        }
    }

    /// All after the IP header.
    fn upper(&self, source: Ipv4Addr, number: u32) -> Vec<u8> {
        let [from, to] = [(FIRST_PORT + number % PORTS) as u16, self.port].map(u16::to_be_bytes);
        match self.kind {
            // A sequence number; five words, SYN, a window; nothing urgent (RFC 9293).
            Kind::Syn => {
                let start =
                    [&from[..], &to, &number.to_be_bytes(), &[0; 4], &[0x50, 0x02, 0xff, 0xff]].concat();
                let sum = checksum(self.pseudo(source, start.len() + 4) + words(&start));
                [&start[..], &sum, &[0, 0]].concat()
            }
            // Eight bytes of data, and no checksum, which is allowed (RFC 768).
            Kind::Udp => [&from[..], &to, &[0, 16, 0, 0], &[0; 8]].concat(),
            // An identifier and a number (RFC 792).
            Kind::Icmp => {
                let rest = [&from[..], &[0, 1], &[0; 8]].concat();
                [&[8, 0][..], &checksum(0x0800 + words(&rest)), &rest].concat()
            }
        }
    }

    /// The sum of what TCP's checksum covers beside TCP.
    fn pseudo(&self, source: Ipv4Addr, length: usize) -> u32 {
        words(&source.octets()) + words(&self.to.octets()) + u32::from(self.protocol()) + length as u32
    }
}

/// The sum of an even number of bytes as words.
fn words(bytes: &[u8]) -> u32 {
    bytes
        .chunks_exact(2)
        .filter_map(<[u8]>::first_chunk)
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum()
}

/// The internet checksum of a sum of words (RFC 1071).
fn checksum(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    (!((once & 0xffff) + (once >> 16)) as u16).to_be_bytes()
}

/// Reads a hardware address as `ip` writes it.
pub(crate) fn hardware_address(text: &str) -> Result<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("not six bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn flood(kind: Kind, sources: u32) -> Flood {
        let [to, from] = [[192, 0, 2, 1], [198, 18, 255, 254]].map(Ipv4Addr::from);
        Flood { kind, to, port: 8080, from, sources, neighbour: [2, 0, 0, 0, 0, 1] }
    }

    #[test]
    fn all_frames_differ() {
        for kind in [Kind::Syn, Kind::Udp, Kind::Icmp] {
            for sources in [1, 2, 20_000] {
                let frames = flood(kind, sources).frames();
                assert_eq!(frames.len(), sources.max(FEWEST) as usize);
                assert_eq!(frames.iter().collect::<BTreeSet<_>>().len(), frames.len(), "{kind:?}, {sources}");
            }
        }
    }

    #[test]
    fn sources_are_counted_over_the_ends_of_bytes() {
        let frames = flood(Kind::Udp, 3).frames();
        let sources: BTreeSet<_> = frames.iter().map(|frame| frame[26..30].to_vec()).collect();
        assert_eq!(
            sources,
            [[198, 18, 255, 254], [198, 18, 255, 255], [198, 19, 0, 0]].map(Vec::from).into()
        );
    }

    #[test]
    fn checksums_check() {
        for kind in [Kind::Syn, Kind::Icmp] {
            let flood = flood(kind, 20_000);
            let frames = flood.frames();
            let frame = &frames[12_345];
            let (ip, upper) = frame[14..].split_at(HEADER);
            let source = Ipv4Addr::from(*ip[12..].first_chunk::<4>().unwrap());
            let pseudo = if kind == Kind::Syn { flood.pseudo(source, upper.len()) } else { 0 };
            assert_eq!((checksum(words(ip)), checksum(pseudo + words(upper))), ([0, 0], [0, 0]), "{kind:?}");
        }
    }

    #[test]
    fn a_hardware_address_has_six_bytes() {
        assert_eq!(hardware_address("02:00:00:00:00:ff").unwrap(), [2, 0, 0, 0, 0, 255]);
        assert!(hardware_address("02:00").is_err() && hardware_address("02:00:00:00:00:zz").is_err());
    }
}
