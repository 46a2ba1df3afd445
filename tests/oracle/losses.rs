//! What the machine itself lost of packets, by the kernel's own count.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::fixture::OracleFixture;
use crate::hear::Ears;

/// The columns of connection tracking's statistics that count packets which it dropped, and connections that it forgot too early.
const TRACKING: [&str; 3] = ["insert_failed", "drop", "early_drop"];
/// Where a line of `/proc/net/dev` counts what an interface could not hand on: the 12th number.
const DROPPED: usize = 11;

/// Counters, by what they count.
#[derive(Debug)]
pub(crate) struct Losses(BTreeMap<String, u64>);

impl Losses {
    /// All up to now. Of interfaces and not of processors (`/proc/net/softnet_stat`): others' packets come by those too.
    pub(crate) fn so_far(fixture: &OracleFixture) -> Result<Self> {
        let mut all = BTreeMap::new();
        // Not every kernel counts.
        let tracking = fixture.host.read("net/stat/nf_conntrack").unwrap_or_default();
        all.extend(of_tracking(&tracking));
        for netns in [&fixture.host].into_iter().chain(fixture.links.iter().map(|link| &link.far.netns)) {
            all.extend(of_interfaces(netns.name(), &netns.read("net/dev")?));
        }
        Ok(Self(all))
    }

    /// An error if anything was lost since.
    pub(crate) fn none_since(self, fixture: &OracleFixture, ears: &Ears) -> Result<()> {
        let now = Self::so_far(fixture)?;
        let more = |(what, count): (String, u64)| {
            let lost = count - self.0.get(&what).copied().unwrap_or_default().min(count);
            (lost > 0).then(|| format!("{what}: {lost}"))
        };
        let mut lost: Vec<_> = now.0.into_iter().filter_map(more).collect();
        lost.extend((ears.lost() > 0).then(|| format!("sockets: {}", ears.lost())));
        ensure!(
            lost.is_empty(),
            "the machine lost packets itself, so nothing can be said: {}",
            lost.join(", ")
        );
        Ok(())
    }
}

/// A line of names, and a line of hexadecimal numbers for each processor.
fn of_tracking(text: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    let mut sums = BTreeMap::new();
    for line in lines {
        for (name, number) in
            names.iter().zip(line.split_whitespace()).filter(|(name, _)| TRACKING.contains(name))
        {
            let number = u64::from_str_radix(number, 16).unwrap_or_default();
            *sums.entry(format!("connection tracking, {name}")).or_default() += number;
        }
    }
    sums
}

/// Two lines of headings, and a line for each interface.
fn of_interfaces(netns: &str, text: &str) -> BTreeMap<String, u64> {
    let counted = |line: &str| {
        let (interface, numbers) = line.split_once(':').context("no interface")?;
        let dropped = numbers.split_whitespace().nth(DROPPED).context("too few numbers")?;
        anyhow::Ok((format!("{} in {netns}", interface.trim()), dropped.parse()?))
    };
    text.lines().skip(2).filter_map(|line| counted(line).ok()).collect()
}

trials![losses_are_read_off];

fn losses_are_read_off() {
    let tracking =
        "entries insert_failed drop early_drop\n00000001 00000010 00000000 00000001\n0000000f 00000001 0 0\n";
    let sums: Vec<_> = of_tracking(tracking).into_values().collect();
    // In the order of the names: drop, early_drop, insert_failed.
    assert_eq!(sums, [0, 1, 0x11]);
    let interfaces = "Inter-|   Receive\n face |bytes\n  wan0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    assert_eq!(of_interfaces("host", interfaces), [("wan0 in host".to_owned(), 12)].into());
}
