//! Lists of addresses at random: hosts, networks and ranges of both families. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_lab::Dice;

/// The most entries of IPv4 that a region has blocks for.
const MOST_V4: usize = 24_000;
/// How many entries differ between lists that are almost alike.
const FEW: usize = 3;

/// Which list an entry is for. No two regions share an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Region {
    Trusted,
    Blocked,
    Others,
}

/// A list of addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    region: Option<Region>,
    entries: Vec<Entry>,
    /// Addresses that few lists of the region have.
    pub(crate) peculiar: Vec<IpAddr>,
}

/// A line of a list, and an address that it means.
#[derive(Clone, Debug)]
struct Entry {
    line: String,
    address: IpAddr,
}

impl List {
    /// So many entries, half of each family.
    pub(crate) fn random(dice: &mut Dice, region: Region, length: usize) -> Self {
        let of_v4 = (length.div_ceil(2)).min(MOST_V4);
        let v4 = (0..of_v4).map(|block| v4(dice, region, block)).collect::<Vec<_>>();
        let v6 = (0..length - of_v4).map(|block| v6(dice, region, block)).collect();
        let entries = [v4, v6].concat();
        let peculiar = (0..length.min(FEW)).map(|_| entries[dice.roll(length)].address).collect();
        Self { region: Some(region), entries, peculiar }
    }

    /// Single hosts, each of them peculiar.
    pub(crate) fn of_hosts(hosts: &[&str]) -> Self {
        let entry = |host: &&str| Some(Entry { line: (*host).to_owned(), address: host.parse().ok()? });
        let entries: Vec<_> = hosts.iter().filter_map(entry).collect();
        Self { region: None, peculiar: entries.iter().map(|entry| entry.address).collect(), entries }
    }

    /// The same list, but for a few entries of each family.
    pub(crate) fn with_few_others(mut self, dice: &mut Dice) -> Self {
        let Some(region) = self.region else { return self };
        self.peculiar.clear();
        for _ in 0..FEW {
            let gone = self.entries.swap_remove(dice.roll(self.entries.len()));
            let new = [
                v4(dice, region, MOST_V4 + dice.clone().roll(500)),
                v6(dice, region, 60_000 + dice.clone().roll(500)),
            ];
            self.peculiar.extend(new.iter().map(|entry| entry.address).chain([gone.address]));
            self.entries.extend(new);
        }
        self
    }

    /// As a list file has it.
    pub(crate) fn lines(&self) -> String {
        self.entries.iter().map(|entry| format!("{}\n", entry.line)).collect()
    }
}

/// An entry within a block of 256 addresses: of 10.0.0.0/8 and the region the block with this number.
fn v4(dice: &mut Dice, region: Region, block: usize) -> Entry {
    let start = match region {
        Region::Trusted => 0x0a00_0000,
        Region::Blocked => 0x0a80_0000,
        // The networks of benchmarks (RFC 2544).
        Region::Others => 0xc612_0000,
    };
    let base = start + 256 * block as u32;
    let at = |offset: usize| Ipv4Addr::from(base + offset as u32);
    let (first, second) = (dice.roll(128), 128 + dice.roll(128));
    let line = match dice.roll(3) {
        0 => at(first).to_string(),
        1 => {
            let prefix = 25 + dice.roll(5);
            format!("{}/{prefix}", at(first >> (32 - prefix) << (32 - prefix)))
        }
        _ => format!("{}-{}", at(first), at(second)),
    };
    Entry { line, address: at(first).into() }
}

/// The same of IPv6, where a block is a /64.
fn v6(dice: &mut Dice, region: Region, block: usize) -> Entry {
    let region = match region {
        Region::Trusted => 0x1000,
        Region::Blocked => 0x1001,
        Region::Others => 0x1002,
    };
    let at = |offset: usize| Ipv6Addr::new(0x2001, 0xdb8, region, block as u16, 0, 0, 0, offset as u16);
    let (first, second) = (dice.roll(0x8000), 0x8000 + dice.roll(0x8000));
    let line = match dice.roll(3) {
        0 => at(first).to_string(),
        1 => {
            let prefix = 112 + dice.roll(9);
            format!("{}/{prefix}", at(first >> (128 - prefix) << (128 - prefix)))
        }
        _ => format!("{}-{}", at(first), at(second)),
    };
    Entry { line, address: at(first).into() }
}

/// Words as a TOML list has them.
pub(crate) fn joined(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
