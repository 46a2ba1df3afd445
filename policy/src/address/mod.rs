//! Addresses of a policy: ranges of one family, and sets of ranges that are sorted and merged.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Serialize, Serializer};

mod set;

pub use set::AddressSet;

/// The first of IPv6's link-local addresses, a network of 10 bits (RFC 4291, section 2.5.6).
pub const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both families, IPv4 first: the order in which dockfw lists everything.
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// Returns the family's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An address of one family, as a number.
pub trait Address: Copy + Ord + fmt::Display + Into<IpAddr> {
    /// The address's width.
    const BITS: u8;
    /// The address's family.
    const FAMILY: Family;

    /// Returns the address as a number, in the low bits.
    fn to_number(self) -> u128;

    /// Returns the address with this number; bits above the family's width are ignored.
    fn from_number(number: u128) -> Self;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;
    const FAMILY: Family = Family::Ipv4;

    fn to_number(self) -> u128 {
        self.to_bits().into()
    }

    fn from_number(number: u128) -> Self {
        Self::from_bits(number as u32)
    }
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;
    const FAMILY: Family = Family::Ipv6;

    fn to_number(self) -> u128 {
        self.to_bits()
    }

    fn from_number(number: u128) -> Self {
        Self::from_bits(number)
    }
}

/// A range of addresses, both ends included. A range is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range<A> {
    first: A,
    last: A,
}

impl<A: Address> Range<A> {
    /// Returns the range from `first` to `last`, or nothing if `last` comes before `first`.
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Returns the range of one address.
    pub fn single(address: A) -> Self {
        Self { first: address, last: address }
    }

    /// Returns the network of `prefix` bits that contains `address`. A prefix above the family's width is reduced to it.
    pub fn network_of(address: A, prefix: u8) -> Self {
        let host_bits = host_mask(A::BITS - prefix.min(A::BITS));
        let number = address.to_number();
        Self { first: A::from_number(number & !host_bits), last: A::from_number(number | host_bits) }
    }

    /// Returns the first address.
    pub fn first(&self) -> A {
        self.first
    }

    /// Returns the last address.
    pub fn last(&self) -> A {
        self.last
    }

    /// Returns whether the range is one address.
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }

    /// Returns the prefix length, if the range is exactly one network.
    pub fn prefix(&self) -> Option<u8> {
        let (first, last) = (self.first.to_number(), self.last.to_number());
        let host_bits = (first ^ last).trailing_ones() as u8;
        let mask = host_mask(host_bits);
        (first & mask == 0 && last & mask == mask && first | mask == last).then(|| A::BITS - host_bits)
    }

    /// Returns whether `address` lies in the range.
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// Returns whether the two ranges share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Returns whether all of `other` is in the range.
    pub fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// Returns a number whose low `bits` bits are set.
fn host_mask(bits: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(bits)).unwrap_or(0)
}

impl<A: Address> fmt::Display for Range<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            Some(prefix) if prefix == A::BITS => write!(f, "{}", self.first),
            Some(prefix) => write!(f, "{}/{prefix}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl<A: Address> Serialize for Range<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A range of either family: the value of one entry of an address list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressRange {
    /// Of IPv4.
    V4(Range<Ipv4Addr>),
    /// Of IPv6.
    V6(Range<Ipv6Addr>),
}

/// Why a string is not an address, a network or a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has no form of an address.
    #[error("not an address, a network or a range")]
    Unreadable,
    /// A prefix length that the family does not have.
    #[error("the prefix length must be 0 to {max}")]
    Prefix {
        /// The family's longest prefix.
        max: u8,
    },
    /// A network whose address has bits set after the prefix.
    #[error("host bits are set behind the prefix")]
    HostBits {
        /// The network that was probably meant.
        corrected: IpNetwork,
    },
    /// A range whose end comes before its start.
    #[error("the range ends before it starts")]
    Backward,
    /// A range from one family to the other.
    #[error("the range starts in one address family and ends in the other")]
    Families,
    /// An IPv4 address with leading zeros in its numbers, which some programs read as octal.
    #[error("an IPv4 address with leading zeros, which some programs read as octal numbers")]
    Padded {
        /// The same without them.
        plain: String,
    },
    /// An IPv4 address mapped to IPv6, which no packet on a wire carries.
    #[error("an IPv4-mapped address; packets carry the IPv4 address itself")]
    Mapped {
        /// The same in IPv4.
        ipv4: Ipv4Addr,
    },
}

impl AddressRange {
    /// Returns the range of one address.
    pub fn single(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(Range::single(address)),
            IpAddr::V6(address) => Self::V6(Range::single(address)),
        }
    }

    /// Returns the network of `prefix` bits that contains `address`. A prefix above the family's width is reduced to it.
    pub fn network_of(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(Range::network_of(address, prefix)),
            IpAddr::V6(address) => Self::V6(Range::network_of(address, prefix)),
        }
    }

    /// Returns whether `address` is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(range), IpAddr::V4(address)) => range.contains(address),
            (Self::V6(range), IpAddr::V6(address)) => range.contains(address),
            _ => false,
        }
    }

    /// Returns whether all of `other` is in the range.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4(range), Self::V4(other)) => range.covers(other),
            (Self::V6(range), Self::V6(other)) => range.covers(other),
            _ => false,
        }
    }

    /// Returns the prefix's length, if the range is a network.
    pub fn prefix(&self) -> Option<u8> {
        match self {
            Self::V4(range) => range.prefix(),
            Self::V6(range) => range.prefix(),
        }
    }

    fn parse_cidr(text: &str) -> Result<Self, AddressError> {
        let (address, prefix) = text.split_once('/').ok_or(AddressError::Unreadable)?;
        let address = parse_address(address)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = parse_prefix(prefix, address).ok_or(AddressError::Prefix { max })?;
        let network = IpNetwork::new(address, prefix).map_err(|_| AddressError::Prefix { max })?;
        if network.network() != address {
            let corrected = IpNetwork::new(network.network(), prefix).unwrap_or(network);
            return Err(AddressError::HostBits { corrected });
        }
        Ok(Self::network_of(address, prefix))
    }

    /// Parses the two ends of a range. `last` may be only the last number of an IPv4 address, as in 192.0.2.1-9.
    fn parse_span(first: &str, last: &str) -> Result<Self, AddressError> {
        let (first, last) = (parse_address(first.trim())?, last.trim());
        let last = match (first, last.parse::<u8>()) {
            (IpAddr::V4(first), Ok(number)) if is_plain_number(last) => {
                let [a, b, c, _] = first.octets();
                IpAddr::from([a, b, c, number])
            }
            _ => parse_address(last)?,
        };
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Range::new(first, last).map(Self::V4),
            (IpAddr::V6(first), IpAddr::V6(last)) => Range::new(first, last).map(Self::V6),
            _ => return Err(AddressError::Families),
        }
        .ok_or(AddressError::Backward)
    }
}

/// Parses a prefix's length: a number, or an IPv4 mask, as in 255.255.255.0.
fn parse_prefix(text: &str, address: IpAddr) -> Option<u8> {
    if is_plain_number(text) {
        return text.parse().ok();
    }
    let mask = text.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4())?.to_bits();
    (mask.leading_ones() + mask.trailing_zeros() == 32 || mask == 0).then_some(mask.leading_ones() as u8)
}

fn is_plain_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the string without leading zeros in its numbers, if it is an IPv4 address except for these.
fn without_padding(text: &str) -> Option<String> {
    let strip = |number: &str| match number.trim_start_matches('0') {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let numbers: Vec<_> = text.split('.').map(strip).collect();
    let plain = numbers.join(".");
    (text.split('.').all(is_plain_number) && plain.parse::<Ipv4Addr>().is_ok()).then_some(plain)
}

fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    let unreadable = |_| match without_padding(text) {
        Some(plain) => AddressError::Padded { plain },
        None => AddressError::Unreadable,
    };
    match text.parse().map_err(unreadable)? {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            Err(AddressError::Mapped { ipv4: address.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED) })
        }
        address => Ok(address),
    }
}

impl FromStr for AddressRange {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains('/') {
            Self::parse_cidr(text)
        } else if let Some((first, last)) = text.split_once('-') {
            Self::parse_span(first, last)
        } else {
            parse_address(text).map(Self::single)
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(range) => range.fmt(f),
            Self::V6(range) => range.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_show_as_the_shortest_form_that_reads_back() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/9", "10.0.0.1-10.0.0.2", "255.255.255.255", "fe80::/10"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.0-10.0.0.255".parse::<AddressRange>().unwrap().to_string(), "10.0.0.0/24");
    }

    #[test]
    fn each_misspelling_has_its_own_error() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err();
        assert_eq!(
            error("10.0.0.1/24"),
            AddressError::HostBits { corrected: "10.0.0.0/24".parse().unwrap() }
        );
        assert_eq!(error("10.0.0.0/33"), AddressError::Prefix { max: 32 });
        assert_eq!(error("10.0.0.0/+8"), AddressError::Prefix { max: 32 });
        assert_eq!(error("10.0.0.9-10.0.0.1"), AddressError::Backward);
        assert_eq!(error("10.0.0.9-::1"), AddressError::Families);
        assert_eq!(error("::ffff:10.0.0.1"), AddressError::Mapped { ipv4: Ipv4Addr::new(10, 0, 0, 1) });
        assert_eq!(error("office"), AddressError::Unreadable);
        assert_eq!(error(""), AddressError::Unreadable);
    }
}
