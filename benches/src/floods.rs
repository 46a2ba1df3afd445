//! Floods of untrusted sources.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::field::{Field, HOST_ADDRESS, NEAR};
use crate::policy::{CLOSED, HOST, HOST_OPEN, PUBLISHED, PUBLISHED_OPEN, UNTRUSTED};

/// One kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    kind: &'static str,
    port: u16,
    sources: u32,
}

/// As many as a list in a kernel's memory can be spread over.
const MANY: u32 = 16_384;

pub(crate) const SYN_PUBLISHED: Flood = flood("SYN, published port", "syn", PUBLISHED, 1);
pub(crate) const SYN_HOST: Flood = flood("SYN, port of the host", "syn", HOST, 1);
pub(crate) const UDP_PUBLISHED: Flood = flood("UDP, published port", "udp", PUBLISHED, 1);
pub(crate) const UDP_CLOSED: Flood = flood("UDP, closed port", "udp", CLOSED, 1);
pub(crate) const SYN_PUBLISHED_MANY: Flood =
    flood("SYN, published port, many sources", "syn", PUBLISHED, MANY);
pub(crate) const SYN_HOST_MANY: Flood = flood("SYN, port of the host, many sources", "syn", HOST, MANY);
pub(crate) const UDP_PUBLISHED_MANY: Flood =
    flood("UDP, published port, many sources", "udp", PUBLISHED, MANY);
pub(crate) const SYN_OPEN: Flood = flood("SYN, open port (answered)", "syn", HOST_OPEN, 1);

/// All of them.
pub(crate) const FLOODS: [Flood; 14] = [
    SYN_PUBLISHED,
    SYN_PUBLISHED_MANY,
    SYN_HOST,
    SYN_HOST_MANY,
    flood("SYN, closed port", "syn", CLOSED, 1),
    SYN_OPEN,
    flood("SYN, open published port (answered)", "syn", PUBLISHED_OPEN, 1),
    UDP_PUBLISHED,
    UDP_PUBLISHED_MANY,
    flood("UDP, port of the host", "udp", HOST, 1),
    UDP_CLOSED,
    flood("UDP, closed port, many sources", "udp", CLOSED, MANY),
    flood("ICMP, the host (answered)", "icmp", 0, 1),
    flood("ICMP, the host, many sources (answered)", "icmp", 0, MANY),
];

/// Those that are repeated with policies of all sizes.
pub(crate) const FEW: [Flood; 5] = [SYN_PUBLISHED, SYN_HOST, UDP_PUBLISHED, UDP_CLOSED, SYN_OPEN];

const fn flood(name: &'static str, kind: &'static str, port: u16, sources: u32) -> Flood {
    Flood { name, kind, port, sources }
}

/// The program that sends.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) program: PathBuf,
    pub(crate) period: Duration,
}

impl Sender {
    /// How many thousands of packets a second are judged.
    pub(crate) fn rate(&self, field: &Field<'_>, flood: Flood) -> Result<f64> {
        let first: Ipv4Addr = UNTRUSTED;
        let (to, period) = (HOST_ADDRESS, self.period.as_millis());
        let line = format!(
            "--kind {} --to {to} --port {} --from {first} --sources {} --neighbour {NEAR} --milliseconds {period}",
            flood.kind, flood.port, flood.sources
        );
        let printed = dockfw_lab::run(field.flood.command(&self.program).args(line.split(' ')))?;
        let (packets, seconds) = printed.trim().split_once(' ').context("not two numbers")?;
        Ok(packets.parse::<f64>()? / seconds.parse::<f64>()? / 1000.0)
    }
}
