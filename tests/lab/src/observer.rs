//! An observer on the host: what the kernel makes of the lab's handmade packets before any filter sees them.
//!
//! Where routing leads them, what connection tracking thinks of them and what address translation did to them is read
//! off the kernel, so that a test that foretells a verdict need not foretell these too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::netns::Netns;
use crate::run::run;
use crate::witness::by_hand;

/// A packet as it is at input or forward, behind prerouting and in front of all filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The interface that it is to go out by; nothing where it is for the host itself.
    pub outgoing: Option<String>,
    /// Its destination address.
    pub destination: IpAddr,
    /// Its destination port; of no meaning for what has none.
    pub port: u16,
    /// Whether its connection is up, or it is an error about one.
    pub is_live: bool,
    /// Whether connection tracking makes nothing of it.
    pub is_untracked: bool,
    /// Whether its connection's destination was translated.
    pub is_translated: bool,
    /// Whether the host has no way back to its source by the interface that it came in by.
    pub reverse_path_fails: bool,
}

/// The observer. Dropped, it is gone.
#[derive(Debug)]
pub struct Observer {
    host: Netns,
}

impl Observer {
    /// Looks at what is sent by hand to `interface`.
    pub fn install(host: &Netns, interface: &str) -> Result<Self> {
        host.nft(&ruleset(&by_hand(interface)))?;
        Ok(Self { host: host.clone() })
    }

    /// What was seen so far, by token.
    pub fn seen(&self) -> Result<BTreeMap<u16, Observed>> {
        let text = run(self.host.command("nft").args(["-j", "list", "table", "inet", "lab_observer"]))?;
        let listing: Value = serde_json::from_str(&text).context("nft's JSON")?;
        Ok(read(&listing))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // It may have been flushed along with everything else by what a test did.
        let _ = self.host.nft("delete table inet lab_observer\n");
    }
}

/// The states of connection tracking, each with the set that the packets in it are written into.
const STATES: [(&str, &str); 3] = [
    ("live", "ct state established,related"),
    ("untracked", "ct state invalid,untracked"),
    ("translated", "ct status dnat"),
];

/// The set of packets without a way back, and the condition, which older kernels have at prerouting alone.
const STRAY: (&str, &str) = ("stray", "fib saddr . iif oif missing");

fn ruleset(from: &str) -> String {
    let mut sets = String::new();
    let hooks = ["prerouting", "input", "forward"];
    let mut chains = BTreeMap::from(hooks.map(|hook| (hook, String::new())));
    for (family, token, address) in [("4", "ip id", "ip daddr"), ("6", "ip6 flowlabel", "ip6 daddr")] {
        let version = token.split(' ').next().unwrap_or_default();
        let from = format!("{from} {version} dscp {}", crate::packet::DSCP);
        for (hook, rules) in &mut chains {
            if *hook == "prerouting" {
                *rules += &format!("{from} {} add @{}{family} {{ {token} }}\n", STRAY.1, STRAY.0);
                continue;
            }
            let outgoing = if *hook == "forward" { "meta oifname . " } else { "" };
            let key = format!("{token} . {outgoing}{address} . th dport");
            sets += &format!("set {hook}{family} {{ typeof {key}; flags dynamic; size 65535; }}\n");
            *rules += &format!("{from} add @{hook}{family} {{ {key} }}\n");
            for (set, condition) in STATES {
                *rules += &format!("{from} {condition} add @{set}{family} {{ {token} }}\n");
            }
        }
        for (set, _) in STATES.into_iter().chain([STRAY]) {
            sets += &format!("set {set}{family} {{ typeof {token}; flags dynamic; size 65535; }}\n");
        }
    }
    let chains = chains.iter().map(|(hook, rules)| {
        // Behind prerouting nothing translates destinations; Docker's and other filters come at 0, or at -150.
        format!("chain {hook} {{\ntype filter hook {hook} priority -200;\n{rules}}}\n")
    });
    format!("table inet lab_observer {{\n{sets}{}}}\n", chains.collect::<String>())
}

fn read(listing: &Value) -> BTreeMap<u16, Observed> {
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sets: BTreeMap<&str, &[Value]> = objects.iter().filter_map(|object| set(&object["set"])).collect();
    let mut seen = BTreeMap::new();
    for family in ["4", "6"] {
        let elements = |stem: &str| sets.get(format!("{stem}{family}").as_str()).copied().unwrap_or_default();
        let tokens = |stem| elements(stem).iter().filter_map(number).collect::<BTreeSet<u16>>();
        let [live, untracked, translated] = STATES.map(|(stem, _)| tokens(stem));
        let stray = tokens(STRAY.0);
        for (token, outgoing, destination, port) in
            ["input", "forward"].into_iter().flat_map(elements).filter_map(place)
        {
            let state = |set: &BTreeSet<u16>| set.contains(&token);
            let (is_live, is_untracked) = (state(&live), state(&untracked));
            let is_translated = state(&translated);
            let observed = Observed {
                outgoing,
                destination,
                port,
                is_live,
                is_untracked,
                is_translated,
                reverse_path_fails: state(&stray),
            };
            seen.insert(token, observed);
        }
    }
    seen
}

fn set(set: &Value) -> Option<(&str, &[Value])> {
    Some((set["name"].as_str()?, set["elem"].as_array()?))
}

fn number(value: &Value) -> Option<u16> {
    u16::try_from(value.as_u64()?).ok()
}

/// Token, outgoing interface, destination and port.
fn place(element: &Value) -> Option<(u16, Option<String>, IpAddr, u16)> {
    let address = |value: &Value| value.as_str()?.parse().ok();
    match element["concat"].as_array()?.as_slice() {
        [token, destination, port] => Some((number(token)?, None, address(destination)?, number(port)?)),
        [token, outgoing, destination, port] => {
            Some((number(token)?, Some(outgoing.as_str()?.into()), address(destination)?, number(port)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_become_observations() {
        let set = |name: &str, elements: Value| serde_json::json!({"set": {"name": name, "elem": elements}});
        let listing = serde_json::json!({"nftables": [
            set("input4", serde_json::json!([{"concat": [7, "192.0.2.1", 22]}])),
            set("forward6", serde_json::json!([{"concat": [8, "docker0", "fd00::2", 80]}])),
            set("translated6", serde_json::json!([8])),
        ]});
        let seen = read(&listing);
        assert_eq!((seen[&7].outgoing.as_deref(), seen[&7].port, seen[&7].is_translated), (None, 22, false));
        assert_eq!((seen[&8].outgoing.as_deref(), seen[&8].is_translated), (Some("docker0"), true));
    }
}
