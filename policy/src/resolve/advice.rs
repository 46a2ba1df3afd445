//! What would be right instead of an invalid address, service or interface.

use crate::address::{AddressError, AddressRange};
use crate::diagnostic::quoted;
use crate::interface::IfPatternError;
use crate::service::{PortRange, Service, ServiceError};
use crate::suggest::closest;

/// Returns what to write instead of `text`, which is not an address for the reason in `error`.
pub fn address(text: &str, error: &AddressError) -> String {
    match error {
        AddressError::Unreadable => unreadable(text),
        AddressError::Prefix { max } => format!("write a prefix length from 0 to {max} after the `/`"),
        AddressError::HostBits { corrected } => {
            format!("write \"{corrected}\" for the network, or \"{}\" for the one address", host_of(text))
        }
        AddressError::Backward => match text.split_once('-') {
            Some((first, last)) => format!("write {}", text_of(&format!("{}-{}", last.trim(), first.trim()))),
            None => "write the lower address first".into(),
        },
        AddressError::Families => "write one range for IPv4 and another for IPv6".into(),
        AddressError::Padded { plain } => {
            let prefix = text.split_once('/').map_or(String::new(), |(_, prefix)| format!("/{prefix}"));
            format!("write \"{plain}{prefix}\" if its numbers are decimal")
        }
        AddressError::Mapped { ipv4 } => format!("write \"{ipv4}{}\"", mapped_prefix(text)),
    }
}

fn unreadable(text: &str) -> String {
    let trimmed = text.trim();
    if trimmed != text && trimmed.parse::<AddressRange>().is_ok() {
        return format!("remove the spaces: \"{trimmed}\"");
    }
    "write an address (203.0.113.7), a network (198.51.100.0/24) or a range (192.0.2.1-192.0.2.9)".into()
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
        return "who may ping the host is said by `echo` in [icmp], and ICMP errors always pass; for containers' own addresses write \
                \"ip/1\" (ICMP) or \"ip/58\" (ICMPv6), with to = \"container\""
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
    let advice = match error {
        IfPatternError::Empty => "write a name, as in \"eth0\", or the start of names, as in \"br-*\"",
        IfPatternError::TooLong => "write the start of the name and a `*`, as in \"br-*\"",
        IfPatternError::Character('+') if text.ends_with('+') => {
            return format!("write {} for all names that start so", text_of(&text.replace('+', "*")));
        }
        IfPatternError::Character(_) => "write letters, digits and any of . _ - @, as in \"eth0\"",
        IfPatternError::Star => "write the start of the names and one `*`, as in \"br-*\"",
    };
    advice.into()
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
        assert_eq!(advice(" 10.0.0.9"), "remove the spaces: \"10.0.0.9\"");
        assert_eq!(advice("10.0.0.0/40"), "write a prefix length from 0 to 32 after the `/`");
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
        assert!(advice("ip/6").starts_with("write the ports, as in \"443/tcp\""));
        assert!(advice("icmp").contains("[icmp]") && advice("icmpv6").contains("\"ip/58\""));
    }
}
