//! Parses the words of a rule.

use std::net::IpAddr;

use dockfw_policy::service::Transport;
use ipnetwork::IpNetwork;

use super::condition::{Condition, Negatable, SYN};
use crate::host::routes::AddressType;

/// IANA's numbers of protocols without ports, by the names that iptables has for them.
const PROTOCOLS: [(&str, u8); 12] = [
    ("ah", 51),
    ("dccp", 33),
    ("esp", 50),
    ("gre", 47),
    ("icmp", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("pim", 103),
    ("udplite", 136),
    ("vrrp", 112),
];
/// Options before the target.
const TARGET: [&str; 2] = ["-j", "-g"];
/// Options with one value, which may be any string, such as `-j`.
const TEXTS: [&str; 6] = ["--comment", "--string", "--hex-string", "--name", "--bytecode", "--label"];
/// Matches that ask for nothing by themselves: their options do, or `-p` before them.
const BARE: [&str; 16] = [
    "addrtype",
    "comment",
    "connmark",
    "conntrack",
    "icmp",
    "icmp6",
    "icmpv6",
    "iprange",
    "mark",
    "multiport",
    "pkttype",
    "policy",
    "set",
    "state",
    "tcp",
    "udp",
];

/// Returns the conditions in these words, and the words of the target behind them.
pub(super) fn parse<'a>(words: &'a [&'a str]) -> (Vec<Negatable>, &'a [&'a str]) {
    let mut rest = words;
    let mut found = Found { conditions: Vec::new(), of: "" };
    while let Some((word, behind)) = rest.split_first() {
        if TARGET.contains(word) {
            break;
        }
        let is_negated = *word == "!";
        let (option, behind) = match behind.split_first() {
            Some((option, behind)) if is_negated => (*option, behind),
            _ => (*word, behind),
        };
        let is_option = |word: &&str| *word == "!" || word.starts_with('-');
        let end = if TEXTS.contains(&option) {
            1
        } else {
            behind.iter().position(is_option).unwrap_or(behind.len())
        };
        let (values, others) = behind.split_at_checked(end).unwrap_or((behind, &[]));
        rest = others;
        found.add(option, values, is_negated);
    }
    // The condition in which rules differ most is asked first.
    found.conditions.sort_by_key(|asked| !matches!(asked.condition, Condition::DestinationPort(_)));
    (found.conditions, rest)
}

struct Found<'a> {
    conditions: Vec<Negatable>,
    /// The match that options belong to.
    of: &'a str,
}

impl<'a> Found<'a> {
    fn add(&mut self, option: &str, values: &[&'a str], is_negated: bool) {
        let condition = match (self.of, option, values) {
            (_, "-m" | "--match", [name]) => {
                self.of = name;
                bare(name)
            }
            ("rpfilter", "--invert", []) => {
                let mut last = self.conditions.iter_mut().rev();
                let last = last.find(|asked| matches!(asked.condition, Condition::HasWayBack));
                last.into_iter().for_each(|asked| asked.is_negated = true);
                None
            }
            // Routes may depend on marks.
            ("rpfilter", "--validmark", []) => Some(Condition::Mark { value: 0, mask: u32::MAX }),
            // A packet that passes the strict check passes the loose one too; for others it is unknown anyway.
            ("rpfilter", "--loose" | "--accept-local", []) | ("comment", "--comment", [_]) => None,
            ("policy", "--dir", ["in"]) => None,
            ("policy", "--dir", _) => {
                // Whether the packet will be encrypted on its way out is unknown, whatever else is asked.
                self.of = "";
                Some(Condition::Unknown)
            }
            (of, option, values) => Some(condition(of, option, values).unwrap_or(Condition::Unknown)),
        };
        self.conditions.extend(condition.map(|condition| Negatable { is_negated, condition }));
    }
}

/// Returns what a match asks for without options: nothing, something known, or something unknown.
fn bare(name: &str) -> Option<Condition> {
    match name {
        "rpfilter" => Some(Condition::HasWayBack),
        name if BARE.contains(&name) => None,
        _ => Some(Condition::Unknown),
    }
}

/// Returns a condition, if it is known: each option has as many values as it takes, and belongs to its match.
fn condition(of: &str, option: &str, values: &[&str]) -> Option<Condition> {
    match (option, values) {
        ("--match-set", values) => set(values),
        ("--tcp-flags", [mask, set]) => flags(mask, set),
        // The packets that are asked about are no fragments.
        ("-f", []) => Some(Condition::Always(false)),
        (option, [value]) => valued(of, option, value),
        _ => None,
    }
}

/// Returns a condition with one value.
fn valued(of: &str, option: &str, value: &str) -> Option<Condition> {
    match option {
        "-s" => network(value).map(Condition::Source),
        "-d" => network(value).map(Condition::Destination),
        "-i" => Some(Condition::In(value.into())),
        "-o" => Some(Condition::Out(value.into())),
        "-p" => protocol(value),
        "--sport" | "--sports" => ranges(value).map(Condition::SourcePort),
        "--dport" | "--dports" => ranges(value).map(Condition::DestinationPort),
        "--ports" => ranges(value).map(Condition::EitherPort),
        "--dst-type" => types(value).map(Condition::DestinationType),
        "--src-type" => types(value).map(Condition::SourceType),
        "--ctstate" | "--state" => Some(Condition::States(value.split(',').map(str::to_owned).collect())),
        "--ctorigdst" => network(value).map(Condition::DialledAddress),
        "--ctorigdstport" => range(value).map(Condition::DialledPort),
        "--ctdir" => Some(Condition::Direction { is_original: value == "ORIGINAL" }),
        "--mark" => mark(value).and_then(|[value, mask]| match of {
            "mark" => Some(Condition::Mark { value, mask }),
            "connmark" => Some(Condition::ConnectionMark { value, mask }),
            _ => None,
        }),
        "--src-range" => pair(value).map(Condition::SourceRange),
        "--dst-range" => pair(value).map(Condition::DestinationRange),
        "--icmp-type" | "--icmpv6-type" => icmp(value),
        "--pkt-type" => packet_type(value).map(Condition::PacketType),
        // The packets that are asked about are not encrypted.
        "--pol" if of == "policy" => Some(Condition::Always(value == "none")),
        _ => None,
    }
}

fn network(text: &str) -> Option<IpNetwork> {
    text.parse().ok()
}

fn protocol(text: &str) -> Option<Condition> {
    if text == "all" {
        return Some(Condition::Always(true));
    }
    let transport = Transport::ALL.into_iter().find(|transport| transport.name() == text);
    let number = transport.map(Transport::number).or_else(|| text.parse().ok());
    let named = || PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    number.or_else(named).map(Condition::Protocol)
}

/// Parses `LOCAL`, `UNICAST,BROADCAST`. Types that no address of an incoming packet has are not known here.
fn types(text: &str) -> Option<Vec<AddressType>> {
    let named = |name| match name {
        "UNICAST" => Some(AddressType::Unicast),
        "LOCAL" => Some(AddressType::Local),
        "BROADCAST" => Some(AddressType::Broadcast),
        "ANYCAST" => Some(AddressType::Anycast),
        "MULTICAST" => Some(AddressType::Multicast),
        _ => None,
    };
    text.split(',').map(named).collect()
}

/// `PACKET_HOST` and its kin (linux/if_packet.h).
fn packet_type(text: &str) -> Option<u8> {
    ["unicast", "broadcast", "multicast"].into_iter().zip(0..).find(|(name, _)| *name == text).map(|(_, n)| n)
}

/// Parses `80,443,8000:8010`.
fn ranges(text: &str) -> Option<Vec<[u16; 2]>> {
    text.split(',').map(range).collect()
}

/// Parses `80`, `8000:8010`, `:1023`.
fn range(text: &str) -> Option<[u16; 2]> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let end = |text: &str, open: u16| if text.is_empty() { Some(open) } else { text.parse().ok() };
    Some([end(first, 0)?, end(last, u16::MAX)?])
}

/// Parses `0x1`, `0x1/0xff`: the value and the mask.
fn mark(text: &str) -> Option<[u32; 2]> {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (value, mask) = text.split_once('/').unwrap_or((text, "ffffffff"));
    Some([number(value)?, number(mask)?])
}

/// Parses `any`, `8`, `3/4`: a packet that opens something has the code 0.
fn icmp(text: &str) -> Option<Condition> {
    match text.split_once('/').unwrap_or((text, "0")) {
        ("any", _) => Some(Condition::Always(true)),
        (kind, "0") => kind.parse().ok().map(Condition::IcmpType),
        _ => Some(Condition::Always(false)),
    }
}

/// Returns a set that is asked for one address, and nothing else.
fn set(values: &[&str]) -> Option<Condition> {
    match values {
        [name, direction @ ("src" | "dst")] => {
            Some(Condition::Set { name: (*name).into(), is_source: *direction == "src" })
        }
        _ => None,
    }
}

fn pair(text: &str) -> Option<[IpAddr; 2]> {
    let (first, last) = text.split_once('-')?;
    Some([first.parse().ok()?, last.parse().ok()?])
}

/// Parses `FIN,SYN,RST,ACK SYN`.
fn flags(mask: &str, set: &str) -> Option<Condition> {
    const NAMES: [(&str, u8); 8] = [
        ("FIN", 0x01),
        ("SYN", SYN),
        ("RST", 0x04),
        ("PSH", 0x08),
        ("ACK", 0x10),
        ("URG", 0x20),
        ("ALL", 0x3f),
        ("NONE", 0),
    ];
    let bits = |text: &str| {
        let bit = |name| NAMES.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit);
        text.split(',').map(bit).try_fold(0, |all, bit| Some(all | bit?))
    };
    Some(Condition::Flags { mask: bits(mask)?, set: bits(set)? })
}
