//! `dockfw check` names what on this host bears on the policy: each is really there, and nothing is named that is not.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Engine, Packet, wait_until};

use super::forged::link_local_of;
use super::interfaces::is_refused;
use super::networks::segments;
use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};
use crate::need::Need;

/// What is put on the host, what takes it away again, and what must be said of it.
type Oddity = (&'static str, &'static str, &'static str);

const ODDITIES: [Oddity; 11] = [
    (
        "docker network create --opt com.docker.network.bridge.name=shop0 shop",
        "docker network rm shop",
        "shop0 is the bridge of Docker's network shop, but does not match `docker`",
    ),
    (
        "docker network create --opt com.docker.network.bridge.name=shop0 shop
         ip tuntap add tap9 mode tap; ip link set tap9 master shop0",
        "ip link delete tap9; docker network rm shop",
        "before that, take tap9 out of it: ip link set tap9 nomaster",
    ),
    (
        "docker network create --driver macvlan --subnet 192.0.2.0/24 --opt parent=eth0 beside
         docker run --detach --name camera --network beside --ip 192.0.2.77 lab:latest /bin/busybox sleep 1000",
        "docker rm --force camera; docker network rm beside",
        "container camera at 192.0.2.77, on macvlan network beside (eth0): macvlan bypasses",
    ),
    (
        "docker run --detach --name talker --network host lab:latest /bin/busybox nc -l -p 8091",
        "docker rm --force talker",
        "container talker is on the host's network and listens on 8091/tcp",
    ),
    (
        "iptables -P INPUT DROP",
        "iptables -P INPUT ACCEPT",
        "drops by default",
    ),
    (
        "iptables -A INPUT -m mark --mark 0x0/0x0 -j ACCEPT; iptables -A INPUT -j REJECT",
        "iptables -D INPUT -j REJECT; iptables -D INPUT -m mark --mark 0x0/0x0 -j ACCEPT",
        "",
    ),
    (
        "iptables -A INPUT -m limit --limit 5000/second --limit-burst 5000 -j ACCEPT; iptables -A INPUT -j REJECT",
        "iptables -D INPUT -j REJECT; iptables -D INPUT -m limit --limit 5000/second --limit-burst 5000 -j ACCEPT",
        "drops what its other rules do not accept: -A INPUT -j REJECT",
    ),
    (
        "iptables -t raw -A PREROUTING -p udp --dport 5353 -j CT --notrack",
        "iptables -t raw -D PREROUTING -p udp --dport 5353 -j CT --notrack",
        "excludes packets from connection tracking",
    ),
    ("sysctl -qw net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.all.rp_filter=0",
        "sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.all.rp_filter=2",
        "rp_filter is off for eth0"),
    ("OTHER -t nat -N DOCKER", "OTHER -t nat -X DOCKER", "Docker's chains are in iptables-"),
    ("docker network create --opt com.docker.network.bridge.name=br-fits fits", "docker network rm fits", ""),
];

/// Chains of nftables' own, by this machine's nft.
const CHAINS: &str = "table inet strict {
    chain incoming { type filter hook input priority 5; policy drop; ct mark 0 accept; }
    chain through { type filter hook forward priority 5; policy accept; ct mark 0 accept; reject; }
    chain bans { type filter hook input priority 6; policy accept; ip saddr { 198.51.100.7, 198.51.100.9 } drop; }
    chain pre { type filter hook prerouting priority -300; udp dport 5354 notrack; }
}";

pub(super) fn names_what_is_there(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    // What cases before this one had containers dial is not to be told here.
    run(fixture, "conntrack -F 2>/dev/null")?;
    // Cases that forge packets have switched it off.
    run(fixture, "sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.all.rp_filter=2")?;
    let usual = notes(fixture)?;
    // Where Docker has no chains, those are in one variant alone.
    let has_other = !fixture.lab.docker_is_on_nftables() && Need::BothVariants.lack().is_none();
    let is_odd = |put: &str| has_other || !put.starts_with("OTHER");
    // That the engine can't go on with Docker's chains in both variants is said of its own.
    let is_of_engine = |note: &String| {
        setting.engine == Engine::Compat
            && note.starts_with("the iptables engine is not for this host: Docker's chains")
    };
    for (put, take, words) in ODDITIES.into_iter().filter(|(put, ..)| is_odd(put)) {
        run(fixture, put)?;
        let noted = wait_until(std::time::Duration::from_secs(5), "for a note", || {
            let mut notes = new_notes(fixture, &usual).ok()?;
            notes.retain(|note| !is_of_engine(note));
            let is_as_expected = if words.is_empty() {
                notes.is_empty()
            } else {
                notes.len() == 1 && notes.iter().any(|note| note.contains(words))
            };
            is_as_expected.then_some(())
        });
        let found = new_notes(fixture, &usual);
        run(fixture, take)?;
        noted.with_context(|| format!("{put}: {found:#?}"))?;
    }
    ensure!(new_notes(fixture, &usual)?.is_empty(), "something was left");
    Ok(())
}

/// What a container dials, and what other machines get through this host, is told before it is lost.
pub(super) fn names_what_is_in_use(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let lan = fixture.lab.outside_segment("lan1")?;
    fixture.route_all(&lan)?;
    for segment in segments(&lan) {
        fixture.lab.untrusted.route(&segment, &fixture.lab.host)?;
    }
    fixture.remove()?;
    run(fixture, "conntrack -F 2>/dev/null")?;
    let uses = || -> Result<()> {
        let mut expect = Expectations::default();
        expect.answers(&fixture.web, [fixture.at(9000)[0]], "private");
        expect.answers(&lan, fixture.lab.untrusted.at(80), "untrusted").verify()
    };
    let told = || -> Result<()> {
        uses()?;
        let words = ["lan1 is a network that this host routes for", "inside   = [\"lan1\"]"];
        is_refused(fixture, setting, SOURCES, &words)?;
        let policy = format!("{SOURCES}\n[interfaces]\ninside = [\"lan1\"]\n");
        let said = String::from_utf8_lossy(&fixture.apply(setting, &policy)?.stderr).into_owned();
        let named = said.contains("containers use ports of this host") && said.contains("9000/tcp");
        ensure!(named && !said.contains("lan1"), "it said {said}");
        Expectations::default().answers(&lan, fixture.lab.untrusted.at(80), "untrusted").verify()
    };
    let outcome = told();
    fixture.lab.host.ip(&["link delete lan1"])?;
    outcome
}

/// A rule whose `to` is not what answers at its ports is named, and does what the note says: for the host, it opens nothing
/// of a container's; for published ports, it opens those of processes too. The one that is advised opens what it is for.
pub(super) fn names_misdirected_rules(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    for (port, name, [wrong, right], words) in [
        (
            8080,
            "web",
            ["host", "docker"],
            ["8080/tcp (web), 8080/udp (web)\n", "does not open published ports"],
        ),
        (9000, "private", ["docker", "host"], ["9000/tcp (", "opens them all the same"]),
    ] {
        let rule = |to: &str| opening(&[&port.to_string()], to);
        let named = || -> Result<Option<String>> {
            Ok(notes(fixture)?.into_iter().find(|note| note.starts_with("the rule 'open' is for ")))
        };
        let answers = || Expectations::default().answers(untrusted, fixture.at(port), name).verify();
        fixture.apply(setting, &rule(wrong))?;
        let note = named()?.context("it is not named")?;
        ensure!(words.iter().all(|part| note.contains(part)), "{note}");
        ensure!(note.contains(&format!("write to = \"{right}\"")), "{note}");
        match wrong {
            "host" => Expectations::default().silent(untrusted, fixture.at(port)).verify()?,
            _ => answers()?,
        }
        fixture.apply(setting, &rule(right))?;
        ensure!(named()?.is_none(), "{:?}", named());
        answers()?;
    }
    Ok(())
}

/// A neighbour on a trusted network may well use an address that is in no list.
pub(super) fn names_neighbours(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.remove()?;
    run(fixture, "conntrack -F 2>/dev/null")?;
    let own = link_local_of(&fixture.lab.host)?;
    let packet = Packet::udp("fe80::99".parse::<IpAddr>()?, own, 9000, 1, "neighbour");
    fixture.lab.untrusted.sender_to(&fixture.lab.host)?.send(&packet)?;
    let policy = SOURCES.replace("trusted = [", "trusted = [\"192.0.2.0/24\", ");
    let said = String::from_utf8_lossy(&fixture.apply(setting, &policy)?.stderr).into_owned();
    ensure!(said.contains("neighbours on a trusted network") && said.contains("9000/udp"), "it said {said}");
    Ok(())
}

pub(super) fn names_chains(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    run(fixture, "conntrack -F 2>/dev/null")?;
    fixture.apply(setting, SOURCES)?;
    let usual = notes(fixture)?;
    let nft = |text: &str| fixture.lab.host.nft(text);
    nft(CHAINS)?;
    let found = new_notes(fixture, &usual);
    nft("delete table inet strict")?;
    let found = found?;
    for words in [
        "chain incoming of table inet strict drops by default",
        "chain through of table inet strict drops what its other rules do not accept: reject",
        "table inet strict excludes",
    ] {
        ensure!(found.iter().filter(|note| note.contains(words)).count() == 1, "no {words:?} in {found:#?}");
    }
    ensure!(found.len() == 3, "{found:#?}");
    ensure!(new_notes(fixture, &usual)?.is_empty(), "something was left");
    Ok(())
}

/// The notes that were not there before.
fn new_notes(fixture: &PacketFixture<'_>, before: &[String]) -> Result<Vec<String>> {
    Ok(notes(fixture)?.into_iter().filter(|note| !before.contains(note)).collect())
}

fn notes(fixture: &PacketFixture<'_>) -> Result<Vec<String>> {
    let output = fixture.lab.dockfw(&["check"])?;
    let said = String::from_utf8(output.stderr)?;
    let mut notes: Vec<String> = Vec::new();
    let mut is_note = false;
    for line in said.lines() {
        if let Some(note) = line.strip_prefix("note: ") {
            notes.push(note.to_owned());
        } else if let Some(note) = notes.last_mut().filter(|_| is_note && line.starts_with("  ")) {
            *note += &format!("\n{line}");
        }
        is_note = line.starts_with("note: ") || is_note && line.starts_with("  ");
    }
    Ok(notes)
}

fn run(fixture: &PacketFixture<'_>, script: &str) -> Result<()> {
    let other =
        if *fixture.lab.variant() == dockfw_lab::Variant::Nft { "iptables-legacy" } else { "iptables-nft" };
    fixture.lab.on_host("sh", &["-ec", &script.replace("OTHER", other)]).map(drop)
}
