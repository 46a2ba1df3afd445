//! Ports in Docker's notation.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

/// A transport protocol that services and probes speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Both, for tests that go through them.
pub const PROTOS: [Proto; 2] = [Proto::Tcp, Proto::Udp];

/// A port, `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub proto: Proto,
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, proto) = text.split_once('/').with_context(|| format!("{text}: no protocol"))?;
        let proto = match proto {
            "tcp" => Proto::Tcp,
            "udp" => Proto::Udp,
            _ => bail!("{text}: neither tcp nor udp"),
        };
        Ok(Self { number: number.parse().with_context(|| format!("{text}: no port number"))?, proto })
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.proto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in ["80/tcp", "53/udp"] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert!("80".parse::<Port>().is_err());
        assert!("80/sctp".parse::<Port>().is_err());
    }
}
