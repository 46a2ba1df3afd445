//! Policies at random.

use std::path::Path;

use anyhow::{Result, anyhow};
use dockfw_lab::Dice;
use dockfw_policy::policy::Policy;
use dockfw_policy::{FilesInMemory, Strictness, load};

const LISTED: [&str; 13] = [
    "192.0.2.10",
    "192.0.2.20",
    "192.0.2.30",
    "192.0.2.24/29",
    "192.0.2.40-192.0.2.50",
    "172.17.0.0/16",
    "203.0.113.0/24",
    "10.99.0.0/16",
    "2001:db8:1::10",
    "2001:db8:1::20-2001:db8:1::30",
    "2001:db8:1::40",
    "fd00::/8",
    "fe80::/10",
];

const SERVICES: [&str; 16] = [
    "22/tcp",
    "22/udp",
    "80/tcp",
    "443/udp",
    "3000/tcp",
    "7000-7001/tcp",
    "7000-7002/udp",
    "8080/tcp",
    "8080/udp",
    "8081-8083/tcp",
    "8443/tcp",
    "9000/udp",
    "1-79/udp",
    "65535/tcp",
    "esp",
    "gre",
];

const INTERFACES: [&str; 12] = [
    "",
    "",
    "exempt = [\"vpn0\"]",
    "filtered = [\"eth*\"]",
    "filtered = [\"eth0\", \"vpn*\"]",
    "filtered = [\"vpn0\"]\nexempt = [\"eth0\"]",
    "docker = [\"docker0\"]",
    "docker = []",
    "inside = [\"vpn0\"]",
    "inside = [\"vpn0\"]\ncrossing = [\"eth0\"]",
    "filtered = [\"vpn0\"]\ninside = [\"eth0\"]",
    "docker = [\"docker0\"]\ninside = [\"br-*\"]",
];

/// What a rule's `in` may be.
const ARRIVALS: [&str; 6] =
    ["\"vpn0\"", "\"eth0\"", "\"vpn*\", \"other0\"", "\"docker0\"", "\"br-*\", \"eth*\"", "\"nothing0\""];

/// A policy, all but its `[engine]`.
pub(super) fn random(dice: &mut Dice) -> String {
    let [trusted, blocked, peers] = [3, 2, 2].map(|most| list(&dice.some(&LISTED, most)));
    // Of many rules, engines make more than a list.
    let count = if dice.one_in(3) { 10 + dice.roll(40) } else { dice.roll(5) };
    let allow: String = (0..count).map(|number| allow(dice, number)).collect();
    let (interfaces, echo) = (dice.pick(&INTERFACES), dice.pick(&["accept", "trusted"]));
    let log = dice.one_in(4);
    format!(
        "trusted = [{trusted}]\nblocked = [{blocked}]\n{allow}[interfaces]\n{interfaces}\n\
         [swarm]\npeers = [{peers}]\n[icmp]\necho = \"{echo}\"\n[log]\ndrops = {log}\n"
    )
}

fn allow(dice: &mut Dice, number: usize) -> String {
    let mut from = dice.some(&LISTED, 2);
    if dice.one_in(4) {
        from.push("containers");
    }
    if dice.one_in(4) {
        from.push("inside");
    }
    let from = if from.is_empty() { String::new() } else { format!("from = [{}]\n", list(&from)) };
    let mut ports = dice.some(&SERVICES, 3);
    ports.push(dice.pick(&SERVICES));
    ports.dedup();
    let to = dice.pick(&["", "host", "docker", "container", "forward"]);
    let to = if to.is_empty() { String::new() } else { format!("to = \"{to}\"\n") };
    let by = if dice.one_in(3) { format!("in = [{}]\n", dice.pick(&ARRIVALS)) } else { String::new() };
    let is_for_everyone = from.is_empty() && by.is_empty();
    let only = if !is_for_everyone && dice.one_in(3) { "only = true\n" } else { "" };
    format!("[[allow]]\nname = \"{number}\"\n{from}{by}ports = [{}]\n{to}{only}", list(&ports))
}

fn list(entries: &[&str]) -> String {
    entries.iter().map(|entry| format!("\"{entry}\"")).collect::<Vec<_>>().join(", ")
}

/// What a policy's text means.
pub(super) fn read(text: &str) -> Result<Policy> {
    let files = FilesInMemory::new([("/dockfw.toml", text)]);
    let loaded = load(Path::new("/dockfw.toml"), &files, Strictness::Strict);
    loaded.map(|loaded| loaded.policy).map_err(|rejected| anyhow!("{rejected}"))
}
