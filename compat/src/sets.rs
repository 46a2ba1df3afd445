//! Address lists as sets of ipset: `hash:net`, one for each family, each of them of a generation of its own.
//!
//! A set's name ends in a digest of its elements, so it shows what was to be loaded, without any record beside the
//! kernel's. Its contents are known by reading it.

use std::net::IpAddr;

use dockfw_policy::address::{Address, Family, Range};
use dockfw_policy::digest::Digest;
use dockfw_policy::ruleset::AddressList;
use dockfw_xtables::names::set_prefix;
use ipnetwork::IpNetwork;

use crate::wanted::Set;

/// The longest name of a set: IPSET_MAXNAMELEN (linux/netfilter/ipset/ip_set.h) without the closing NUL.
const MAX_NAME: usize = 31;
/// How much of a list's own name is kept: what a prefix of 8, a hyphen and the digest leave.
const MAX_TITLE: usize = MAX_NAME - 8 - 1 - Digest::LETTERS;
/// Returns the sets that a list of addresses becomes: one for each family that it has.
pub(crate) fn of_list(list: &AddressList) -> Vec<Set> {
    let title = list.name.as_str();
    let v4 = set(title, networks_of(list.addresses.v4()), Family::Ipv4);
    let v6 = set(title, networks_of(list.addresses.v6()), Family::Ipv6);
    [v4, v6].into_iter().flatten().collect()
}

fn set(title: &str, networks: Vec<IpNetwork>, family: Family) -> Option<Set> {
    let digest = digest(title, family, &networks);
    let kept: String = title.chars().take(MAX_TITLE).collect();
    let name = format!("{}{kept}-{digest}", set_prefix(family));
    (!networks.is_empty()).then(|| Set { name, title: title.into(), family, networks })
}

fn digest(title: &str, family: Family, networks: &[IpNetwork]) -> String {
    let mut content = [title.as_bytes(), set_prefix(family).as_bytes()].concat();
    for network in networks {
        match network.ip() {
            IpAddr::V4(address) => content.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => content.extend_from_slice(&address.octets()),
        }
        content.push(network.prefix());
    }
    Digest::of([content.as_slice()]).letters()
}

/// Returns the networks that together are the ranges.
pub(crate) fn networks_of<A: Address>(ranges: &[Range<A>]) -> Vec<IpNetwork> {
    let mut networks = Vec::with_capacity(ranges.len());
    for range in ranges {
        cut(range.first().to_number(), range.last().to_number(), A::BITS, |number, prefix| {
            networks.extend(IpNetwork::new(A::from_number(number).into(), prefix).ok());
        });
    }
    networks
}

/// Cuts a range into the fewest networks, none of them `/0`: `hash:net` can't hold that.
fn cut(mut first: u128, last: u128, bits: u8, mut found: impl FnMut(u128, u8)) {
    loop {
        let aligned = first.trailing_zeros().min(u32::from(bits) - 1);
        let fits = u128::BITS - 1 - (last - first).saturating_add(1).leading_zeros();
        let host_bits = aligned.min(fits);
        found(first, bits - host_bits as u8);
        match first.checked_add(1 << host_bits) {
            Some(next) if next <= last => first = next,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use dockfw_policy::address::{AddressRange, AddressSet};
    use dockfw_policy::ruleset::SetName;
    use dockfw_xtables::names::{filling_set, is_filling_set, is_own_set};
    use proptest::prelude::*;

    use super::*;

    fn networks(entries: &[&str]) -> Vec<String> {
        let set: AddressSet = entries.iter().map(|entry| entry.parse::<AddressRange>().unwrap()).collect();
        let networks = [networks_of(set.v4()), networks_of(set.v6())].concat();
        networks.iter().map(ToString::to_string).collect()
    }

    fn list(name: &str, entries: &[&str]) -> AddressList {
        let addresses = entries.iter().map(|entry| entry.parse::<AddressRange>().unwrap()).collect();
        AddressList { name: SetName::new(name).unwrap(), comment: String::new(), addresses }
    }

    #[test]
    fn ranges_become_networks_and_none_of_them_is_everything() {
        assert_eq!(networks(&["0.0.0.0/0", "::/0"]), ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]);
        assert_eq!(networks(&["10.0.0.1-10.0.0.4"]), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
        let last =
            networks(&["255.255.255.254-255.255.255.255", "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        assert_eq!(last, ["255.255.255.254/31", "ffff::/16"]);
    }

    #[test]
    fn names_change_with_the_elements_and_keep_to_the_limit() {
        let name = |list: &AddressList| of_list(list)[0].name.clone();
        let trusted = list("trusted", &["10.0.0.0/8"]);
        assert_eq!(name(&trusted), name(&trusted));
        assert_ne!(name(&trusted), name(&list("trusted", &["10.0.0.0/9"])));
        assert_ne!(name(&trusted), name(&list("blocked", &["10.0.0.0/8"])));
        let long = list("allow_postgres_for_the_o", &["10.0.0.0/8", "::1"]);
        for set in of_list(&long) {
            assert!(
                set.name.len() <= MAX_NAME && is_own_set(&set.name) && !is_filling_set(&set.name),
                "{}",
                set.name
            );
            let filling = filling_set(&set.name, set.family);
            assert!(
                filling.len() <= MAX_NAME && is_own_set(&filling) && is_filling_set(&filling),
                "{filling}"
            );
        }
        assert!(!is_own_set("dockfw4-trusted") && !is_own_set("f2b-sshd") && !is_own_set("dockfw"));
    }

    proptest! {
        #[test]
        fn the_networks_are_the_range(first: u32, last: u32) {
            let (first, last) = (first.min(last), first.max(last));
            let range = Range::new(std::net::Ipv4Addr::from(first), std::net::Ipv4Addr::from(last)).unwrap();
            let mut next = u64::from(first);
            for network in networks_of(&[range]) {
                let IpAddr::V4(address) = network.ip() else { panic!("{network}") };
                prop_assert_eq!(u64::from(u32::from(address)), next);
                next += 1 << (32 - network.prefix());
            }
            prop_assert_eq!(next, u64::from(last) + 1);
        }
    }
}
