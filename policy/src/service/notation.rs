//! Ports as people write them who know another notation.

use super::{Mapping, PortRange, Service, ServiceError, Transport, parse_port};

/// The words that people use for every port.
const EVERY: [&str; 5] = ["any", "all", "*", "every", "0-65535"];

/// The ports of services that people expose, by the names in /etc/services (IANA, Service Name and Transport Protocol
/// Port Number Registry) and by those of the programs.
const NAMES: [(&[&str], &[Transport], u16); 26] = [
    (&["ftp"], &[Transport::Tcp], 21),
    (&["ssh", "sftp", "openssh"], &[Transport::Tcp], 22),
    (&["smtp"], &[Transport::Tcp], 25),
    (&["dns", "domain"], &[Transport::Tcp, Transport::Udp], 53),
    (&["http", "www"], &[Transport::Tcp], 80),
    (&["pop3"], &[Transport::Tcp], 110),
    (&["ntp"], &[Transport::Udp], 123),
    (&["imap", "imap2"], &[Transport::Tcp], 143),
    (&["snmp"], &[Transport::Udp], 161),
    (&["ldap"], &[Transport::Tcp], 389),
    (&["https"], &[Transport::Tcp], 443),
    (&["http3", "quic"], &[Transport::Udp], 443),
    (&["smtps", "submissions"], &[Transport::Tcp], 465),
    (&["syslog"], &[Transport::Udp], 514),
    (&["submission"], &[Transport::Tcp], 587),
    (&["ldaps"], &[Transport::Tcp], 636),
    (&["imaps"], &[Transport::Tcp], 993),
    (&["pop3s"], &[Transport::Tcp], 995),
    (&["openvpn"], &[Transport::Udp], 1194),
    (&["mqtt"], &[Transport::Tcp], 1883),
    (&["nfs"], &[Transport::Tcp], 2049),
    (&["mysql", "mariadb"], &[Transport::Tcp], 3306),
    (&["rdp"], &[Transport::Tcp], 3389),
    (&["postgresql", "postgres"], &[Transport::Tcp], 5432),
    (&["redis"], &[Transport::Tcp], 6379),
    (&["wireguard"], &[Transport::Udp], 51820),
];

/// What a string consists of.
enum Token {
    Ports(PortRange),
    Transports(Vec<Transport>),
}

/// Returns the mistake that is most likely, if a string has the form of one that people make, or `error`.
pub(super) fn mistake(text: &str, error: ServiceError) -> ServiceError {
    let text = with_plain_dashes(&text.trim().to_lowercase());
    if let Ok(right) = Service::parse(&text) {
        return notation(vec![right]);
    }
    if error == ServiceError::Backward || is_of_other_protocol(&text) {
        return error;
    }
    let known = || named(&text).or_else(|| paired(tokens(&text)?)).map(notation);
    let name = || text.starts_with(char::is_alphabetic).then_some(ServiceError::Name);
    let mapping = mapping(&text).map(ServiceError::Mapping);
    mapping.or_else(|| every(&text)).or_else(known).or_else(name).unwrap_or(error)
}

fn notation(right: Vec<Service>) -> ServiceError {
    ServiceError::Notation { right }
}

/// Returns the string with `-` for other dashes and for two dots, and no spaces beside it.
fn with_plain_dashes(text: &str) -> String {
    let text = text.replace(['\u{2013}', '\u{2014}'], "-").replace("..", "-");
    let parts: Vec<_> = text.split('-').map(str::trim).collect();
    parts.join("-")
}

fn is_of_other_protocol(text: &str) -> bool {
    ["icmp", "ping", "ip/"].iter().any(|start| text.starts_with(start))
}

fn transport(name: &str) -> Option<Transport> {
    Transport::ALL.into_iter().find(|transport| transport.name() == name)
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    PortRange::new(parse_port(first).ok()?, parse_port(last).ok()?)
}

/// Returns the two ports of `8080:80`, with an address before it or not.
fn mapping(text: &str) -> Option<Mapping> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (before, own) = ports.rsplit_once(':')?;
    let dialled = before.rsplit_once(':').map_or(before, |(_, dialled)| dialled);
    Some(Mapping { transport: transport(protocol.trim())?, dialled: range(dialled)?, own: range(own)? })
}

/// Returns that every port was meant, of one transport or of those that people mean.
fn every(text: &str) -> Option<ServiceError> {
    let both = vec![Transport::Tcp, Transport::Udp];
    let transports = match text.split_once('/') {
        None if EVERY.contains(&text) => both,
        None => vec![transport(text)?],
        Some((word, name)) if EVERY.contains(&word) => {
            transport(name).map_or(both, |transport| vec![transport])
        }
        Some(_) => return None,
    };
    Some(ServiceError::Every { transports })
}

/// Returns the ports of a service that is called so.
fn named(text: &str) -> Option<Vec<Service>> {
    let (name, protocol) = text.split_once('/').unwrap_or((text, ""));
    let (_, usual, port) = NAMES.iter().find(|(names, ..)| names.contains(&name))?;
    let typed = transport(protocol).map(|transport| vec![transport]);
    let range = PortRange::single(*port)?;
    Some(typed.unwrap_or_else(|| usual.to_vec()).into_iter().map(|of| Service::Ports(of, range)).collect())
}

/// Returns what a string consists of, if that is ports and transports alone.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let is_separator = |c: char| !c.is_alphanumeric() && !matches!(c, '-' | '*');
    let words = text.split(is_separator).map(|word| word.trim_matches('-')).filter(|word| !word.is_empty());
    let words = words.filter(|word| !matches!(*word, "and" | "or" | "port" | "ports"));
    let token = |word: &str| match word {
        "both" | "any" | "all" | "*" => Some(Token::Transports(vec![Transport::Tcp, Transport::Udp])),
        _ => transport(word)
            .map(|transport| Token::Transports(vec![transport]))
            .or_else(|| range(word).map(Token::Ports)),
    };
    words.map(token).collect()
}

/// Returns each port with the transports that stand behind it, or before it if the string begins with one. Without any,
/// several ports are of TCP.
fn paired(tokens: Vec<Token>) -> Option<Vec<Service>> {
    let begins_with_ports = matches!(tokens.first()?, Token::Ports(_));
    let (mut ports, mut transports, mut services) = (Vec::new(), Vec::new(), Vec::new());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_of_ports = matches!(token, Token::Ports(_));
        match token {
            Token::Ports(range) => ports.push(range),
            Token::Transports(more) => transports.extend(more),
        }
        let next_is_other = tokens.peek().is_none_or(|next| matches!(next, Token::Ports(_)) != is_of_ports);
        if next_is_other && is_of_ports != begins_with_ports {
            let all = ports.iter().flat_map(|range| transports.iter().map(|of| Service::Ports(*of, *range)));
            services.extend(all);
            (ports, transports) = (Vec::new(), Vec::new());
        }
    }
    if services.is_empty() && ports.len() > 1 {
        services.extend(ports.drain(..).map(|range| Service::Ports(Transport::Tcp, range)));
    }
    (ports.is_empty() && transports.is_empty() && !services.is_empty()).then_some(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(text: &str) -> Option<Vec<String>> {
        match text.parse::<Service>().unwrap_err() {
            ServiceError::Notation { right } => Some(right.iter().map(ToString::to_string).collect()),
            _ => None,
        }
    }

    #[test]
    fn other_notations_are_understood() {
        for (typed, expected) in [
            ("80/TCP", &["80/tcp"][..]),
            ("8000 \u{2013} 8010/tcp", &["8000-8010/tcp"]),
            ("tcp/80", &["80/tcp"]),
            ("tcp 80,443", &["80/tcp", "443/tcp"]),
            ("80,443", &["80/tcp", "443/tcp"]),
            ("80/tcp,53/udp", &["80/tcp", "53/udp"]),
            ("53/tcp+udp", &["53/tcp", "53/udp"]),
            ("53/both", &["53/tcp", "53/udp"]),
            ("8000..8010/udp", &["8000-8010/udp"]),
            ("+80/tcp", &["80/tcp"]),
            ("80-/tcp", &["80/tcp"]),
            ("ssh", &["22/tcp"]),
            ("http/udp", &["80/udp"]),
        ] {
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(right(typed), Some(expected), "{typed}");
        }
        for unclear in ["80", "70000/tcp", "80/tpc", "80/tcp,53", "80-tcp-udp-x"] {
            assert_eq!(right(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn two_ports_and_every_port_are_known() {
        let mapping = |text: &str| match text.parse::<Service>().unwrap_err() {
            ServiceError::Mapping(Mapping { transport, dialled, own }) => {
                format!("{dialled} {own} {}", transport.name())
            }
            other => other.to_string(),
        };
        assert_eq!(mapping("8080:80"), "8080 80 tcp");
        assert_eq!(mapping("127.0.0.1:8080:80/udp"), "8080 80 udp");
        assert_eq!(mapping("[::]:8000-8010:80-90"), "8000-8010 80-90 tcp");
        for (typed, expected) in [("any", 2), ("*", 2), ("udp", 1), ("all/tcp", 1), ("0-65535/tcp", 1)] {
            let error = typed.parse::<Service>().unwrap_err();
            assert!(
                matches!(&error, ServiceError::Every { transports } if transports.len() == expected),
                "{typed}"
            );
        }
    }
}
