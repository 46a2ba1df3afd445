//! What would be right instead of an invalid address, service or interface.

use std::net::{IpAddr, Ipv4Addr};

use super::notation;
use crate::address::{AddressError, AddressRange};
use crate::diagnostic::quoted;
use crate::interface::{IfPattern, IfPatternError, MAX_NAME};
use crate::service::{Mapping, PortRange, Service, ServiceError};
use crate::suggest::closest;

/// Returns what to write instead of `text`, which is not an address for the reason in `error`.
pub fn address(text: &str, error: &AddressError) -> String {
    match error {
        AddressError::Unreadable => unreadable(text),
        AddressError::Prefix { max } => format!(
            "write a prefix length from 0 to {max} after the `/`, as in {}",
            text_of(&usual_network(text).to_string())
        ),
        AddressError::HostBits { corrected } => {
            format!("write \"{corrected}\" for the network, or \"{}\" for the one address", host_of(text))
        }
        AddressError::Backward => match text.split_once('-') {
            Some((first, last)) => format!("write {}", text_of(&format!("{}-{}", last.trim(), first.trim()))),
            None => "write the lower address first".into(),
        },
        AddressError::Families => {
            "write one range for IPv4 and another for IPv6, as in \"192.0.2.1-192.0.2.9\", \"2001:db8::1-2001:db8::9\"".into()
        }
        AddressError::Padded { plain } => {
            let prefix = text.split_once('/').map_or(String::new(), |(_, prefix)| format!("/{prefix}"));
            format!("write \"{plain}{prefix}\" if its numbers are decimal")
        }
        AddressError::Mapped { ipv4 } => format!("write \"{ipv4}{}\"", mapped_prefix(text)),
    }
}

fn unreadable(text: &str) -> String {
    match notation::right_addresses(text) {
        Some(right) => {
            let right: Vec<_> = right.iter().map(|range| text_of(&range.to_string())).collect();
            format!("write {}", right.join(", "))
        }
        None => "write an address, as in \"203.0.113.7\", a network (\"198.51.100.0/24\") or a range (\"192.0.2.1-9\")".into(),
    }
}

/// Returns the network of the usual size that an address is in.
fn usual_network(text: &str) -> AddressRange {
    match host_of(text).parse().unwrap_or(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0))) {
        address @ IpAddr::V4(_) => AddressRange::network_of(address, 24),
        address @ IpAddr::V6(_) => AddressRange::network_of(address, 64),
    }
}

/// Returns the address of a network, without its prefix.
fn host_of(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

/// Returns the prefix that a mapped network has in IPv4: the mapping puts 96 bits before the address.
fn mapped_prefix(text: &str) -> String {
    let prefix = text.split_once('/').and_then(|(_, prefix)| prefix.parse::<u8>().ok());
    match prefix.and_then(|prefix| prefix.checked_sub(96)).filter(|prefix| *prefix < 32) {
        Some(prefix) => format!("/{prefix}"),
        None => String::new(),
    }
}

/// Returns what to write instead of `text`, which is not a service for the reason in `error`.
pub fn service(text: &str, error: &ServiceError) -> String {
    match error {
        ServiceError::BareNumber { ports } if is_range(ports) => {
            format!("write \"{ports}/tcp\", \"{ports}/udp\", or both")
        }
        ServiceError::BareNumber { .. } | ServiceError::Port => {
            "write a port from 1 to 65535 and its protocol, as in \"80/tcp\" or \"8000-8010/udp\"".into()
        }
        ServiceError::Backward => swapped(text),
        ServiceError::HasPorts { transport } => {
            format!("write the ports, as in \"443/{0}\"; all of them are \"1-65535/{0}\"", transport.name())
        }
        ServiceError::Protocol => protocol(text),
        ServiceError::Mapping(ports) => mapping(ports),
        ServiceError::Every { transports } => {
            let every = |transport| Service::Ports(transport, PortRange::ALL);
            format!("write {}", listed(transports.iter().map(|transport| every(*transport))))
        }
        ServiceError::Notation { right } => format!("write {}", listed(right.iter().copied())),
        ServiceError::Name => format!(
            "write the port that clients dial, as in \"443/tcp\"; `docker port {}` lists those of a container",
            quoted(text.split(['/', ':']).next().unwrap_or(text)).trim_matches('`')
        ),
    }
}

/// Returns services as the entries of a list.
fn listed(services: impl Iterator<Item = Service>) -> String {
    services.map(|service| format!("\"{service}\"")).collect::<Vec<_>>().join(", ")
}

/// Returns what to write instead of two ports with a colon. As iptables uses the colon for ranges, that may be meant too;
/// the narrower meaning comes first.
fn mapping(Mapping { transport, dialled, own }: &Mapping) -> String {
    let write = format!("write \"{}\", the port that clients dial", Service::Ports(*transport, *dialled));
    let range =
        PortRange::new(dialled.first(), own.last()).filter(|_| dialled.is_single() && own.is_single());
    match range.filter(|range| !range.is_single()) {
        Some(range) => {
            format!("{write}; for a range of ports, write \"{}\"", Service::Ports(*transport, range))
        }
        None => write,
    }
}

fn is_range(ports: &str) -> bool {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let range = first.parse().ok().zip(last.parse().ok());
    range.is_some_and(|(first, last)| PortRange::new(first, last).is_some())
}

fn swapped(text: &str) -> String {
    let parts = text.split_once('/').and_then(|(ports, name)| Some((ports.split_once('-')?, name)));
    match parts {
        Some(((first, last), name)) => format!("write {}", text_of(&format!("{last}-{first}/{name}"))),
        None => "write the lower port first".into(),
    }
}

fn protocol(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower.starts_with("icmp") || lower.starts_with("ping") {
        return "write \"ip/1\" (ICMP) or \"ip/58\" (ICMPv6), with to = \"container\", for containers' own addresses; \
                who may ping the host is said by `echo` in [icmp], and ICMP errors always pass"
            .into();
    }
    if lower.parse::<Service>().is_ok() {
        return format!("write {}", text_of(&lower));
    }
    let known = "tcp, udp, sctp after ports, as in \"80/tcp\"; or esp, gre, vrrp, ip/NUMBER alone";
    let meant = lower.split_once('/').and_then(|(ports, name)| {
        Some(format!("{ports}/{}", closest(name, ["tcp", "udp", "sctp"]).filter(|meant| *meant != name)?))
    });
    match meant.filter(|meant| meant.parse::<Service>().is_ok()) {
        Some(meant) => format!("did you mean {}? Known are {known}", text_of(&meant)),
        None => format!("known are {known}"),
    }
}

/// Returns what to write instead of a string that is not a pattern for interfaces.
pub fn interface(text: &str, error: IfPatternError) -> String {
    let start = |end: usize| text_of(&format!("{}*", text.get(..end).unwrap_or("br-")));
    match error {
        IfPatternError::Empty => "write a name, as in \"eth0\", or the start of names, as in \"br-*\"".into(),
        IfPatternError::TooLong => {
            format!("write the start of the name and a `*`, as in {}", start(MAX_NAME))
        }
        IfPatternError::Character('+') if text.ends_with('+') => {
            format!("write {} for all names that start so", text_of(&text.replace('+', "*")))
        }
        IfPatternError::Character(_) => {
            several(text).unwrap_or_else(|| "write letters, digits and any of . _ - @, as in \"eth0\"".into())
        }
        IfPatternError::Star => {
            format!("write the start of the names and one `*`, as in {}", start(text.find('*').unwrap_or(0)))
        }
    }
}

/// Returns the patterns that stand in one string, each by itself.
fn several(text: &str) -> Option<String> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let parts: Option<Vec<_>> =
        parts.map(|part| part.parse::<IfPattern>().ok().map(|_| text_of(part))).collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| format!("write {}", parts.join(", ")))
}

/// Returns a string in the quotes that it has in a policy.
pub(super) fn text_of(text: &str) -> String {
    format!("\"{}\"", quoted(text).trim_matches('`'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_get_the_form_that_is_right() {
        let advice = |text: &str| address(text, &text.parse::<AddressRange>().unwrap_err());
        let networks = "write \"10.0.0.0/24\" for the network, or \"10.0.0.7\" for the one address";
        assert_eq!(advice("10.0.0.7/24"), networks);
        assert_eq!(advice("::ffff:10.0.0.0/120"), "write \"10.0.0.0/24\"");
        assert_eq!(advice("::ffff:10.0.0.1"), "write \"10.0.0.1\"");
        assert_eq!(advice("10.0.0.9-10.0.0.1"), "write \"10.0.0.1-10.0.0.9\"");
        assert_eq!(advice(" 10.0.0.9"), "write \"10.0.0.9\"");
        assert_eq!(
            advice("10.0.0.7/40"),
            "write a prefix length from 0 to 32 after the `/`, as in \"10.0.0.0/24\""
        );
    }

    #[test]
    fn services_get_the_form_that_is_right() {
        let advice = |text: &str| service(text, &text.parse::<Service>().unwrap_err());
        assert_eq!(advice("80"), "write \"80/tcp\", \"80/udp\", or both");
        assert_eq!(advice("80/TCP"), "write \"80/tcp\"");
        assert_eq!(advice("90-80/tcp"), "write \"80-90/tcp\"");
        assert!(advice("80/tpc").starts_with("did you mean \"80/tcp\"?"));
        assert!(advice("70000/tcp").contains("from 1 to 65535"));
        assert!(advice("70000").contains("from 1 to 65535"));
        for (typed, right) in [
            ("8080:80", "write \"8080/tcp\", the port that clients dial"),
            (
                "8000:8010/tcp",
                "write \"8000/tcp\", the port that clients dial; for a range of ports, write \"8000-8010/tcp\"",
            ),
            ("8000 - 8010/tcp", "write \"8000-8010/tcp\""),
            ("any", "write \"1-65535/tcp\", \"1-65535/udp\""),
            ("http", "write \"80/tcp\""),
            ("DNS", "write \"53/tcp\", \"53/udp\""),
            ("80/tcp,53/udp", "write \"80/tcp\", \"53/udp\""),
        ] {
            assert_eq!(advice(typed), right, "{typed}");
        }
        assert!(advice("my-nginx").contains("`docker port my-nginx`"));
        assert!(advice("ip/6").starts_with("write the ports, as in \"443/tcp\""));
        assert!(advice("icmp").contains("[icmp]") && advice("icmpv6").contains("\"ip/58\""));
    }
}
