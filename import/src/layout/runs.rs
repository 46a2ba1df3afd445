//! Long runs of single addresses, combined into the networks that they were.
//!
//! A set of `hash:ip` makes 256 elements of a network of 256 addresses, and `ipset save` prints them one by one.

use std::net::Ipv4Addr;

use dockfw_policy::address::{AddressRange, Range};

use crate::findings::{Place, Placed};

/// The length of a run that nobody has typed: a network of 28 bits.
const LONG: u32 = 16;

/// Combines each long run of single addresses into one entry, after the others.
pub(crate) fn join(entries: &mut Vec<Placed<AddressRange>>) {
    let mut singles: Vec<(Ipv4Addr, &Place)> =
        entries.iter().filter_map(|entry| Some((single(&entry.value)?, &entry.place))).collect();
    singles.sort_by_key(|(address, _)| *address);
    let follows =
        |a: &(Ipv4Addr, &Place), b: &(Ipv4Addr, &Place)| b.0.to_bits().wrapping_sub(a.0.to_bits()) <= 1;
    let runs = singles.chunk_by(follows).filter_map(|run| {
        let ((first, place), (last, _)) = (run.first()?, run.last()?);
        let is_long = last.to_bits() - first.to_bits() >= LONG - 1;
        is_long.then(|| Range::new(*first, *last).map(|range| Placed::new(range, place)))?
    });
    let runs: Vec<Placed<Range<Ipv4Addr>>> = runs.collect();
    let is_in_run = |address| runs.binary_search_by(|run| compare(&run.value, address)).is_ok();
    entries.retain(|entry| !single(&entry.value).is_some_and(is_in_run));
    entries
        .extend(runs.into_iter().map(|run| Placed { value: AddressRange::V4(run.value), place: run.place }));
}

fn single(range: &AddressRange) -> Option<Ipv4Addr> {
    match range {
        AddressRange::V4(range) if range.is_single() => Some(range.first()),
        _ => None,
    }
}

/// Returns where a run lies, relative to an address.
fn compare(run: &Range<Ipv4Addr>, address: Ipv4Addr) -> std::cmp::Ordering {
    if run.contains(address) { std::cmp::Ordering::Equal } else { run.first().cmp(&address) }
}

#[cfg(test)]
mod tests {
    use dockfw_policy::address::AddressSet;
    use proptest::prelude::*;

    use super::*;

    fn placed(entries: &[&str]) -> Vec<Placed<AddressRange>> {
        let place = Place::default_of_role();
        entries.iter().map(|entry| Placed::new(entry.parse().unwrap(), &place)).collect()
    }

    fn joined(entries: &[&str]) -> Vec<String> {
        let mut entries = placed(entries);
        join(&mut entries);
        entries.iter().map(|entry| entry.value.to_string()).collect()
    }

    #[test]
    fn long_runs_are_networks_again() {
        let run: Vec<_> = (0..256).rev().map(|n| format!("10.0.1.{n}")).collect();
        let mut entries: Vec<_> = run.iter().map(String::as_str).collect();
        entries.extend(["10.0.3.1", "10.0.3.2", "10.0.0.0/24", "::1"]);
        assert_eq!(joined(&entries), ["10.0.3.1", "10.0.3.2", "10.0.0.0/24", "::1", "10.0.1.0/24"]);
        assert_eq!(joined(&["0.0.0.0", "255.255.255.255"]), ["0.0.0.0", "255.255.255.255"]);
        assert_eq!(joined(&[]), [""; 0]);
    }

    proptest! {
        #[test]
        fn the_same_addresses_are_meant(numbers in prop::collection::vec(0_u32..300, 0..300)) {
            let entries: Vec<_> = numbers.iter().map(|n| Ipv4Addr::from_bits(*n).to_string()).collect();
            let entries: Vec<_> = entries.iter().map(String::as_str).collect();
            let all = |entries: &[Placed<AddressRange>]| {
                let set: AddressSet = entries.iter().map(|entry| entry.value).collect();
                (0..400).filter(|n| set.contains(Ipv4Addr::from_bits(*n).into())).collect::<Vec<_>>()
            };
            let before = placed(&entries);
            let mut after = before.clone();
            join(&mut after);
            prop_assert_eq!(all(&before), all(&after));
        }
    }
}
