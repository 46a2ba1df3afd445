//! Values, as nft writes them.

use std::net::{Ipv4Addr, Ipv6Addr};

use nix::libc;

use super::super::encode::NAME_WIDTH;
use crate::netlink::uapi;

/// The form of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Hex,
    /// A number in network byte order.
    Number,
    /// A number in the host's byte order.
    Mark,
    Name,
    Family,
    Protocol,
    Address,
    Address6,
    TcpFlags,
    State,
    Status,
    PacketType,
    AddressType,
    /// Whether it exists.
    Presence,
}

/// Returns a value in nft's words.
pub(super) fn value(form: Form, bytes: &[u8]) -> String {
    match (form, bytes) {
        (Form::Name, _) => interface(bytes),
        (Form::Number, _) if bytes.len() <= 4 => number(bytes).to_string(),
        (Form::Mark, _) if bytes.len() <= 4 => format!("0x{:08x}", u32::from_ne_bytes(filled(bytes))),
        (Form::Family, [family]) if i32::from(*family) == libc::NFPROTO_IPV4 => "ipv4".into(),
        (Form::Family, [family]) if i32::from(*family) == libc::NFPROTO_IPV6 => "ipv6".into(),
        (Form::Protocol, [protocol]) => protocol_name(*protocol),
        (Form::Address, _) if bytes.len() <= 4 => Ipv4Addr::from(filled(bytes)).to_string(),
        (Form::Address6, _) if bytes.len() <= 16 => Ipv6Addr::from(filled(bytes)).to_string(),
        (Form::TcpFlags, _) => names(form, bytes, " | "),
        (Form::State | Form::Status, _) => names(form, bytes, ","),
        (Form::PacketType, [libc::PACKET_HOST]) => "host".into(),
        (Form::AddressType, _) if bytes == u32::from(libc::RTN_LOCAL).to_ne_bytes() => "local".into(),
        (Form::AddressType, _) if bytes == u32::from(libc::RTN_UNICAST).to_ne_bytes() => "unicast".into(),
        (Form::Presence, _) if bytes.iter().all(|byte| *byte == 0) => "missing".into(),
        (Form::Presence, _) => "exists".into(),
        _ => format!("0x{}", hex(bytes)),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Returns bytes padded with zeros.
fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    whole
}

/// Returns a name without the zeros behind it. Without any zeros, it stands for all names that begin like this.
fn interface(bytes: &[u8]) -> String {
    let name = String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default());
    let star = if bytes.len() < NAME_WIDTH && !bytes.contains(&0) { "*" } else { "" };
    format!("\"{name}{star}\"")
}

fn protocol_name(number: u8) -> String {
    let known = [
        (libc::IPPROTO_ICMP, "icmp"),
        (libc::IPPROTO_TCP, "tcp"),
        (libc::IPPROTO_UDP, "udp"),
        (libc::IPPROTO_SCTP, "sctp"),
        (libc::IPPROTO_ICMPV6, "ipv6-icmp"),
    ];
    let name = known.into_iter().find(|(known, _)| *known == i32::from(number));
    name.map_or_else(|| number.to_string(), |(_, name)| name.into())
}

/// Returns the bits that are set, by their names.
pub(super) fn names(form: Form, bytes: &[u8], separator: &str) -> String {
    let (bits, known): (u32, &[(u32, &str)]) = match form {
        Form::TcpFlags => {
            (number(bytes), &[(1, "fin"), (2, "syn"), (4, "rst"), (8, "psh"), (16, "ack"), (32, "urg")])
        }
        Form::State => (
            u32::from_ne_bytes(filled(bytes)),
            &[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")],
        ),
        _ => (u32::from_ne_bytes(filled(bytes)), &[(16, "snat"), (uapi::IPS_DST_NAT, "dnat")]),
    };
    let unknown = known.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    let names = known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned());
    let rest = (unknown != 0 || bits == 0).then(|| format!("0x{unknown:x}"));
    names.chain(rest).collect::<Vec<_>>().join(separator)
}
