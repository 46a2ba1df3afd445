//! Which policy packets meet: connections from a neighbour's addresses to ports of the host where nobody listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result};
use dockfw_lab::{Netns, Outcome, Probe, Proto, probe_all, wait_until};

/// What can be in force as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InForce {
    Nothing,
    /// `old.toml`
    Old,
    /// `new.toml`
    New,
}

/// The last parts of the neighbour's addresses: each but the last stands in lists of the policies.
const SENDERS: [u8; 5] = [10, 20, 30, 40, 50];
/// Open to everyone in the old policy, in the new one, to others in each, and in neither.
const PORTS: [u16; 4] = [80, 25, 7000, 9];
/// Slow machines take their time to refuse.
const DEADLINE: Duration = Duration::from_secs(10);

impl InForce {
    /// Whether the host's own answer reaches a sender: what the policy says.
    fn lets_in(self, sender: u8, port: u16) -> bool {
        match self {
            Self::Nothing => true,
            Self::Old => sender == 10 || sender != 40 && (port == 80 || port == 7000 && sender == 30),
            Self::New => sender == 20 || sender != 10 && (port == 25 || port == 7000 && sender == 40),
        }
    }

    fn lets_in_all(self) -> impl Iterator<Item = (u8, u16)> {
        all().filter(move |(sender, port)| self.lets_in(*sender, *port))
    }
}

/// An error where what packets of a family meet is none of these.
pub(crate) fn meet_one_of(neighbour: &Netns, family: &str, possible: &[InForce]) -> Result<()> {
    let mut refused = Vec::new();
    let found = wait_until(DEADLINE, "for packets to meet one policy", || {
        refused = refusals(neighbour, family);
        possible.iter().any(|in_force| in_force.lets_in_all().eq(refused.iter().copied())).then_some(())
    });
    found.with_context(|| {
        format!("{family}: packets meet none of {possible:?}: the host answers {refused:?} (sender, port)")
    })
}

fn all() -> impl Iterator<Item = (u8, u16)> {
    SENDERS.into_iter().flat_map(|sender| PORTS.map(|port| (sender, port)))
}

/// The senders and ports of which the host says itself that nobody listens.
fn refusals(neighbour: &Netns, family: &str) -> Vec<(u8, u16)> {
    let probe = |(sender, port)| {
        Probe::new(neighbour, Proto::Tcp, (address(family, 1), port)).source(address(family, sender))
    };
    let outcomes = probe_all(&all().map(probe).collect::<Vec<_>>());
    let answered = all().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Refused);
    answered.map(|(what, _)| what).collect()
}

/// An address of the host's network. The host is 1.
fn address(family: &str, last: u8) -> IpAddr {
    match family {
        "IPv4" => Ipv4Addr::new(192, 0, 2, last).into(),
        // Written as its IPv4 fellow: 10 is ::10.
        _ => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(last / 10 * 16 + last % 10)).into(),
    }
}
