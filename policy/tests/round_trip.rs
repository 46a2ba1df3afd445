//! What shows as text reads back as the same, and no input makes the crate panic.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::Memory;
use dockfw_policy::address::{AddressError, AddressRange, Range};
use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::{Rate, RateUnit};
use dockfw_policy::service::{PortRange, Service, Transport};
use proptest::collection::vec;
use proptest::prelude::*;

fn v4_range() -> impl Strategy<Value = AddressRange> {
    let span = any::<(u32, u32)>().prop_map(|(a, b)| {
        let (first, last) = (Ipv4Addr::from(a.min(b)), Ipv4Addr::from(a.max(b)));
        Range::new(first, last).unwrap()
    });
    let network =
        (any::<u32>(), 0..=32u8).prop_map(|(a, prefix)| Range::network_of(Ipv4Addr::from(a), prefix));
    prop_oneof![span, network].prop_map(AddressRange::V4)
}

fn v6_range() -> impl Strategy<Value = AddressRange> {
    // The upper half, where no address is an IPv4-mapped one, which can't be typed.
    let address = || any::<u128>().prop_map(|number| Ipv6Addr::from(number | 1 << 127));
    let span = (address(), address()).prop_map(|(a, b)| Range::new(a.min(b), a.max(b)).unwrap());
    let network = (address(), 1..=128u8).prop_map(|(a, prefix)| Range::network_of(a, prefix));
    prop_oneof![span, network].prop_map(AddressRange::V6)
}

fn service() -> impl Strategy<Value = Service> {
    let transport = prop::sample::select(&Transport::ALL[..]);
    let ports = (transport, 1..=u16::MAX, 1..=u16::MAX)
        .prop_map(|(t, a, b)| Service::Ports(t, PortRange::new(a.min(b), a.max(b)).unwrap()));
    let has_ports = |number: u8| Transport::ALL.iter().any(|transport| transport.number() == number);
    let protocol = any::<u8>().prop_filter("has ports", move |number| !has_ports(*number));
    prop_oneof![ports, protocol.prop_map(Service::Protocol)]
}

fn rate() -> impl Strategy<Value = Rate> {
    let unit = prop::sample::select(&RateUnit::ALL[..]);
    (1..=Rate::MAX, unit).prop_map(|(count, unit)| Rate::new(count, unit).unwrap())
}

/// Bytes that look like a policy here and there.
fn near_policy() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "trusted",
        "blocked",
        "[groups]\n",
        "[[allow]]\n",
        "[interfaces]\n",
        "[icmp]\n",
        "[swarm]\n",
        "[log]\n",
        "[engine]\n",
        "name",
        "from",
        "ports",
        "to",
        "filtered",
        "docker",
        "echo",
        "peers",
        "rate",
        "a",
        " = ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'''",
        "\n",
        "\r\n",
        "\"a\"",
        "\"80/tcp\"",
        "\"10.0.0.1/8\"",
        "\"::/0\"",
        "\"file:list.txt\"",
        "\"containers\"",
        "1",
        "1.5",
        "true",
        "1979-05-27",
        "#",
        "\u{feff}",
        "\u{1b}",
        "\u{e4}",
        "\u{202e}",
        "\\u0007",
        "\"0.0.0.0-1.1.1.1\"",
        ".",
    ];
    let word = prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    vec(prop_oneof![9 => word, 1 => byte], 0..60).prop_map(|parts| parts.concat())
}

fn near_list() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] =
        &["10.0.0.1", "::1", "/", "8", "-", "\n", "\r\n", "#", " ", "\u{feff}", "\0", "1", "ffff", ":", "."];
    let word = prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    vec(prop_oneof![9 => word, 1 => byte], 0..60).prop_map(|parts| parts.concat())
}

/// Loads files and has everything shown that is to be said of them.
fn survives(files: &Memory) {
    let report = match files.load() {
        Ok(loaded) => loaded.warnings,
        Err(rejected) => rejected.errors,
    };
    let shown = report.render(false);
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    report.render(true);
}

proptest! {
    #[test]
    fn addresses_read_back(range in prop_oneof![v4_range(), v6_range()]) {
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }

    #[test]
    fn single_addresses_read_back(address: IpAddr) {
        let expected = match address.to_canonical() {
            IpAddr::V4(ipv4) if address.is_ipv6() => Err(AddressError::Mapped { ipv4 }),
            _ => Ok(AddressRange::single(address)),
        };
        prop_assert_eq!(address.to_string().parse(), expected);
    }

    #[test]
    fn services_read_back(service in service()) {
        prop_assert_eq!(service.to_string().parse(), Ok(service));
    }

    #[test]
    fn patterns_of_interfaces_read_back(text in "[a-zA-Z0-9._@-]{1,15}\\*?|\\*") {
        let pattern: IfPattern = text.parse().unwrap();
        prop_assert_eq!(pattern.to_string(), text);
    }

    #[test]
    fn rates_read_back(rate in rate()) {
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = text.parse::<AddressRange>();
        let _ = text.parse::<Service>();
        let _ = text.parse::<IfPattern>();
        let _ = text.parse::<Rate>();
    }

    #[test]
    fn no_policy_file_makes_it_panic(bytes in prop_oneof![vec(any::<u8>(), 0..300), near_policy()]) {
        survives(&Memory::main(bytes));
    }

    #[test]
    fn no_list_file_makes_it_panic(bytes in prop_oneof![vec(any::<u8>(), 0..300), near_list()]) {
        survives(&Memory::of(&[("dockfw.toml", b"trusted = [\"file:l\"]".to_vec()), ("l", bytes)]));
    }
}
