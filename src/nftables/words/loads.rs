//! What expressions load into registers.

use nix::libc;

use super::values::Form;
use crate::netlink::attributes::Attributes;
use crate::netlink::uapi;
use crate::netlink::uapi::expression::{ct, fib};

/// What a register holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// The field, in words.
    pub(super) what: String,
    /// The form of its values.
    pub(super) form: Form,
    /// Its size in bytes.
    pub(super) length: u32,
    /// The bits that are compared, if those are not all.
    pub(super) mask: Option<Vec<u8>>,
    /// The lowest value, with its place among the rule's words, if one was asked for.
    pub(super) from: Option<(usize, String)>,
    /// Whether something was asked for since it was loaded.
    pub(super) is_asked: bool,
}

impl Load {
    fn new(what: String, form: Form, length: u32) -> Self {
        Self { what, form, length, ..Self::default() }
    }
}

pub(super) fn meta(key: Option<u32>) -> Load {
    let key = key.unwrap_or(u32::MAX);
    let known = [
        (libc::NFT_META_IIFNAME as u32, "iifname", Form::Name),
        (libc::NFT_META_OIFNAME as u32, "oifname", Form::Name),
        (uapi::NFT_META_IIFKIND, "meta iifkind", Form::Name),
        (uapi::NFT_META_OIFKIND, "meta oifkind", Form::Name),
        (libc::NFT_META_NFPROTO as u32, "meta nfproto", Form::Family),
        (libc::NFT_META_L4PROTO as u32, "meta l4proto", Form::Protocol),
        (libc::NFT_META_PKTTYPE as u32, "meta pkttype", Form::PacketType),
        (libc::NFT_META_MARK as u32, "meta mark", Form::Mark),
    ];
    let found = known.into_iter().find(|(number, ..)| *number == key);
    let (what, form) =
        found.map_or((format!("[meta {key}]"), Form::Hex), |(_, what, form)| (what.into(), form));
    Load::new(what, form, if form == Form::Name { libc::IFNAMSIZ as u32 } else { 4 })
}

pub(super) fn conntrack(data: Attributes<'_>) -> Load {
    let key = data.number(ct::KEY).unwrap_or(u32::MAX);
    let known = [
        (libc::NFT_CT_STATE as u32, "state", Form::State),
        (libc::NFT_CT_STATUS as u32, "status", Form::Status),
        (libc::NFT_CT_PROTO_SRC as u32, "proto-src", Form::Number),
        (libc::NFT_CT_PROTO_DST as u32, "proto-dst", Form::Number),
        (libc::NFT_CT_MARK as u32, "mark", Form::Mark),
        (libc::NFT_CT_SRC_IP as u32, "ip saddr", Form::Address),
        (libc::NFT_CT_DST_IP as u32, "ip daddr", Form::Address),
        (libc::NFT_CT_SRC_IP6 as u32, "ip6 saddr", Form::Address6),
        (libc::NFT_CT_DST_IP6 as u32, "ip6 daddr", Form::Address6),
    ];
    let direction = match data.value(ct::DIRECTION) {
        [] => "",
        [0] => "original ",
        _ => "reply ",
    };
    let found = known.into_iter().find(|(number, ..)| *number == key);
    let (what, form) = found.map_or((format!("[{key}]"), Form::Hex), |(_, what, form)| (what.into(), form));
    Load::new(format!("ct {direction}{what}"), form, if form == Form::Address6 { 16 } else { 4 })
}

pub(super) fn fib(data: Attributes<'_>) -> Load {
    const KIND: Option<u32> = Some(uapi::NFT_FIB_RESULT_ADDRTYPE);
    const BACK: u32 = uapi::NFTA_FIB_F_SADDR | uapi::NFTA_FIB_F_IIF | uapi::NFTA_FIB_F_PRESENT;
    let (what, form) = match (data.number(fib::RESULT), data.number(fib::FLAGS)) {
        (KIND, Some(uapi::NFTA_FIB_F_SADDR)) => ("fib saddr type", Form::AddressType),
        (KIND, Some(uapi::NFTA_FIB_F_DADDR)) => ("fib daddr type", Form::AddressType),
        (Some(uapi::NFT_FIB_RESULT_OIF), Some(BACK)) => ("fib saddr . iif oif", Form::Presence),
        _ => ("[fib]", Form::Hex),
    };
    Load::new(what.into(), form, 4)
}

/// Returns a field of the network header. For an address whose prefix ends with a byte, only the bytes before are
/// loaded.
pub(super) fn network(family: Option<&str>, offset: u32, length: u32) -> Option<Load> {
    let (what, form) = match (family?, offset, length) {
        ("ipv4", 8, 1) => ("ip ttl", Form::Number),
        ("ipv4", 12, 1..=4) => ("ip saddr", Form::Address),
        ("ipv4", 16, 1..=4) => ("ip daddr", Form::Address),
        ("ipv6", 7, 1) => ("ip6 hoplimit", Form::Number),
        ("ipv6", 8, 1..=16) => ("ip6 saddr", Form::Address6),
        ("ipv6", 24, 1..=16) => ("ip6 daddr", Form::Address6),
        _ => return None,
    };
    Some(Load::new(what.into(), form, length))
}

/// Returns a field of the transport header; nft writes ports of a protocol that it does not know as those of `th`.
pub(super) fn transport(protocol: Option<&str>, offset: u32, length: u32) -> Option<Load> {
    let is_icmp = protocol.is_some_and(|protocol| protocol.contains("icmp"));
    let (field, form) = match (offset, length) {
        (0, 1) if is_icmp => ("type", Form::Number),
        (0, 2) => ("sport", Form::Number),
        (2, 2) => ("dport", Form::Number),
        (13, 1) if protocol == Some("tcp") => ("flags", Form::TcpFlags),
        _ => return None,
    };
    let protocol = match protocol {
        Some("ipv6-icmp") => "icmpv6",
        Some(protocol) => protocol,
        None => "th",
    };
    Some(Load::new(format!("{protocol} {field}"), form, length))
}
