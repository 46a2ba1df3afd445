//! Addresses as people write them who know another notation.

use std::net::{IpAddr, Ipv4Addr};

use crate::address::{AddressError, AddressRange};

/// The words that people use for everyone.
const EVERYONE: [&str; 8] = ["any", "all", "*", "everyone", "anyone", "anywhere", "everybody", "world"];

/// Returns whether a string means everyone.
pub(super) fn means_everyone(text: &str) -> bool {
    EVERYONE.contains(&text.trim().to_lowercase().as_str())
}

/// Returns whether a string could be the name of a host.
pub(super) fn is_host_name(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.contains('.') && text.chars().all(is_allowed) && text.chars().any(|c| c.is_ascii_alphabetic())
}

/// Returns the addresses that are meant by a string which is none, if that is clear.
pub(super) fn right_addresses(text: &str) -> Option<Vec<AddressRange>> {
    let is_separator = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
    let parts = text.split(is_separator).filter(|part| !part.is_empty());
    let joined = text.replace(char::is_whitespace, "");
    one(&joined)
        .map(|range| vec![range])
        .or_else(|| parts.map(one).collect::<Option<_>>())
        .filter(|all: &Vec<_>| !all.is_empty())
}

fn one(text: &str) -> Option<AddressRange> {
    let plain = text.replace(['\u{2013}', '\u{2014}'], "-").replace('\\', "/");
    let candidates = [
        Some(plain.clone()),
        without_scheme(&plain),
        without_brackets(&plain),
        without_port(&plain),
        without_zone(&plain),
        in_full(&plain),
    ];
    candidates.into_iter().flatten().find_map(|candidate| read(&candidate))
}

/// Reads an address; of one with host bits, the network.
fn read(text: &str) -> Option<AddressRange> {
    match text.parse() {
        Ok(range) => Some(range),
        Err(AddressError::HostBits { corrected }) => corrected.to_string().parse().ok(),
        Err(_) => None,
    }
}

/// Returns the host of a URL.
fn without_scheme(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let host = rest.split('/').next()?;
    without_brackets(host).or_else(|| without_port(host)).or_else(|| Some(host.to_owned()))
}

/// Returns the address of `[2001:db8::1]`, with a port behind it or not.
fn without_brackets(text: &str) -> Option<String> {
    let (address, rest) = text.strip_prefix('[')?.split_once(']')?;
    (rest.is_empty() || rest.starts_with([':', '/'])).then(|| match rest.strip_prefix('/') {
        Some(prefix) => format!("{address}/{prefix}"),
        None => address.to_owned(),
    })
}

/// Returns the address of `192.0.2.1:22`.
fn without_port(text: &str) -> Option<String> {
    let (address, port) = text.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && address.parse::<Ipv4Addr>().is_ok()).then(|| address.to_owned())
}

/// Returns the address of `fe80::1%eth0`.
fn without_zone(text: &str) -> Option<String> {
    let (address, _) = text.split_once('%')?;
    address.parse::<IpAddr>().ok().map(|address| address.to_string())
}

/// Returns the network of `10/8`, `192.0.2/24`, `192.0.2.*`, `192.0.2.x` or `192.0.2`. One number alone is none.
fn in_full(text: &str) -> Option<String> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let numbers: Vec<&str> = address.split('.').take_while(|part| part.parse::<u8>().is_ok()).collect();
    let rest = address.split('.').skip(numbers.len());
    let is_clear =
        rest.clone().all(|part| matches!(part, "" | "*" | "x" | "X")) && (1..4).contains(&numbers.len());
    let is_meant = prefix.is_some() || numbers.len() > 1 || rest.clone().next().is_some();
    let length = prefix.map_or_else(|| (8 * numbers.len()).to_string(), str::to_owned);
    let zeros = std::iter::repeat_n("0", 4 - numbers.len().min(4));
    let full: Vec<_> = numbers.iter().copied().chain(zeros).collect();
    (is_clear && is_meant).then(|| format!("{}/{length}", full.join(".")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn other_notations_are_understood() {
        for (typed, right) in [
            (" 10.0.0.1 ", "10.0.0.1"),
            ("10.0.0.0 / 24", "10.0.0.0/24"),
            ("10.0.0.1, 10.0.0.2", "10.0.0.1 10.0.0.2"),
            ("10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"),
            ("192.0.2.1:22", "192.0.2.1"),
            ("[2001:db8::1]:22", "2001:db8::1"),
            ("[2001:db8::]/32", "2001:db8::/32"),
            ("fe80::1%eth0", "fe80::1"),
            ("https://192.0.2.1:8443/x", "192.0.2.1"),
            ("10/8", "10.0.0.0/8"),
            ("192.0.2.*", "192.0.2.0/24"),
            ("192.0.x.x", "192.0.0.0/16"),
            ("192.0.2", "192.0.2.0/24"),
            ("10.0.0.1\u{2013}10.0.0.9", "10.0.0.1-10.0.0.9"),
        ] {
            let found: Vec<_> = right_addresses(typed).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), right, "{typed}");
        }
        for unclear in ["", "10", "10.0.0.300", "*", "office", "10.0.0.1 office", "*.*.*.*"] {
            assert_eq!(right_addresses(unclear), None, "{unclear}");
        }
    }
}
