//! What rules do, and what they use for it.

use nix::libc;

use super::text;
use crate::netlink::attributes::Attributes;
use crate::netlink::uapi;
use crate::netlink::uapi::expression::{limit, log, verdict};

/// `NFT_LIMIT_PKT_BYTES` and `NFT_LIMIT_F_INV`.
const OF_BYTES: u32 = 1;
const OVER: u32 = 1;

pub(super) fn limit(data: Attributes<'_>) -> String {
    let long = |kind| data.find(kind).and_then(|number| number.long_number()).unwrap_or(0);
    let units = [(1, "second"), (60, "minute"), (3_600, "hour"), (86_400, "day"), (604_800, "week")];
    let unit =
        units.into_iter().find(|(seconds, _)| *seconds == long(limit::UNIT)).map_or("[?]", |(_, name)| name);
    let over = if data.number(limit::FLAGS).unwrap_or(0) & OVER != 0 { "over " } else { "" };
    let of = if data.number(limit::TYPE) == Some(OF_BYTES) { " bytes" } else { "" };
    format!("limit rate {over}{}{of}/{unit}", long(limit::RATE))
}

pub(super) fn log(data: Attributes<'_>) -> String {
    let level = if data.number(log::LEVEL) == Some(uapi::NFT_LOGLEVEL_INFO) { " level info" } else { "" };
    let prefix = data.find(log::PREFIX).map(|_| format!(" prefix \"{}\"", text(data, log::PREFIX)));
    format!("log{}{level}", prefix.unwrap_or_default())
}

/// Returns how nft writes that a rule uses an object of this kind (`NFT_OBJECT_*`, linux/netfilter/nf_tables.h).
pub(super) fn object(kind: u32) -> String {
    let known = match kind {
        uapi::object::COUNTER => "counter name",
        2 => "quota name",
        3 => "ct helper set",
        4 => "limit name",
        5 => "ct count name",
        6 => "tunnel name",
        7 => "ct timeout set",
        8 => "meta secmark set",
        9 => "ct expectation set",
        10 => "synproxy name",
        _ => return format!("[object {kind}]"),
    };
    known.into()
}

pub(super) fn verdict(verdict: Attributes<'_>) -> String {
    let chain = text(verdict, verdict::CHAIN);
    match verdict.number(verdict::CODE).map(u32::cast_signed) {
        Some(libc::NF_DROP) => "drop".into(),
        Some(libc::NF_ACCEPT) => "accept".into(),
        Some(libc::NF_QUEUE) => "queue".into(),
        Some(libc::NFT_CONTINUE) => "continue".into(),
        Some(libc::NFT_RETURN) => "return".into(),
        Some(libc::NFT_JUMP) => format!("jump {chain}"),
        Some(libc::NFT_GOTO) => format!("goto {chain}"),
        _ => "[immediate]".into(),
    }
}
