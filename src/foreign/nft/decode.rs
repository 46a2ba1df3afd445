//! Expressions, decoded from the kernel's attributes.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use nix::libc;

use super::super::Verdict;
use super::Rule;
use super::fib::Fib;
use super::set::Element;
use crate::netlink::attributes::{Attribute, Attributes};
use crate::netlink::uapi::expression::{
    bitwise, byteorder, cmp, ct, data, fib, hash, immediate, lookup, meta, nat, objref, payload, range,
    redir, socket, tunnel, verdict,
};
use crate::netlink::uapi::{element, expr};
use crate::nftables::words;

/// `NFT_NAT_SNAT`.
const SNAT: u32 = 0;
/// `NF_NAT_RANGE_NETMAP` (linux/netfilter/nf_nat.h).
const NETMAP: u32 = 1 << 6;
/// `IP_CT_DIR_REPLY`.
const REPLY: u8 = 1;
/// `NFT_LOOKUP_F_INV`.
const INVERTED: u32 = 1;
/// `NFT_RANGE_NEQ`.
const NOT_IN_RANGE: u32 = 1;
/// `NFT_BITWISE_MASK_XOR`, the only operation of kernels before 5.6, which do not name it.
const MASK_XOR: u32 = 0;
/// `NFT_OBJECT_CT_HELPER`.
const HELPER: u32 = 3;
/// `NFT_OBJECT_COUNTER`, `NFT_OBJECT_CT_TIMEOUT`, `NFT_OBJECT_CT_EXPECT`, `NFT_OBJECT_SECMARK`: objects that do not end
/// a rule either.
const HARMLESS_OBJECTS: [u32; 4] = [1, 7, 9, 8];
/// Expressions after which the next one is run, whatever they do besides.
const HARMLESS: [&[u8]; 7] = [b"counter", b"log", b"dup", b"masq", b"last", b"flow_offload", b"ct_helper"];
/// Matches of iptables that always hold, and targets after which the next rule decides.
const HARMLESS_OF_IPTABLES: [&[u8]; 8] =
    [b"comment", b"LOG", b"NFLOG", b"MASQUERADE", b"SNAT", b"TCPMSS", b"TRACE", b"CHECKSUM"];

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Loads something.
    Load { what: Load, register: u32, length: usize },
    /// Continues if the comparison with a register holds (`enum nft_cmp_ops`).
    Compare { register: u32, how: u32, data: Vec<u8> },
    /// Continues if a register is between these, or if it is not.
    Range { register: u32, is_negated: bool, first: Vec<u8>, last: Vec<u8> },
    /// Keeps some bits of a register, and inverts others.
    Mask { from: u32, to: u32, mask: Vec<u8>, xor: Vec<u8> },
    /// Swaps the bytes of each number.
    Swap { from: u32, to: u32, length: usize, size: usize },
    /// Loads a constant.
    Value { register: u32, value: Vec<u8> },
    /// Decides.
    Verdict(Verdict),
    /// Continues if a set has a register's value, or if it has not; with a register to load, loads the map's value.
    Lookup { set: String, register: u32, to: Option<u32>, is_negated: bool },
    /// Translates an address.
    Translate(Translated),
    /// Gives a mark.
    Mark,
    /// Connection tracking skips the packet.
    Untrack,
    /// Gives the connection a helper.
    Helper,
    /// Does nothing that matters here.
    Harmless,
    /// Continues under a condition that is unknown here.
    Unknown,
    /// Leaves the decision to something unknown here.
    Decides,
}

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Meta(u32),
    Ct(u32),
    Payload { base: u32, offset: usize },
    Fib(Fib),
    Unknown,
}

/// A translation: registers with the first and the last address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) is_source: bool,
    /// The only family that it is for, as `NFPROTO_*`; packets of the other one continue.
    pub(super) family: Option<u32>,
    pub(super) to: To,
    pub(super) ports: Option<[u32; 2]>,
}

/// The address that something is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The address that it has.
    Same,
    /// The addresses between these registers.
    Between([u32; 2]),
    /// The incoming interface's own.
    Own,
    /// An address that is unknown here: the same host in another network.
    Somewhere,
}

/// Returns the rule that has these expressions, in a table of one family or of both, with the comment that its maker
/// gave it.
pub(crate) fn rule(family: Option<Family>, expressions: &[u8], comment: Option<&str>) -> Rule {
    let text = words::of_rule_in(family, expressions, comment);
    Rule { expressions: Attributes(expressions).map(expression).collect(), text }
}

fn expression(item: Attribute<'_>) -> Expression {
    let expression = Attributes(item.value);
    let name = expression.find(expr::NAME).map(|name| name.text()).unwrap_or_default();
    let data = Attributes(expression.value(expr::DATA));
    decoded(name, data).unwrap_or(Expression::Unknown)
}

fn decoded(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    written(name, data)
        .or_else(|| loaded(name, data))
        .or_else(|| computed(name, data))
        .or_else(|| translated(name, data))
        .or_else(|| decisive(name, data))
}

/// Decodes what writes to the packet or to what belongs to it: it takes the value from a register.
fn written(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    match name {
        b"meta" => {
            let is_mark = data.number(meta::KEY) == Some(MARK_KEY);
            data.number(meta::SREG).map(|_| if is_mark { Expression::Mark } else { Expression::Harmless })
        }
        b"ct" => {
            let is_mark = data.number(ct::KEY) == Some(CONNECTION_MARK);
            data.number(ct::SREG).map(|_| if is_mark { Expression::Mark } else { Expression::Harmless })
        }
        b"payload" => data.number(payload::SREG).map(|_| Expression::Harmless),
        _ => None,
    }
}

/// Decodes what loads a part of the packet into a register.
fn loaded(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    let number = |kind| data.number(kind);
    let (what, register, size) = match name {
        b"meta" => (Load::Meta(number(meta::KEY)?), number(meta::DREG)?, 4),
        // Answers have the addresses and ports that the first packet was translated to.
        b"ct" if data.value(ct::DIRECTION) == [REPLY] => (Load::Unknown, number(ct::DREG)?, 4),
        b"ct" => (Load::Ct(number(ct::KEY)?), number(ct::DREG)?, 4),
        b"payload" => {
            let what =
                Load::Payload { base: number(payload::BASE)?, offset: size_of(data, payload::OFFSET)? };
            (what, number(payload::DREG)?, size_of(data, payload::LEN)?)
        }
        b"fib" => (Load::Fib(Fib::decoded(data)?), number(fib::DREG)?, 4),
        b"rt" | b"socket" | b"osf" | b"xfrm" | b"tunnel" | b"numgen" | b"hash" | b"exthdr" => {
            (Load::Unknown, register_of(name, data)?, 4)
        }
        b"bitwise" if number(bitwise::OP).unwrap_or(MASK_XOR) != MASK_XOR => {
            (Load::Unknown, number(bitwise::DREG)?, size_of(data, bitwise::LEN)?)
        }
        _ => return None,
    };
    Some(load(what, register, size))
}

/// Decodes what works on registers: compares them, changes them, looks them up.
fn computed(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    let number = |kind| data.number(kind);
    let value = |kind| value_in(data, kind);
    Some(match name {
        b"cmp" => Expression::Compare {
            register: number(cmp::SREG)?,
            how: number(cmp::OP)?,
            data: value(cmp::DATA)?,
        },
        b"range" => Expression::Range {
            register: number(range::SREG)?,
            is_negated: number(range::OP) == Some(NOT_IN_RANGE),
            first: value(range::FROM_DATA)?,
            last: value(range::TO_DATA)?,
        },
        b"bitwise" => Expression::Mask {
            from: number(bitwise::SREG)?,
            to: number(bitwise::DREG)?,
            mask: value(bitwise::MASK)?,
            xor: value(bitwise::XOR)?,
        },
        b"byteorder" => Expression::Swap {
            from: number(byteorder::SREG)?,
            to: number(byteorder::DREG)?,
            length: size_of(data, byteorder::LEN)?,
            size: size_of(data, byteorder::SIZE)?,
        },
        b"immediate" => immediate(number(immediate::DREG)?, Attributes(data.value(immediate::DATA)))?,
        b"lookup" => Expression::Lookup {
            set: text(data, lookup::SET)?,
            register: number(lookup::SREG)?,
            to: number(lookup::DREG),
            is_negated: number(lookup::FLAGS).unwrap_or(0) & INVERTED != 0,
        },
        _ => return None,
    })
}

fn translated(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    let number = |kind| data.number(kind);
    let translated = match name {
        b"nat" => Translated {
            is_source: number(nat::TYPE) == Some(SNAT),
            family: number(nat::FAMILY),
            to: match ends(number(nat::REG_ADDR_MIN), number(nat::REG_ADDR_MAX)) {
                _ if number(nat::FLAGS).unwrap_or(0) & NETMAP != 0 => To::Somewhere,
                None => To::Same,
                Some(registers) => To::Between(registers),
            },
            ports: ends(number(nat::REG_PROTO_MIN), number(nat::REG_PROTO_MAX)),
        },
        b"redir" => Translated {
            is_source: false,
            family: None,
            to: To::Own,
            ports: ends(number(redir::REG_PROTO_MIN), number(redir::REG_PROTO_MAX)),
        },
        _ => return None,
    };
    Some(Expression::Translate(translated))
}

/// Decodes what decides about the packet, and what is known not to affect that.
fn decisive(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    let object = || data.number(objref::IMM_TYPE);
    match name {
        b"objref" if object() == Some(HELPER) => Some(Expression::Helper),
        b"objref" if object().is_some_and(|kind| HARMLESS_OBJECTS.contains(&kind)) => {
            Some(Expression::Harmless)
        }
        b"notrack" => Some(Expression::Untrack),
        b"reject" => Some(Expression::Verdict(Verdict::Drop)),
        b"queue" | b"tproxy" | b"synproxy" | b"fwd" => Some(Expression::Decides),
        b"match" | b"target" if data.find(1).is_some_and(|of| HARMLESS_OF_IPTABLES.contains(&of.text())) => {
            Some(Expression::Harmless)
        }
        b"target" => Some(Expression::Decides),
        name if HARMLESS.contains(&name) => Some(Expression::Harmless),
        _ => None,
    }
}

fn size_of(data: Attributes<'_>, kind: u16) -> Option<usize> {
    Some(data.number(kind)? as usize)
}

/// `NFT_META_MARK`, `NFT_CT_MARK`.
const MARK_KEY: u32 = 3;
const CONNECTION_MARK: u32 = 3;

/// Returns the register that is loaded: not every expression names it first.
fn register_of(name: &[u8], data: Attributes<'_>) -> Option<u32> {
    let kind = match name {
        b"socket" => socket::DREG,
        b"hash" => hash::DREG,
        b"tunnel" => tunnel::DREG,
        // NFTA_RT_DREG, NFTA_OSF_DREG, NFTA_XFRM_DREG, NFTA_NG_DREG, NFTA_EXTHDR_DREG
        _ => 1,
    };
    data.number(kind)
}

fn load(what: Load, register: u32, length: usize) -> Expression {
    Expression::Load { what, register, length }
}

fn ends(first: Option<u32>, last: Option<u32>) -> Option<[u32; 2]> {
    first.map(|first| [first, last.unwrap_or(first)])
}

fn text(data: Attributes<'_>, kind: u16) -> Option<String> {
    Some(String::from_utf8_lossy(data.find(kind)?.text()).into_owned())
}

fn immediate(register: u32, data: Attributes<'_>) -> Option<Expression> {
    match data.find(data::VALUE) {
        Some(value) => Some(Expression::Value { register, value: value.value.to_vec() }),
        None => verdict(Attributes(data.value(data::VERDICT))).map(Expression::Verdict),
    }
}

/// Decodes `enum nft_verdicts`, and netfilter's own (linux/netfilter.h).
fn verdict(data: Attributes<'_>) -> Option<Verdict> {
    let chain = || text(data, verdict::CHAIN);
    Some(match data.number(verdict::CODE)?.cast_signed() {
        libc::NF_DROP => Verdict::Drop,
        libc::NF_ACCEPT => Verdict::Accept,
        libc::NFT_CONTINUE | libc::NFT_BREAK => Verdict::Continue,
        libc::NFT_JUMP => Verdict::Jump(chain()?),
        libc::NFT_GOTO => Verdict::Goto(chain()?),
        libc::NFT_RETURN => Verdict::Return,
        _ => Verdict::Unknown,
    })
}

/// Returns the value in an attribute.
fn value_in(attributes: Attributes<'_>, kind: u16) -> Option<Vec<u8>> {
    Attributes(attributes.value(kind)).find(data::VALUE).map(|value| value.value.to_vec())
}

/// Returns the elements of a list of the kernel's. `fields`: the lengths of the fields of each key, if it has several.
pub(crate) fn elements(list: &[u8], fields: &[usize]) -> impl Iterator<Item = Element> {
    Attributes(list).map(|item| {
        let item = Attributes(item.value);
        let flags = item.number(element::FLAGS).unwrap_or(0);
        let data = Attributes(item.value(element::DATA));
        Element {
            key: value_in(item, element::KEY).unwrap_or_default(),
            last: value_in(item, element::KEY_END),
            ends: flags & element::FLAG_INTERVAL_END != 0,
            is_catch_all: flags & element::FLAG_CATCH_ALL != 0,
            verdict: data.find(data::VERDICT).and_then(|data| verdict(Attributes(data.value))),
            value: value_in(item, element::DATA),
            fields: fields.to_vec(),
        }
    })
}

impl Expression {
    /// Returns the set that it asks.
    pub(super) fn set(&self) -> Option<&str> {
        match self {
            Self::Lookup { set, .. } => Some(set),
            _ => None,
        }
    }

    /// Returns the numbers of a port's size that it compares with.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
        match self {
            Self::Compare { data, .. } => number(data).map(|port| (port, port)),
            Self::Range { first, last, .. } => Some((number(first)?, number(last)?)),
            _ => None,
        }
    }

    /// Returns the address of a family that it compares with.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        let Self::Compare { data, .. } = self else { return None };
        address(data).filter(|address| address.is_ipv4() == (family == Family::Ipv4))
    }
}

/// Returns the address that has these bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes::put_number;

    #[test]
    fn what_is_not_known_is_loaded_into_the_register_that_is_named() {
        for (name, register) in [("rt", 1), ("socket", 2), ("hash", 2), ("tunnel", 2), ("exthdr", 1)] {
            let mut data = Vec::new();
            (1..4).for_each(|kind| put_number(&mut data, kind, 10 + u32::from(kind)));
            let expected = load(Load::Unknown, 10 + register, 4);
            assert_eq!(decoded(name.as_bytes(), Attributes(&data)), Some(expected), "{name}");
        }
    }
}
