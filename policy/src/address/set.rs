//! Sets of addresses.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use serde::Serialize;

use super::{Address, AddressRange, Family, Range};

/// Addresses of both families: ranges in order, without overlaps. There may be a million of them: clones share them, and
/// are equal without a look at each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AddressSet {
    v4: Arc<[Range<Ipv4Addr>]>,
    v6: Arc<[Range<Ipv6Addr>]>,
}

impl AddressSet {
    /// Returns the IPv4 ranges.
    pub fn v4(&self) -> &[Range<Ipv4Addr>] {
        &self.v4
    }

    /// Returns the IPv6 ranges.
    pub fn v6(&self) -> &[Range<Ipv6Addr>] {
        &self.v6
    }

    /// Returns whether the set holds no address.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Returns the number of ranges of both families.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Returns whether `address` is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => range_at(&self.v4, address).is_some(),
            IpAddr::V6(address) => range_at(&self.v6, address).is_some(),
        }
    }

    /// Returns the first range of the set that shares an address with `range`.
    pub fn first_overlap(&self, range: &AddressRange) -> Option<AddressRange> {
        match range {
            AddressRange::V4(range) => first_overlap(&self.v4, range).map(AddressRange::V4),
            AddressRange::V6(range) => first_overlap(&self.v6, range).map(AddressRange::V6),
        }
    }

    /// Returns the addresses of all of these sets.
    pub fn joined<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let sets: Vec<_> = sets.into_iter().collect();
        match sets.as_slice() {
            [only] => (*only).clone(),
            _ => sets.into_iter().flat_map(Self::ranges).collect(),
        }
    }

    /// Returns whether the two sets share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (few, many) = if self.len() < other.len() { (self, other) } else { (other, self) };
        few.ranges().any(|range| many.first_overlap(&range).is_some())
    }

    /// Returns the addresses of one family.
    pub fn of_family(&self, family: Family) -> Self {
        match family {
            Family::Ipv4 => Self { v4: self.v4.clone(), ..Self::default() },
            Family::Ipv6 => Self { v6: self.v6.clone(), ..Self::default() },
        }
    }

    /// Returns the network that the set is, if it is exactly one, and not all addresses of a family.
    pub fn only_network(&self) -> Option<IpNetwork> {
        let range = self.ranges().next().filter(|_| self.len() == 1)?;
        let first = match range {
            AddressRange::V4(range) => IpAddr::from(range.first()),
            AddressRange::V6(range) => range.first().into(),
        };
        let prefix = range.prefix().filter(|prefix| *prefix > 0)?;
        IpNetwork::new(first, prefix).ok()
    }

    /// Returns all ranges, IPv4 first.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let v4 = self.v4.iter().copied().map(AddressRange::V4);
        v4.chain(self.v6.iter().copied().map(AddressRange::V6))
    }
}

/// The numbers of ranges and the outermost of them: sets that differ often differ in these.
impl Hash for AddressSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.v4.len(), self.v4.first(), self.v4.last()).hash(state);
        (self.v6.len(), self.v6.first(), self.v6.last()).hash(state);
    }
}

impl FromIterator<AddressRange> for AddressSet {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                AddressRange::V4(range) => v4.push(range),
                AddressRange::V6(range) => v6.push(range),
            }
        }
        Self { v4: merge(v4), v6: merge(v6) }
    }
}

/// Sorts the ranges and joins those that overlap. Adjacent ranges stay apart: two neighbouring hosts are two entries of
/// a hash set, whose look-ups are faster than those of one network in an interval set.
fn merge<A: Address>(mut ranges: Vec<Range<A>>) -> Arc<[Range<A>]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.first <= kept.last;
        if overlap {
            kept.last = kept.last.max(next.last);
        }
        overlap
    });
    ranges.into()
}

/// Returns the range of a sorted, merged list that holds `address`.
fn range_at<A: Address>(ranges: &[Range<A>], address: A) -> Option<&Range<A>> {
    let after = ranges.partition_point(|range| range.first <= address);
    ranges.get(..after)?.last().filter(|range| range.contains(address))
}

fn first_overlap<A: Address>(ranges: &[Range<A>], range: &Range<A>) -> Option<Range<A>> {
    let from = ranges.partition_point(|candidate| candidate.last < range.first);
    ranges.get(from).copied().filter(|candidate| candidate.overlaps(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> AddressSet {
        entries.iter().map(|entry| entry.parse::<AddressRange>().unwrap()).collect()
    }

    fn shown(set: &AddressSet) -> Vec<String> {
        set.ranges().map(|range| range.to_string()).collect()
    }

    #[test]
    fn overlaps_and_duplicates_are_merged_and_neighbours_are_not() {
        let merged = set(&["10.0.0.5", "10.0.0.0/30", "10.0.0.2-10.0.0.9", "10.0.0.5", "10.0.0.10", "::1"]);
        assert_eq!(shown(&merged), ["10.0.0.0-10.0.0.9", "10.0.0.10", "::1"]);
    }

    #[test]
    fn membership_is_found_at_both_edges() {
        let set = set(&["10.0.0.0/24", "10.0.2.7", "2001:db8::/32"]);
        for inside in ["10.0.0.0", "10.0.0.255", "10.0.2.7", "2001:db8:ffff::"] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["9.255.255.255", "10.0.1.0", "10.0.2.8", "2001:db9::"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
        let overlap = set.first_overlap(&"10.0.0.128-10.0.3.0".parse().unwrap());
        assert_eq!(overlap.map(|range| range.to_string()), Some("10.0.0.0/24".into()));
    }
}
