//! Floods of untrusted sources.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::field::{FLOODED, Field, HOST_ADDRESS, NEAR};
use crate::firewall::Firewall;
use crate::policy::{CLOSED, HOST, HOST_OPEN, PUBLISHED, PUBLISHED_OPEN, UNTRUSTED};

/// One kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    kind: &'static str,
    port: u16,
    sources: u32,
}

/// Enough that what one source leaves behind is of no use to the next.
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

/// The name of the kind of flood that has no ports.
const ICMP: &str = "icmp";

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
    flood("ICMP, the host (answered)", ICMP, 0, 1),
    flood("ICMP, the host, many sources (answered)", ICMP, 0, MANY),
];

/// Those that are repeated with policies of all sizes.
pub(crate) const FEW: [Flood; 5] = [SYN_PUBLISHED, SYN_HOST, UDP_PUBLISHED, UDP_CLOSED, SYN_OPEN];

const fn flood(name: &'static str, kind: &'static str, port: u16, sources: u32) -> Flood {
    Flood { name, kind, port, sources }
}

impl Flood {
    /// Whether every policy lets it through, and the host or a container answers.
    fn is_open(self) -> bool {
        self.kind == ICMP || [HOST_OPEN, PUBLISHED_OPEN].contains(&self.port)
    }

    /// Makes sure that a firewall did with it what policies say, or its rate would tell nothing. Without a firewall, nothing is
    /// certain: some answers are limited to a few.
    fn check(self, firewall: &Firewall, packets: f64, answers: f64) -> Result<()> {
        let is_as_meant = match firewall {
            Firewall::Nothing => true,
            Firewall::Role | Firewall::Dockfw(_) if self.is_open() => answers > packets / 2.0,
            Firewall::Limit | Firewall::Role | Firewall::Dockfw(_) => answers < packets / 100.0,
        };
        ensure!(is_as_meant, "{}: {packets} packets, {answers} answers", self.name);
        Ok(())
    }
}

/// The program that sends.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) program: PathBuf,
    pub(crate) period: Duration,
}

impl Sender {
    /// How many thousands of packets a second are judged while this is in force.
    pub(crate) fn rate(&self, field: &Field<'_>, firewall: &Firewall, flood: Flood) -> Result<f64> {
        let before = answers(field)?;
        let printed = dockfw_lab::run(field.flood.command(&self.program).args(self.arguments(flood)))?;
        let (packets, seconds) = printed.trim().split_once(' ').context("not two numbers")?;
        let (packets, seconds): (f64, f64) = (packets.parse()?, seconds.parse()?);
        flood.check(firewall, packets, answers(field)? - before)?;
        Ok(packets / seconds / 1000.0)
    }

    fn arguments(&self, Flood { kind, port, sources, .. }: Flood) -> Vec<String> {
        let period = self.period.as_millis();
        let line = format!(
            "--kind {kind} --to {HOST_ADDRESS} --port {port} --from {UNTRUSTED} --sources {sources} --neighbour {NEAR} \
             --milliseconds {period}"
        );
        line.split(' ').map(String::from).collect()
    }
}

/// How many packets the host has sent to who floods.
fn answers(field: &Field<'_>) -> Result<f64> {
    let table = field.lab.host.read("net/dev")?;
    sent(&table, FLOODED).with_context(|| format!("{FLOODED} has no counters"))
}

/// How many packets an interface has sent: the tenth of its numbers (`dev_seq_printf_stats` in net/core/net-procfs.c).
fn sent(table: &str, interface: &str) -> Option<f64> {
    let numbers = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    numbers.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interface_sent_is_read() {
        let table =
            "Inter-| Receive\n face |bytes\n wan00: 1 2 3 4 5 6 7 8 9 11 0\n  wan0: 1 2 3 4 5 6 7 8 9 10 0\n";
        assert_eq!((sent(table, "wan0"), sent(table, "lan0")), (Some(10.0), None));
    }

    #[test]
    fn a_flood_that_comes_through_a_firewall_tells_nothing() {
        assert!(SYN_HOST.check(&Firewall::Role, 1000.0, 0.0).is_ok());
        assert!(SYN_HOST.check(&Firewall::Role, 1000.0, 1000.0).is_err());
        assert!(SYN_OPEN.check(&Firewall::Role, 1000.0, 0.0).is_err());
        assert!(SYN_OPEN.check(&Firewall::Role, 1000.0, 1000.0).is_ok());
        assert!(SYN_OPEN.check(&Firewall::Limit, 1000.0, 1000.0).is_err());
    }
}
