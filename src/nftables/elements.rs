//! Elements of sets: as flat records of key and kind, for comparisons, and as netlink attributes.
//!
//! libnftnl would allocate each element several times over; a set may have hundreds of thousands.

use dockfw_policy::address::{Address, Range};
use dockfw_policy::interface::IfPattern;
use dockfw_policy::nft::{Elements, Set};
use dockfw_policy::service::PortRange;

use nix::libc;

use super::encode::{NAME_WIDTH, padded};
use crate::netlink::attributes::{Attributes, NESTED, align, put, put_number, put_text};
use crate::netlink::uapi::element;
use crate::netlink::uapi::expression::{data, verdict};

/// The maximum size of the elements in one message. An attribute's head has a `u16` for their length.
const MAX_MESSAGE: usize = 60_000;

/// The start of an interval, or the only value of an element.
const START: u8 = 1;
/// The end of an interval, which is not part of it. It is lower than a start, so that it sorts before a start of the
/// same key: the order of adjacent intervals.
const END: u8 = 0;

/// The room for the name of a chain in a record; dockfw's are shorter, and those of others are none of ours.
const CHAIN_WIDTH: usize = 32;

/// The elements of a set in order, each a record of the key's bytes, one byte for `START` or `END`, and in a map the
/// name of the chain that a start jumps to, with zeros up to `CHAIN_WIDTH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    key_length: usize,
    chain_width: usize,
    records: Vec<u8>,
}

/// An element: its first value and its last one, and in a map the chain that it jumps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element<'a> {
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) chain: &'a [u8],
}

/// The error for a set that is not declared as one of intervals, but has an element with more than one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an element is more than one value, but the set is not one of intervals")]
pub(crate) struct NotSingle;

impl Keys {
    /// Returns the elements of a wanted set.
    pub(crate) fn of(set: &Set) -> Result<Self, NotSingle> {
        let mut keys = Self::new(key_length(&set.elements), matches!(set.elements, Elements::Jumps(_)));
        match &set.elements {
            Elements::Ipv4(ranges) => keys.add_addresses(ranges, set.interval)?,
            Elements::Ipv6(ranges) => keys.add_addresses(ranges, set.interval)?,
            Elements::Ports(ranges) => {
                ranges.iter().try_for_each(|range| keys.add_ports(*range, set.interval, ""))?
            }
            Elements::Interfaces(patterns) => {
                patterns.iter().try_for_each(|pattern| keys.add_interfaces(pattern, set.interval))?;
                keys.sort();
            }
            Elements::Jumps(jumps) => {
                jumps.iter().try_for_each(|(range, chain)| keys.add_ports(*range, set.interval, chain))?;
            }
        }
        Ok(keys)
    }

    /// Returns an empty list of elements, with keys of this length. `is_map`: of elements that jump to chains.
    pub(crate) fn new(key_length: usize, is_map: bool) -> Self {
        Self { key_length, chain_width: if is_map { CHAIN_WIDTH } else { 0 }, records: Vec::new() }
    }

    fn add_addresses<A: Address>(&mut self, ranges: &[Range<A>], interval: bool) -> Result<(), NotSingle> {
        self.records.reserve(ranges.len() * (self.key_length + 1) * if interval { 2 } else { 1 });
        let all_ones = A::from_number(u128::MAX).to_number();
        ranges.iter().try_for_each(|range| {
            self.add_range((range.first().to_number(), range.last().to_number()), all_ones, interval, &[])
        })
    }

    /// Adds a range of ports, and in a map the chain that it jumps to.
    fn add_ports(&mut self, range: PortRange, interval: bool, chain: &str) -> Result<(), NotSingle> {
        let (first, last) = (range.first().into(), range.last().into());
        self.add_range((first, last), u16::MAX.into(), interval, chain.as_bytes())
    }

    /// Adds names, read as numbers of 16 bytes. The interval of a prefix ends before the next prefix of the same length.
    fn add_interfaces(&mut self, pattern: &IfPattern, interval: bool) -> Result<(), NotSingle> {
        let (IfPattern::Name(name) | IfPattern::Prefix(name)) = pattern;
        let free_bytes = match pattern {
            IfPattern::Name(_) => 0,
            IfPattern::Prefix(prefix) => NAME_WIDTH.saturating_sub(prefix.len()) as u32,
        };
        let first = u128::from_be_bytes(padded(name));
        let free_bits = u128::MAX.checked_shr(128 - free_bytes * 8).unwrap_or(0);
        self.add_range((first, first | free_bits), u128::MAX, interval, &[])
    }

    /// Adds a range, which includes both ends. `top` is the highest value of all, behind which there is no end.
    fn add_range(
        &mut self,
        (first, last): (u128, u128),
        top: u128,
        interval: bool,
        chain: &[u8],
    ) -> Result<(), NotSingle> {
        if !interval && first != last {
            return Err(NotSingle);
        }
        self.add(first, START, chain);
        if interval && last != top {
            self.add(last + 1, END, &[]);
        }
        Ok(())
    }

    fn add(&mut self, key: u128, kind: u8, chain: &[u8]) {
        let bytes = key.to_be_bytes();
        self.add_record(bytes.get(bytes.len() - self.key_length..).unwrap_or_default(), kind, chain);
    }

    fn add_record(&mut self, key: &[u8], kind: u8, chain: &[u8]) {
        self.records.extend_from_slice(key);
        self.records.push(kind);
        self.records.extend(chain.iter().copied().chain(std::iter::repeat(0)).take(self.chain_width));
    }

    fn record_length(&self) -> usize {
        self.key_length + 1 + self.chain_width
    }

    fn records(&self) -> std::slice::ChunksExact<'_, u8> {
        self.records.chunks_exact(self.record_length())
    }

    /// Sorts the records: the kernel lists them in any order.
    pub(crate) fn sort(&mut self) {
        let mut records: Vec<_> = self.records().collect();
        records.sort_unstable();
        self.records = records.concat();
    }

    /// Returns the number of elements; an interval counts twice, once for each end.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records().len()
    }

    /// Returns the elements. `interval`: whether the set is one of intervals.
    pub(crate) fn elements(&self, interval: bool) -> impl Iterator<Item = Element<'_>> {
        let top = u128::MAX.checked_shr(128 - 8 * self.key_length as u32).unwrap_or(0);
        let mut records = self.records().map(|record| self.read_record(record)).peekable();
        std::iter::from_fn(move || {
            // The end of an interval without a start is none of ours.
            let (first, _, chain) = records.find(|(_, kind, _)| *kind == START)?;
            let behind = records.peek().map(|(behind, ..)| *behind);
            let last = if interval { behind.map_or(top, |behind| behind.saturating_sub(1)) } else { first };
            Some(Element { first, last, chain })
        })
    }

    /// Returns a record's key, its kind, and the name of a chain without the zeros behind it.
    fn read_record<'a>(&self, record: &'a [u8]) -> (u128, u8, &'a [u8]) {
        let (key, rest) = record.split_at_checked(self.key_length).unwrap_or_default();
        let (kind, chain) = rest.split_first().unwrap_or((&END, &[]));
        let chain = chain.split(|byte| *byte == 0).next().unwrap_or_default();
        (key.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)), *kind, chain)
    }

    /// Returns how many lists of elements there are, if each has to fit one message.
    pub(crate) fn lists(&self) -> usize {
        self.records.len().div_ceil(self.list_length())
    }

    /// Returns the list of this number, from 0, as netlink attributes.
    pub(crate) fn list(&self, number: usize) -> Vec<u8> {
        let records = self.records.chunks(self.list_length()).nth(number);
        self.attributes(records.unwrap_or_default())
    }

    /// Returns how many bytes of records fit one message.
    fn list_length(&self) -> usize {
        // Heads of three attributes and the key; for an end also its flag. For a jump: heads of the data, the verdict and the
        // chain's name, and the verdict's code.
        let jump = if self.chain_width == 0 { 0 } else { 4 + 4 + 4 + align(self.chain_width + 1) + 8 };
        let largest = 4 + 4 + 4 + align(self.key_length) + 8.max(jump);
        MAX_MESSAGE / largest * self.record_length()
    }

    fn attributes(&self, records: &[u8]) -> Vec<u8> {
        if self.chain_width != 0 {
            return self.jump_attributes(records);
        }
        let mut list = Vec::with_capacity(MAX_MESSAGE);
        let heads = [heads(self.key_length, END), heads(self.key_length, START)];
        let [end_heads, start_heads] = &heads;
        for record in records.chunks_exact(self.key_length + 1) {
            let (key, kind) = record.split_at(self.key_length);
            let is_end = kind == [END];
            list.extend_from_slice(if is_end { end_heads } else { start_heads });
            list.extend_from_slice(key);
            list.resize(align(list.len()), 0);
            if is_end {
                put_number(&mut list, element::FLAGS, element::FLAG_INTERVAL_END);
            }
        }
        list
    }

    /// Returns the same for a map, which has few elements.
    fn jump_attributes(&self, records: &[u8]) -> Vec<u8> {
        let mut list = Vec::with_capacity(MAX_MESSAGE);
        for record in records.chunks_exact(self.record_length()) {
            let (_, kind, chain) = self.read_record(record);
            let mut item = Vec::new();
            let mut key = Vec::new();
            put(&mut key, element::VALUE, record.get(..self.key_length).unwrap_or_default());
            put(&mut item, element::KEY | NESTED, &key);
            match kind {
                END => put_number(&mut item, element::FLAGS, element::FLAG_INTERVAL_END),
                _ => put(&mut item, element::DATA | NESTED, &jump(chain)),
            }
            put(&mut list, element::LIST_ITEM | NESTED, &item);
        }
        list
    }

    /// Adds the elements of a list from the kernel. Returns whether all of them were of our kind: a key of the right
    /// length, no lifetime, and in a map a jump.
    pub(crate) fn add_list(&mut self, list: &[u8]) -> bool {
        Attributes(list).all(|item| self.add_element(Attributes(item.value)).is_some())
    }

    fn add_element(&mut self, attributes: Attributes<'_>) -> Option<()> {
        let key = Attributes(attributes.value(element::KEY)).value(element::VALUE);
        let kind = match attributes.number(element::FLAGS).unwrap_or(0) {
            0 => START,
            element::FLAG_INTERVAL_END => END,
            _ => return None,
        };
        if key.len() != self.key_length || attributes.find(element::TIMEOUT).is_some() {
            return None;
        }
        let leads_on = self.chain_width != 0 && kind == START;
        let chain = if leads_on { target(attributes)? } else { &[] };
        self.add_record(key, kind, chain);
        Some(())
    }
}

/// Returns a jump to a chain as an element's data.
fn jump(chain: &[u8]) -> Vec<u8> {
    let (mut verdict, mut data) = (Vec::new(), Vec::new());
    put_number(&mut verdict, verdict::CODE, libc::NFT_JUMP.cast_unsigned());
    put_text(&mut verdict, verdict::CHAIN, chain);
    put(&mut data, data::VERDICT | NESTED, &verdict);
    data
}

/// Returns the chain that an element jumps to, if it does that.
fn target(element: Attributes<'_>) -> Option<&[u8]> {
    let verdict = Attributes(Attributes(element.value(element::DATA)).value(data::VERDICT));
    let jumps = verdict.number(verdict::CODE) == Some(libc::NFT_JUMP.cast_unsigned());
    let chain = verdict.find(verdict::CHAIN)?.text();
    (jumps && chain.len() <= CHAIN_WIDTH).then_some(chain)
}

/// Returns all of an element's attributes before its key: they are the same for every element of a kind.
fn heads(key_length: usize, kind: u8) -> Vec<u8> {
    let (mut value, mut key, mut item) = (Vec::new(), Vec::new(), Vec::new());
    put(&mut value, element::VALUE, &vec![0; key_length]);
    put(&mut key, element::KEY | NESTED, &value);
    if kind == END {
        put_number(&mut key, element::FLAGS, element::FLAG_INTERVAL_END);
    }
    put(&mut item, element::LIST_ITEM | NESTED, &key);
    // The heads of the item, of its key, and of the key's value.
    item.truncate(4 + 4 + 4);
    item
}

/// Returns the length of a set's keys.
pub(crate) fn key_length(elements: &Elements) -> usize {
    match elements {
        Elements::Ipv4(_) => 4,
        Elements::Ipv6(_) => 16,
        Elements::Ports(_) | Elements::Jumps(_) => 2,
        Elements::Interfaces(_) => NAME_WIDTH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(elements: Elements, interval: bool) -> Result<Keys, NotSingle> {
        Keys::of(&Set { name: "s".into(), list: None, elements, interval, comment: String::new() })
    }

    fn v4(first: [u8; 4], last: [u8; 4]) -> Range<std::net::Ipv4Addr> {
        Range::new(first.into(), last.into()).unwrap()
    }

    #[test]
    fn an_interval_has_an_end_behind_it_unless_it_goes_to_the_top() {
        let ranges = vec![v4([10, 0, 0, 0], [10, 0, 0, 255]), v4([240, 0, 0, 0], [255; 4])];
        let keys = keys(Elements::Ipv4(ranges), true).unwrap();
        assert_eq!(keys.records, [10, 0, 0, 0, START, 10, 0, 1, 0, END, 240, 0, 0, 0, START]);
    }

    #[test]
    fn elements_are_read_off_the_records() {
        let ranges = vec![
            v4([10, 0, 0, 0], [10, 0, 0, 7]),
            v4([10, 0, 0, 8], [10, 0, 0, 15]),
            v4([240, 0, 0, 0], [255; 4]),
        ];
        let numbers =
            |range: &Range<std::net::Ipv4Addr>| (range.first().to_number(), range.last().to_number());
        let expected: Vec<_> = ranges.iter().map(numbers).collect();
        let ends = |element: Element<'_>| (element.first, element.last);
        let intervals = keys(Elements::Ipv4(ranges), true).unwrap();
        assert_eq!(intervals.elements(true).map(ends).collect::<Vec<_>>(), expected);
        let hosts = keys(Elements::Ipv4(vec![v4([1; 4], [1; 4]), v4([255; 4], [255; 4])]), false).unwrap();
        assert_eq!(
            hosts.elements(false).map(ends).collect::<Vec<_>>(),
            [(0x0101_0101, 0x0101_0101), (0xffff_ffff, 0xffff_ffff)]
        );
    }

    #[test]
    fn a_map_leads_from_each_range_to_a_chain() {
        let jump = |first, last, chain: &str| (PortRange::new(first, last).unwrap(), chain.to_owned());
        let jumps = vec![jump(80, 89, "a"), jump(90, 90, "b"), jump(443, 500, "a"), jump(65000, 65535, "c")];
        let keys = keys(Elements::Jumps(jumps.clone()), true).unwrap();
        let named = |element: Element<'_>| {
            jump(element.first as u16, element.last as u16, str::from_utf8(element.chain).unwrap())
        };
        assert_eq!(keys.elements(true).map(named).collect::<Vec<_>>(), jumps);
        let mut read = Keys::new(2, true);
        assert!(read.add_list(&keys.list(0)));
        assert_eq!(read, keys);
    }

    #[test]
    fn a_range_is_no_element_of_a_hash_set() {
        let keys = keys(Elements::Ipv4(vec![v4([1, 2, 3, 4], [1, 2, 3, 5])]), false);
        assert_eq!(keys, Err(NotSingle));
    }

    #[test]
    fn a_prefix_of_names_ends_before_the_next_prefix() {
        let patterns = vec![IfPattern::Name("lo".into()), IfPattern::Prefix("br-".into())];
        let keys = keys(Elements::Interfaces(patterns), true).unwrap();
        let ends: Vec<_> = keys.records().map(|record| record.to_vec()).collect();
        let mut after_lo = padded("lo").to_vec();
        after_lo[15] = 1;
        let record = |key: &[u8], kind| [key, &[kind]].concat();
        let expected = [
            record(&padded("br-"), START),
            record(&padded("br."), END),
            record(&padded("lo"), START),
            record(&after_lo, END),
        ];
        assert_eq!(ends, expected);
    }

    #[test]
    fn every_name_goes_from_zero_to_the_top() {
        let keys = keys(Elements::Interfaces(vec![IfPattern::Prefix(String::new())]), true).unwrap();
        assert_eq!(keys.records, [[0; NAME_WIDTH].as_slice(), &[START]].concat());
    }

    #[test]
    fn lists_fit_a_message_and_read_back() {
        let ranges: Vec<_> = (0..20_000).map(|n| Range::single((n * 2).into())).collect();
        let keys = keys(Elements::Ipv4(ranges), true).unwrap();
        let mut read = Keys::new(4, false);
        for list in (0..keys.lists()).map(|number| keys.list(number)) {
            assert!(list.len() < usize::from(u16::MAX), "{}", list.len());
            assert!(read.add_list(&list));
        }
        assert_eq!((keys.len(), read), (40_000, keys));
    }

    #[test]
    fn touching_intervals_sort_into_the_order_in_which_they_are_made() {
        let ranges = vec![v4([10, 0, 0, 0], [10, 0, 0, 7]), v4([10, 0, 0, 8], [10, 0, 0, 15])];
        let keys = keys(Elements::Ipv4(ranges), true).unwrap();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(sorted, keys);
    }

    #[test]
    fn an_element_with_a_lifetime_is_not_ours() {
        let list = keys(Elements::Ipv4(vec![v4([1; 4], [1; 4])]), false).unwrap().list(0);
        let mut item = Attributes(&list).next().unwrap().value.to_vec();
        put(&mut item, element::TIMEOUT, &[0; 8]);
        let mut changed = Vec::new();
        put(&mut changed, element::LIST_ITEM, &item);
        assert!(Keys::new(4, false).add_list(&list) && !Keys::new(4, false).add_list(&changed));
    }
}
