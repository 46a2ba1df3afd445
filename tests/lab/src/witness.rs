//! A witness on the host: which of the lab's handmade packets came in, and which of them survived all filters.
//!
//! An nftables table of its own that never decides anything. It looks first of all at prerouting, and behind every
//! filter (Docker's at 0, firewalld's at 10) at input and forward, and writes the packets' tokens into sets.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::netns::Netns;
use crate::packet::DSCP;
use crate::run::run;
use crate::sender::hardware_address_in_words;
use crate::wait::wait_until;

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Before every filter.
    Arrived,
    /// On its way to a process of the host, behind every filter.
    Input,
    /// On its way through the host, behind every filter.
    Forward,
}

const HOOKS: [(Hook, &str, &str, &str); 3] = [
    (Hook::Arrived, "arrived", "prerouting", "-450"),
    (Hook::Input, "input", "input", "300"),
    (Hook::Forward, "forward", "forward", "300"),
];

/// A packet that was seen, by family and [token](crate::Packet::token).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Survivor {
    /// Where.
    pub hook: Hook,
    /// Whether it was an IPv6 packet.
    pub ipv6: bool,
    /// Its token.
    pub token: u16,
}

/// The witness. Dropped, it is gone.
#[derive(Debug)]
pub struct Witness {
    host: Netns,
}

impl Witness {
    /// Lets the witness in, to look at what is sent by hand to `interface`.
    pub fn install(host: &Netns, interface: &str) -> Result<Self> {
        host.nft(&ruleset(&by_hand(interface)))?;
        Ok(Self { host: host.clone() })
    }

    /// All that was seen so far.
    pub fn seen(&self) -> Result<BTreeSet<Survivor>> {
        let text = run(self.host.command("nft").args(["-j", "list", "table", "inet", "lab_witness"]))?;
        let listing: Value = serde_json::from_str(&text).context("nft's JSON")?;
        let objects =
            listing.get("nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(objects.iter().filter_map(|object| object.get("set")).flat_map(elements).collect())
    }

    /// Waits until `count` packets have come in, and gives those that survived since the last [`clear`](Self::clear).
    ///
    /// A packet runs from the first hook to the last in one go, within microseconds, while this looks at intervals of
    /// milliseconds by starting a program, once more after the last packet was seen.
    pub fn survivors_of(&self, count: usize) -> Result<BTreeSet<Survivor>> {
        let arrived = |seen: &BTreeSet<Survivor>| seen.iter().filter(|one| one.hook == Hook::Arrived).count();
        wait_until(Duration::from_secs(10), &format!("for {count} packets to arrive"), || {
            self.seen().ok().filter(|seen| arrived(seen) >= count)
        })?;
        Ok(self.seen()?.into_iter().filter(|one| one.hook != Hook::Arrived).collect())
    }

    /// Forgets what was seen.
    pub fn clear(&self) -> Result<()> {
        let sets = HOOKS.iter().flat_map(|(_, name, ..)| [format!("{name}4"), format!("{name}6")]);
        let lines: Vec<String> = sets.map(|set| format!("flush set inet lab_witness {set}\n")).collect();
        self.host.nft(&lines.concat())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have been flushed along with everything else by what a test did.
        let _ = self.host.nft("delete table inet lab_witness\n");
    }
}

/// The match for what is sent by hand to an interface. Answers to marked packets are marked too, and pass through the host
/// where a container gives them, but have the container's own hardware address.
pub(crate) fn by_hand(interface: &str) -> String {
    format!("iifname \"{interface}\" ether saddr {}", hardware_address_in_words())
}

fn ruleset(from: &str) -> String {
    let mut text = String::from("table inet lab_witness {\n");
    for (_, name, hook, priority) in HOOKS {
        text += &format!(
            "set {name}4 {{ typeof ip id; flags dynamic; size 65535; }}\n\
             set {name}6 {{ typeof ip6 flowlabel; flags dynamic; size 65535; }}\n\
             chain {name} {{\n\
             type filter hook {hook} priority {priority};\n\
             {from} ip dscp {DSCP} add @{name}4 {{ ip id }}\n\
             {from} ip6 dscp {DSCP} add @{name}6 {{ ip6 flowlabel }}\n\
             }}\n"
        );
    }
    text + "}\n"
}

fn elements(set: &Value) -> Vec<Survivor> {
    let name = set["name"].as_str().unwrap_or_default();
    let hook = HOOKS.iter().find(|(_, stem, ..)| name.starts_with(stem)).map(|(hook, ..)| *hook);
    let tokens = set["elem"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tokens = tokens.iter().filter_map(|token| u16::try_from(token.as_u64()?).ok());
    let ipv6 = name.ends_with('6');
    tokens.filter_map(|token| Some(Survivor { hook: hook?, ipv6, token })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_become_survivors() {
        let set = serde_json::json!({"name": "input6", "elem": [7]});
        assert_eq!(elements(&set), [Survivor { hook: Hook::Input, ipv6: true, token: 7 }]);
    }
}
