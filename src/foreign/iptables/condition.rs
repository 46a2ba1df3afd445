//! What a rule of iptables asks of a packet: iptables(8), "PARAMETERS", and iptables-extensions(8), "MATCH EXTENSIONS".

use std::net::IpAddr;

use dockfw_policy::service::Transport;
use dockfw_policy::walk::Payload;
use ipnetwork::IpNetwork;

use super::{Answer, Tracking, View};

/// The lowest port that a client sends from, unless it wants another one (below are those that root alone may take).
const CLIENT_PORTS: u16 = 1024;
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
/// Options behind which the target is.
const TARGET: [&str; 2] = ["-j", "-g"];
/// Options with one value, which may be any text, such as `-j`.
const TEXTS: [&str; 6] = ["--comment", "--string", "--hex-string", "--name", "--bytecode", "--label"];
/// The bit of SYN among the flags of TCP, of which the first packet of a connection has no other (RFC 9293).
const SYN: u8 = 0x02;

/// A condition, or its opposite.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    is_negated: bool,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    Source(IpNetwork),
    Destination(IpNetwork),
    In(String),
    Out(String),
    Protocol(u8),
    SourcePort(Vec<[u16; 2]>),
    DestinationPort(Vec<[u16; 2]>),
    EitherPort(Vec<[u16; 2]>),
    /// A destination or a source that is, or is not, the host's own.
    DestinationIsOwn,
    SourceIsOwn,
    States(Vec<String>),
    DialledAddress(IpNetwork),
    DialledPort([u16; 2]),
    Direction {
        is_original: bool,
    },
    Mark {
        value: u32,
        mask: u32,
    },
    Set {
        name: String,
        is_source: bool,
    },
    SourceRange([IpAddr; 2]),
    DestinationRange([IpAddr; 2]),
    IcmpType(u8),
    /// That no answer would go where it came from.
    HasNoWayBack,
    Flags {
        mask: u8,
        set: u8,
    },
    /// What holds for every packet that is asked about.
    Always(bool),
    Unknown,
}

/// The conditions in these words, and the words of the target behind them.
pub(super) fn parse<'a>(words: &'a [&'a str]) -> (Vec<Asked>, &'a [&'a str]) {
    let mut rest = words;
    let mut conditions = Vec::new();
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
        let condition = condition(option, values);
        conditions.extend(condition.map(|condition| Asked { is_negated, condition }));
    }
    // What rules differ in most is asked first.
    conditions.sort_by_key(|asked| !matches!(asked.condition, Condition::DestinationPort(_)));
    (conditions, rest)
}

/// A condition; nothing where the option asks for none.
fn condition(option: &str, values: &[&str]) -> Option<Condition> {
    let value = values.first().copied().unwrap_or_default();
    let known = match option {
        "-m" | "--match" | "--comment" | "--dir" | "--loose" | "--validmark" | "--accept-local" => {
            return None;
        }
        // Of rpfilter, which nothing else shares.
        "--invert" => Some(Condition::HasNoWayBack),
        "-s" => network(value).map(Condition::Source),
        "-d" => network(value).map(Condition::Destination),
        "-i" => Some(Condition::In(value.into())),
        "-o" => Some(Condition::Out(value.into())),
        "-p" => protocol(value),
        "--sport" | "--sports" => ranges(value).map(Condition::SourcePort),
        "--dport" | "--dports" => ranges(value).map(Condition::DestinationPort),
        "--ports" => ranges(value).map(Condition::EitherPort),
        "--dst-type" => address_type(value, Condition::DestinationIsOwn),
        "--src-type" => address_type(value, Condition::SourceIsOwn),
        "--ctstate" | "--state" => Some(Condition::States(value.split(',').map(str::to_owned).collect())),
        "--ctorigdst" => network(value).map(Condition::DialledAddress),
        "--ctorigdstport" => range(value).map(Condition::DialledPort),
        "--ctdir" => Some(Condition::Direction { is_original: value == "ORIGINAL" }),
        "--mark" => mark(value),
        "--match-set" => set(values),
        "--src-range" => pair(value).map(Condition::SourceRange),
        "--dst-range" => pair(value).map(Condition::DestinationRange),
        "--icmp-type" | "--icmpv6-type" => value.split('/').next()?.parse().ok().map(Condition::IcmpType),
        "--tcp-flags" => flags(values),
        "--pkt-type" => Some(Condition::Always(value == "unicast")),
        // The packets that are asked about are neither encrypted nor fragments.
        "--pol" => Some(Condition::Always(value == "none")),
        "-f" => Some(Condition::Always(false)),
        _ => None,
    };
    Some(known.unwrap_or(Condition::Unknown))
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

fn address_type(text: &str, own: Condition) -> Option<Condition> {
    (text == "LOCAL").then_some(own)
}

/// `80,443,8000:8010`.
fn ranges(text: &str) -> Option<Vec<[u16; 2]>> {
    text.split(',').map(range).collect()
}

/// `80`, `8000:8010`, `:1023`.
fn range(text: &str) -> Option<[u16; 2]> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let end = |text: &str, open: u16| if text.is_empty() { Some(open) } else { text.parse().ok() };
    Some([end(first, 0)?, end(last, u16::MAX)?])
}

/// `0x1`, `0x1/0xff`.
fn mark(text: &str) -> Option<Condition> {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (value, mask) = text.split_once('/').unwrap_or((text, "ffffffff"));
    Some(Condition::Mark { value: number(value)?, mask: number(mask)? })
}

/// A set that is asked for one address, and nothing else.
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

/// `FIN,SYN,RST,ACK SYN`.
fn flags(values: &[&str]) -> Option<Condition> {
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
    let [mask, set] = values else { return None };
    Some(Condition::Flags { mask: bits(mask)?, set: bits(set)? })
}

impl Asked {
    pub(super) fn holds(&self, view: &View<'_>) -> Answer {
        let holds = self.condition.holds(view).negated(self.is_negated);
        if self.condition.is_of_entry() { holds.and(view.tracking.has_entry()) } else { holds }
    }

    /// The ports that the destination's is asked to be of.
    pub(super) fn ports(&self) -> Vec<(u16, u16)> {
        match &self.condition {
            Condition::DestinationPort(ranges) | Condition::EitherPort(ranges) if !self.is_negated => {
                ranges.iter().map(|[first, last]| (*first, *last)).collect()
            }
            Condition::DialledPort([first, last]) if !self.is_negated => vec![(*first, *last)],
            _ => vec![],
        }
    }

    /// The single address that the destination is asked to be.
    pub(super) fn destination(&self) -> Option<IpAddr> {
        match &self.condition {
            Condition::Destination(network) | Condition::DialledAddress(network) if !self.is_negated => {
                let bits = if network.is_ipv4() { 32 } else { 128 };
                (network.prefix() == bits).then_some(network.ip())
            }
            _ => None,
        }
    }
}

impl Condition {
    /// Whether it is about an entry of connection tracking.
    fn is_of_entry(&self) -> bool {
        matches!(self, Self::DialledAddress(_) | Self::DialledPort(_) | Self::Direction { .. })
    }

    fn holds(&self, view: &View<'_>) -> Answer {
        let packet = view.packet;
        match self {
            Self::Source(network) => {
                let is_link_local = network.ip().to_string().starts_with("fe80:");
                view.source_is(|source| network.contains(source), is_link_local)
            }
            Self::SourceRange([first, last]) => {
                view.source_is(|source| (first..=last).contains(&&source), false)
            }
            Self::SourceIsOwn => match packet.source {
                Some(source) => packet.host.is_own(source).into(),
                None => Answer::No,
            },
            Self::Destination(network) => network.contains(view.destination()).into(),
            Self::DestinationRange([first, last]) => (first..=last).contains(&&view.destination()).into(),
            Self::DestinationIsOwn => packet.host.is_own(view.destination()).into(),
            Self::In(pattern) => is_named(&packet.incoming.name, pattern).into(),
            Self::Out(pattern) => view.outgoing.is_some_and(|link| is_named(&link.name, pattern)).into(),
            Self::Protocol(number) => (view.protocol() == *number).into(),
            Self::SourcePort(ranges) => source_port(view, ranges),
            Self::DestinationPort(ranges) => is_in(view.port(), ranges).into(),
            Self::EitherPort(ranges) if is_in(view.port(), ranges) => Answer::Yes,
            Self::EitherPort(ranges) => source_port(view, ranges),
            Self::States(names) => states(view, names),
            Self::DialledAddress(network) => network.contains(packet.destination).into(),
            Self::DialledPort(range) => is_in(view.dialled_port(), &[*range]).into(),
            Self::Direction { is_original } => (*is_original).into(),
            Self::Mark { value, mask } => view.mark().map(|mark| mark & mask == *value).into(),
            Self::Set { name, is_source } => {
                let address = if *is_source { packet.source } else { Some(view.destination()) };
                address.and_then(|address| packet.host.set_has(name, address)).into()
            }
            Self::HasNoWayBack => view.comes_by_the_way_back().negated(true),
            Self::IcmpType(kind) => matches!(packet.payload, Payload::Icmp(own) if own == *kind).into(),
            Self::Flags { mask, set } => {
                let opens = matches!(packet.payload, Payload::Ports { transport: Transport::Tcp, .. });
                (opens && SYN & mask == *set).into()
            }
            Self::Always(holds) => (*holds).into(),
            Self::Unknown => Answer::Unknown,
        }
    }
}

/// Whether a name fits iptables' pattern, of which `+` at the end stands for anything.
fn is_named(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('+').map_or(name == pattern, |start| name.starts_with(start))
}

fn is_in(port: Option<u16>, ranges: &[[u16; 2]]) -> bool {
    port.is_some_and(|port| ranges.iter().any(|[first, last]| (first..=last).contains(&&port)))
}

/// From which port a client sends is its own affair; rarely from a low one.
fn source_port(view: &View<'_>, ranges: &[[u16; 2]]) -> Answer {
    if view.port().is_none() || ranges.iter().all(|[_, last]| *last < CLIENT_PORTS) {
        return Answer::No;
    }
    let takes_all = ranges.iter().any(|[first, last]| *first <= CLIENT_PORTS && *last == u16::MAX);
    if takes_all { Answer::Yes } else { Answer::Unknown }
}

/// What connection tracking calls the first packet of a connection (`conntrack_mt`, net/netfilter/xt_conntrack.c).
fn states(view: &View<'_>, names: &[String]) -> Answer {
    let has = |name: &str| names.iter().any(|own| own == name);
    let [not_yet, new, exempt] = ["INVALID", "NEW", "UNTRACKED"].map(has);
    match view.tracking {
        _ if has("DNAT") && view.translated.is_some() => Answer::Yes,
        Tracking::NotYet => not_yet.into(),
        Tracking::New => new.into(),
        Tracking::Exempt => exempt.into(),
        // Between connection tracking and translation, it is one of these.
        Tracking::Unknown if new == exempt => new.into(),
        Tracking::Unknown => Answer::Unknown,
    }
}
