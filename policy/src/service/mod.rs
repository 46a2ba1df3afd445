//! Ports and protocols in Docker's own notation: `80/tcp`, `8000-8010/udp`, `esp`, `ip/47`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

mod notation;

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// All of them, in the order in which dockfw lists them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Returns the protocol's number (IANA, Assigned Internet Protocol Numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Returns the protocol's name, as in `80/tcp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A range of ports, both ends included, none of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// Returns the range from `first` to `last`, or nothing if that is backward or starts with 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first != 0 && first <= last).then_some(Self { first, last })
    }

    /// Returns the range of one port, or nothing for 0.
    pub fn single(port: u16) -> Option<Self> {
        Self::new(port, port)
    }

    /// Returns the first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns the last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Returns whether the range is one port.
    pub fn is_single(self) -> bool {
        self.first == self.last
    }

    /// Returns whether `port` is in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Protocols without ports that have a name of their own in a policy, with their IANA numbers.
const NAMED_PROTOCOLS: [(&str, u8); 3] = [("gre", 47), ("esp", 50), ("vrrp", 112)];

/// The meaning of one entry of `ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Ports of one transport protocol.
    Ports(Transport, PortRange),
    /// A whole protocol without ports, by its IANA number.
    Protocol(u8),
}

/// Why a string is not a service. The advice for each is part of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// A port without its protocol.
    #[error("a port needs its protocol")]
    BareNumber {
        /// The ports as they were typed.
        ports: String,
    },
    /// Not a number from 1 to 65535, or not two of them.
    #[error("ports go from 1 to 65535")]
    Port,
    /// A range whose end comes before its start.
    #[error("the range ends before it starts")]
    Backward,
    /// A protocol that dockfw does not know.
    #[error("not a protocol that dockfw knows")]
    Protocol,
    /// A protocol with ports, by number.
    #[error("this protocol has ports, which must be named")]
    HasPorts {
        /// The protocol.
        transport: Transport,
    },
    /// Two ports, as `docker run --publish` takes them.
    #[error("two ports and a colon; one port or a range is wanted")]
    Mapping(Mapping),
    /// A word for every port.
    #[error("every port is a range of ports")]
    Every {
        /// The transports that were named, or those that people mean.
        transports: Vec<Transport>,
    },
    /// What is clear, but written otherwise.
    #[error("not in Docker's notation")]
    Notation {
        /// The same in that notation.
        right: Vec<Service>,
    },
    /// A name.
    #[error("a name; a port is a number")]
    Name,
}

/// Two ports with a colon between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The protocol; TCP if none was typed, as for Docker.
    pub transport: Transport,
    /// The ports before the colon, which clients dial.
    pub dialled: PortRange,
    /// The ports after it.
    pub own: PortRange,
}

impl Service {
    fn parse_ports(ports: &str, transport: Transport) -> Result<Self, ServiceError> {
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (parse_port(first)?, parse_port(last)?);
        PortRange::new(first, last).map(|range| Self::Ports(transport, range)).ok_or(ServiceError::Backward)
    }

    fn parse_protocol(number: &str) -> Result<Self, ServiceError> {
        let number: u8 = parse_digits(number).ok_or(ServiceError::Protocol)?;
        match Transport::ALL.into_iter().find(|transport| transport.number() == number) {
            Some(transport) => Err(ServiceError::HasPorts { transport }),
            None => Ok(Self::Protocol(number)),
        }
    }
}

/// Parses a number of nothing but digits: `str::parse` alone would accept `+80`.
fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_port(text: &str) -> Result<u16, ServiceError> {
    parse_digits(text).filter(|port| *port != 0).ok_or(ServiceError::Port)
}

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        Self::parse(text).map_err(|error| notation::mistake(text, error))
    }
}

impl Service {
    fn parse(text: &str) -> Result<Self, ServiceError> {
        if let Some((_, number)) = NAMED_PROTOCOLS.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Protocol(*number));
        }
        match text.split_once('/') {
            Some(("ip", number)) => Self::parse_protocol(number),
            Some((ports, name)) => {
                let transport = Transport::ALL.into_iter().find(|transport| transport.name() == name);
                Self::parse_ports(ports, transport.ok_or(ServiceError::Protocol)?)
            }
            None if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(ServiceError::BareNumber { ports: text.into() })
            }
            None => Err(ServiceError::Protocol),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports(transport, range) => write!(f, "{range}/{}", transport.name()),
            Self::Protocol(number) => match NAMED_PROTOCOLS.iter().find(|(_, known)| known == number) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "ip/{number}"),
            },
        }
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Services in canonical form: per transport the port ranges, sorted and merged, and the other protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Services {
    ports: Vec<(Transport, Vec<PortRange>)>,
    protocols: Vec<u8>,
}

impl Services {
    /// Returns the port ranges of each transport that has any.
    pub fn ports(&self) -> impl Iterator<Item = (Transport, &[PortRange])> {
        self.ports.iter().map(|(transport, ranges)| (*transport, ranges.as_slice()))
    }

    /// Returns the protocols without ports, by number.
    pub fn protocols(&self) -> &[u8] {
        &self.protocols
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.protocols.is_empty()
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        let mut services: Vec<_> = services.into_iter().collect();
        services.sort_unstable();
        services.dedup();
        let mut canonical = Self::default();
        for service in services {
            match service {
                Service::Ports(transport, range) => push_range(&mut canonical.ports, transport, range),
                Service::Protocol(number) => canonical.protocols.push(number),
            }
        }
        canonical
    }
}

/// Adds a range that does not come before any existing one; a range that overlaps or touches the last is joined to it.
fn push_range(ports: &mut Vec<(Transport, Vec<PortRange>)>, transport: Transport, range: PortRange) {
    match ports.last_mut() {
        Some((last_transport, ranges)) if *last_transport == transport => match ranges.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => last.last = last.last.max(range.last),
            _ => ranges.push(range),
        },
        _ => ports.push((transport, vec![range])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_notation_reads_back() {
        for text in ["80/tcp", "8000-8010/udp", "5060/sctp", "esp", "gre", "vrrp", "ip/1"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        assert_eq!("ip/50".parse::<Service>().unwrap().to_string(), "esp");
    }

    #[test]
    fn each_misspelling_has_its_own_error() {
        let error = |text: &str| text.parse::<Service>().unwrap_err();
        assert_eq!(error("80"), ServiceError::BareNumber { ports: "80".into() });
        for text in ["70000/tcp", "0/tcp", "80-90000/tcp"] {
            assert_eq!(error(text), ServiceError::Port, "{text}");
        }
        assert_eq!(error("90-80/tcp"), ServiceError::Backward);
        assert_eq!(error("ip/6"), ServiceError::HasPorts { transport: Transport::Tcp });
        for text in ["80/dccp", "ip/256", "icmp", ""] {
            assert_eq!(error(text), ServiceError::Protocol, "{text}");
        }
        assert_eq!(error("a/tcp"), ServiceError::Name);
    }

    #[test]
    fn services_are_sorted_and_joined() {
        let typed = ["443/udp", "81/tcp", "esp", "80/tcp", "85-90/tcp", "88-100/tcp", "80/tcp"];
        let services: Services = typed.iter().map(|text| text.parse::<Service>().unwrap()).collect();
        let ports: Vec<_> = services
            .ports()
            .map(|(transport, ranges)| {
                (transport, ranges.iter().map(PortRange::to_string).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            ports,
            [(Transport::Tcp, vec!["80-81".into(), "85-100".into()]), (Transport::Udp, vec!["443".into()])]
        );
        assert_eq!(services.protocols(), [50]);
    }
}
