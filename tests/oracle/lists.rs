//! Lists of addresses at random: hosts, networks and ranges of both families. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_lab::Dice;

/// How many blocks a region has for entries, and some more for those that differ.
const MOST_V4: usize = 24_000;
const MOST_V6: usize = 64_000;
/// The most entries that a list can have.
pub(crate) const MOST: usize = MOST_V4 + MOST_V6;
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
            let block = dice.roll(500);
            let new = [v4(dice, region, MOST_V4 + block), v6(dice, region, MOST_V6 + block)];
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

/// An entry within a block of 256 addresses: of those that a region has, the one with this number.
fn v4(dice: &mut Dice, region: Region, block: usize) -> Entry {
    let start = match region {
        Region::Trusted => 0x0a00_0000,
        Region::Blocked => 0x0a80_0000,
        // The networks of benchmarks (RFC 2544).
        Region::Others => 0xc612_0000,
    };
    entry(dice, 8, |offset| Ipv4Addr::from(start + 256 * block as u32 + offset as u32).into())
}

/// The same of IPv6, where a block is a /64, of which the lowest addresses are used.
fn v6(dice: &mut Dice, region: Region, block: usize) -> Entry {
    let region = match region {
        Region::Trusted => 0x1000,
        Region::Blocked => 0x1001,
        Region::Others => 0x1002,
    };
    entry(dice, 16, |offset| {
        Ipv6Addr::new(0x2001, 0xdb8, region, block as u16, 0, 0, 0, offset as u16).into()
    })
}

/// A host, a network or a range within a block of so many bits, of which `at` has the addresses.
fn entry(dice: &mut Dice, bits: usize, at: impl Fn(usize) -> IpAddr) -> Entry {
    let half = 1 << (bits - 1);
    let (first, last) = (dice.roll(half), half + dice.roll(half));
    let line = match dice.roll(3) {
        0 => at(first).to_string(),
        1 => {
            let host_bits = 1 + dice.roll(bits - 1);
            let width = if at(0).is_ipv4() { 32 } else { 128 };
            format!("{}/{}", at(first >> host_bits << host_bits), width - host_bits)
        }
        _ => format!("{}-{}", at(first), at(last)),
    };
    Entry { line, address: at(first) }
}

/// Words as a TOML list has them.
pub(crate) fn joined(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
