//! What a rule can load from a packet.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::Payload;

use super::super::{Answer, Tracking, View};
use super::registers::Bytes;

/// `enum nft_payload_bases`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// The maximum length of an interface's name (`IFNAMSIZ`, linux/if.h).
const NAME: usize = 16;

/// `enum nft_meta_keys`.
mod meta {
    pub(super) const MARK: u32 = 3;
    pub(super) const IIF: u32 = 4;
    pub(super) const OIF: u32 = 5;
    pub(super) const IIFNAME: u32 = 6;
    pub(super) const OIFNAME: u32 = 7;
    pub(super) const NFPROTO: u32 = 15;
    pub(super) const L4PROTO: u32 = 16;
    pub(super) const PKTTYPE: u32 = 19;
    pub(super) const SECPATH: u32 = 25;
    pub(super) const IIFKIND: u32 = 26;
    pub(super) const OIFKIND: u32 = 27;
}

/// `enum nft_ct_keys`.
mod ct {
    pub(super) const STATE: u32 = 0;
    pub(super) const DIRECTION: u32 = 1;
    pub(super) const STATUS: u32 = 2;
    pub(super) const L3PROTOCOL: u32 = 7;
    pub(super) const DST: u32 = 9;
    pub(super) const PROTOCOL: u32 = 10;
    pub(super) const PROTO_DST: u32 = 12;
    pub(super) const DST_IP: u32 = 20;
    pub(super) const DST_IP6: u32 = 22;
}

/// `NF_CT_STATE_INVALID_BIT`, `NF_CT_STATE_BIT(IP_CT_NEW)` and `NF_CT_STATE_UNTRACKED_BIT`
/// (linux/netfilter/nf_conntrack_common.h).
const INVALID: u32 = 1;
const NEW: u32 = 1 << 3;
const UNTRACKED: u32 = 1 << 6;
/// `IPS_DST_NAT`, and the bits for a finished search for a translation (the same header).
const DST_NAT: u32 = 1 << 5;

/// `NFPROTO_IPV4`, `NFPROTO_IPV6` (linux/netfilter.h).
pub(super) fn nfproto(family: Family) -> u8 {
    if family == Family::Ipv4 { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Returns a name as registers have it.
pub(super) fn interface_name(name: &str) -> Bytes {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    Bytes::known(&bytes)
}

/// Returns what `meta` loads.
pub(super) fn meta(view: &View<'_>, key: u32, length: usize) -> Bytes {
    let incoming = view.packet.incoming;
    let kind = |kind: Option<&String>| kind.map_or_else(|| Bytes::unknown(NAME), |kind| interface_name(kind));
    match key {
        meta::MARK => view.mark().map_or_else(|| Bytes::unknown(4), |mark| Bytes::known(&mark.to_ne_bytes())),
        meta::IIF => Bytes::known(&incoming.index.to_ne_bytes()),
        meta::OIF => Bytes::known(&view.outgoing.map_or(0, |link| link.index).to_ne_bytes()),
        meta::IIFNAME => interface_name(&incoming.name),
        meta::OIFNAME => interface_name(view.outgoing.map_or("", |link| &link.name)),
        meta::NFPROTO => Bytes::known(&[nfproto(view.family())]),
        meta::L4PROTO => Bytes::known(&[view.protocol()]),
        meta::PKTTYPE => Bytes::known(&[view.packet_type()]),
        // Not encrypted.
        meta::SECPATH => Bytes::known(&[0]),
        meta::IIFKIND => kind(incoming.kind.as_ref()),
        meta::OIFKIND => kind(view.outgoing.and_then(|link| link.kind.as_ref())),
        _ => Bytes::unknown(length),
    }
}

/// Returns what `ct` loads of a connection, in the direction of its first packet. Nothing: there is no connection, and
/// the packet does not match the rule (`nft_ct_get_eval`, net/netfilter/nft_ct.c).
pub(super) fn ct(view: &View<'_>, key: u32, length: usize) -> Option<Bytes> {
    let state = match (key, view.tracking) {
        (ct::STATE, Tracking::New) => Bytes::known(&NEW.to_ne_bytes()),
        (ct::STATE, Tracking::Exempt) => Bytes::known(&UNTRACKED.to_ne_bytes()),
        (ct::STATE, Tracking::NotYet) => Bytes::known(&INVALID.to_ne_bytes()),
        (ct::STATE, Tracking::Unknown) => Bytes::unknown(4),
        _ => return entry(view, key, length),
    };
    Some(state)
}

/// Returns what it loads of the connection's entry.
fn entry(view: &View<'_>, key: u32, length: usize) -> Option<Bytes> {
    let dialled = view.packet.destination;
    let has_entry = view.tracking.has_entry();
    let tracked = |value: &[u8]| match has_entry {
        Answer::Yes => Bytes::known(value),
        Answer::No | Answer::Unknown => Bytes::unknown(value.len()),
    };
    let value = match key {
        ct::STATUS => tracked(&(if view.translated.is_some() { DST_NAT } else { 0 }).to_ne_bytes()),
        ct::DIRECTION => tracked(&[0]),
        ct::L3PROTOCOL => tracked(&[nfproto(view.family())]),
        ct::PROTOCOL => tracked(&[view.protocol()]),
        ct::DST | ct::DST_IP | ct::DST_IP6 => tracked(&octets(dialled)),
        ct::PROTO_DST => match view.dialled_port() {
            Some(port) => tracked(&port.to_be_bytes()),
            None => Bytes::unknown(2),
        },
        _ => Bytes::unknown(length),
    };
    (has_entry != Answer::No).then_some(value)
}

/// Returns what `payload` loads. Nothing: the packet has no such part, and does not match the rule.
pub(super) fn payload(view: &View<'_>, base: u32, offset: usize, length: usize) -> Option<Bytes> {
    let header = match base {
        NETWORK => network(view),
        TRANSPORT => transport(view)?,
        _ => return Some(Bytes::unknown(length)),
    };
    let end = offset.saturating_add(length);
    let bytes: Vec<_> = (offset..end).map(|at| header.get(at).copied().flatten()).collect();
    let (source, size) = if view.family() == Family::Ipv4 { (12, 4) } else { (8, 16) };
    let is_source = base == NETWORK && offset == source && length <= size;
    Some(Bytes { bytes, are_of_elsewhere: is_source && view.packet.source.is_none() })
}

/// Returns the header of IPv4 (RFC 791, without options) or IPv6 (RFC 8200).
fn network(view: &View<'_>) -> Vec<Option<u8>> {
    let is_v4 = view.family() == Family::Ipv4;
    let mut header = vec![None; if is_v4 { 20 } else { 40 }];
    let size = if is_v4 { 4 } else { 16 };
    let source = view
        .packet
        .source
        .map_or_else(|| vec![None; size], |source| octets(source).into_iter().map(Some).collect());
    let destination: Vec<_> = octets(view.destination()).into_iter().map(Some).collect();
    let addresses = [source, destination].concat();
    let at = if is_v4 { 12 } else { 8 };
    header.splice(at.., addresses);
    let protocol = if is_v4 { 9 } else { 6 };
    // In IPv6, other headers may come first.
    if let Some(place) = header.get_mut(protocol) {
        *place = Some(view.protocol());
    }
    if is_v4 {
        // Not a fragment.
        header.splice(6..8, [Some(0), Some(0)]);
    }
    header
}

/// Returns what follows the network header, as far as it matters.
fn transport(view: &View<'_>) -> Option<Vec<Option<u8>>> {
    match view.packet.payload {
        Payload::Ports { transport, .. } => {
            let port = view.port()?.to_be_bytes();
            let mut header = vec![None, None, Some(port[0]), Some(port[1])];
            if transport == Transport::Tcp {
                header.resize(20, None);
                // SYN alone (RFC 9293, 3.1).
                header.splice(13..14, [Some(0x02)]);
            }
            Some(header)
        }
        Payload::Icmp(kind) => Some(vec![Some(kind), Some(0)]),
        Payload::Other(_) => Some(vec![]),
    }
}
