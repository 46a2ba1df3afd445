//! Hosts that come from the old layout: what its rules become, and the taking over from them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Knocker, Netns, Outcome, PROTOS, Probe, probe_all, run_with_input};

use super::forged::{both, survivors};
use super::live::{Moments, Traffic, apply_for, nobody_answered, time_of_apply};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

/// An old layout: its rules, its set as it is on CentOS or on Ubuntu, and whether it filters every interface. Where it is
/// grown, its set is a big one, which is imported from a file that many hands have edited.
struct Old {
    name: &'static str,
    rules: &'static str,
    set: &'static str,
    filters_all: bool,
    is_grown: bool,
}

/// How many entries a grown set has beside those of its file.
const GROWN: u32 = 60_000;

macro_rules! text {
    ($file:literal) => {
        include_str!(concat!("../../old-layout/", $file))
    };
}

const LAYOUTS: [Old; 5] = [
    Old {
        name: "default, CentOS",
        rules: text!("default.rules"),
        set: text!("default.centos.set"),
        filters_all: true,
        is_grown: false,
    },
    Old {
        name: "default, Ubuntu",
        rules: text!("default.rules"),
        set: text!("default.ubuntu.set"),
        filters_all: true,
        is_grown: true,
    },
    Old {
        name: "example, CentOS",
        rules: text!("example.rules"),
        set: text!("example.centos.set"),
        filters_all: false,
        is_grown: false,
    },
    Old {
        name: "example, Ubuntu",
        rules: text!("example.rules"),
        set: text!("example.ubuntu.set"),
        filters_all: false,
        is_grown: false,
    },
    Old {
        name: "by hand",
        rules: text!("manual.rules"),
        set: text!("manual.set"),
        filters_all: true,
        is_grown: false,
    },
];

impl Old {
    /// Puts the layout on the host, in the place of dockfw, with the lab's addresses for those of its files.
    fn put(&self, fixture: &PacketFixture<'_>) -> Result<()> {
        clear(fixture)?;
        let set = self.set(fixture);
        let script = format!(
            "ipset restore <<'END'\n{set}END\niptables-restore --noflush <<'END'\n{}END\niptables -I INPUT 1 -j FILTERS",
            self.rules
        );
        run_with_input(fixture.lab.command("sh").arg("-e"), script.as_bytes())?;
        let jumps = fixture.rules()?.matches("-A INPUT -j FILTERS").count();
        ensure!(jumps == 1, "{jumps} jumps to FILTERS");
        Ok(())
    }

    /// The file of the set, with the lab's addresses.
    fn set(&self, fixture: &PacketFixture<'_>) -> String {
        let lab = fixture.lab;
        let set = self.set.replace("192.168.100.100", &lab.host.v4.to_string());
        let set = set.replace("192.168.100.1\n", &format!("{}\n", lab.trusted.v4));
        let set = set.replace("192.168.1.123", &lab.trusted.v4.to_string());
        // A bare `flush` empties the sets of all others on the host as well.
        let set = set.replace("\nflush\n", "\nflush ip_allow\n");
        let entries = (0..GROWN).filter(|_| self.is_grown);
        let entry = |n: u32| format!("add ip_allow {}\n", Ipv4Addr::from_bits(0x0b00_0000 + n * 2));
        set + &entries.map(entry).collect::<String>()
    }

    /// The policy that its rules and its set become: those in force, or those of files.
    fn imported(&self, fixture: &PacketFixture<'_>) -> Result<String> {
        if !self.is_grown {
            return import(fixture, &["--live"]);
        }
        // Where the host has it too, whatever root it has.
        let files = tempfile::tempdir_in("/run")?;
        let [rules, set] = ["rules", "set"].map(|name| files.path().join(name).display().to_string());
        fs::write(&rules, self.rules)?;
        fs::write(&set, edited(&self.set(fixture)))?;
        ensure!(import(fixture, &[&rules, &set]).is_err(), "junk is imported");
        import(fixture, &["--lenient", &rules, &set])
    }
}

/// Takes dockfw out, and whatever is there of the old layout.
fn clear(fixture: &PacketFixture<'_>) -> Result<()> {
    fixture.remove()?;
    let script = "ipset list -n ip_allow || exit 0
                  while iptables -D INPUT -j FILTERS; do :; done; iptables -F FILTERS; iptables -X FILTERS
                  iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN; ipset destroy ip_allow";
    fixture.lab.on_host("sh", &["-c", script]).map(drop)
}

/// A set's file as editors of Windows, and people in a hurry, leave it.
fn edited(set: &str) -> String {
    let lines = set.lines().enumerate().map(|(index, line)| match index % 1000 {
        998 => format!("{line}\r\n# to be reviewed\r\n\r\n"),
        999 => format!("{line}\r\nadd ip_allow somebody\r\nfixme\r\n"),
        _ => format!("{line}\r\n"),
    });
    lines.collect()
}

fn import(fixture: &PacketFixture<'_>, what: &[&str]) -> Result<String> {
    let output = fixture.lab.dockfw(&[&["import"], what].concat())?;
    ensure!(output.status.success(), "dockfw import: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("a policy is text")
}

/// A probe of the matrix.
struct Asked {
    probe: Probe,
    to: SocketAddr,
    /// Whether it is by a container of a network that Docker did not come with.
    is_of_own_network: bool,
}

/// Probes by everybody of everything.
fn matrix(fixture: &PacketFixture<'_>) -> Vec<Asked> {
    let mut matrix = Vec::new();
    let mut add = |from: &Netns, is_of_own_network: bool, to: Vec<SocketAddr>| {
        for (to, proto) in to.into_iter().flat_map(|to| PROTOS.map(|proto| (to, proto))) {
            matrix.push(Asked { probe: from.probe(proto, to), to, is_of_own_network });
        }
    };
    let lab = fixture.lab;
    let of_host: Vec<_> = [22, 3000, 9000, 8090].into_iter().flat_map(|port| fixture.at(port)).collect();
    let published: Vec<_> =
        [8080, 8443, 7000, 7001, 7002, 8082, 8083].into_iter().flat_map(|port| fixture.at(port)).collect();
    for from in [&lab.trusted, &lab.untrusted] {
        add(from, false, [of_host.clone(), published.clone(), fixture.at_second(8081).into()].concat());
        for (container, port) in
            [(&fixture.web, 80), (&fixture.quiet, 80), (&fixture.v4only, 80), (&fixture.same, 8443)]
        {
            add(from, false, at(&container.addresses, port));
        }
    }
    for (from, is_of_own_network) in [(&fixture.web, false), (&fixture.quiet, true), (&fixture.v4only, true)]
    {
        add(from, is_of_own_network, lab.untrusted.at(80).into());
        add(from, is_of_own_network, of_host.clone());
        add(from, is_of_own_network, at(&fixture.second.addresses, 80));
    }
    matrix
}

fn gets_through(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Silent | Outcome::Unsent(_))
}

/// Whether a verdict that changed is not among those of which `import` says that they will.
fn is_fault(old: &Old, fixture: &PacketFixture<'_>, asked: &Asked, opens: bool) -> bool {
    let is_ipv6_that_closes = asked.to.is_ipv6() && !opens;
    let is_way_out = opens && asked.is_of_own_network && asked.to == fixture.lab.untrusted.at(80)[0];
    !(is_ipv6_that_closes || is_way_out && old.filters_all)
}

/// How many of two packets with a source in a network of Docker's get through.
fn forged(fixture: &PacketFixture<'_>) -> Result<usize> {
    let sender = fixture.lab.untrusted.sender_to(&fixture.lab.host)?;
    let to = |port| both("to a published port", [172, 17, 0, 99], fixture.lab.host.v4, port).into_iter();
    // None of the layouts has these open for everyone, TCP of the one and UDP of the other.
    let packets = to(8443).take(1).chain(to(8080).skip(1)).collect();
    Ok(survivors(fixture, &sender, &packets)?.len())
}

/// What is imported from each layout decides about every packet as that did, but for what is said to change.
pub(super) fn imported_policies_decide_as_before(
    fixture: &PacketFixture<'_>,
    setting: Setting,
) -> Result<()> {
    let outcome =
        LAYOUTS.iter().try_for_each(|old| decides_as_before(old, fixture, setting).context(old.name));
    clear(fixture)?;
    outcome
}

fn decides_as_before(old: &Old, fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    old.put(fixture)?;
    let matrix = matrix(fixture);
    let probes: Vec<_> = matrix.iter().map(|asked| asked.probe.clone()).collect();
    let before = probe_all(&probes);
    let forged_before = forged(fixture)?;
    fixture.apply(setting, &old.imported(fixture)?)?;
    ensure!(!fixture.rules()?.contains("match-set ip_allow"), "the old rules are still there");
    let after = probe_all(&probes);
    let verdicts = matrix.iter().zip(before.iter().zip(&after));
    let changed: Vec<_> = verdicts.filter(|(_, (a, b))| gets_through(a) != gets_through(b)).collect();
    let faults =
        changed.iter().filter(|(asked, (_, after))| is_fault(old, fixture, asked, gets_through(after)));
    let faults: Vec<_> =
        faults.map(|(asked, (a, b))| format!("{}: {a} before, {b} now", asked.probe)).collect();
    ensure!(faults.is_empty(), "{} verdicts changed:\n  {}", faults.len(), faults.join("\n  "));
    let closed = before.iter().filter(|outcome| !gets_through(outcome)).count();
    let lists_all = !changed.is_empty() && forged_before == 2 && forged(fixture)? == 0;
    ensure!(closed > 10 && lists_all, "{closed} closed, {} changed, {forged_before} forged", changed.len());
    Ok(())
}

/// Opens the streams of [`Traffic`] to the client whom the old layout trusts, and closes IPv6, which that left open.
fn policy(fixture: &PacketFixture<'_>) -> String {
    format!(
        "trusted = [\"{}\", \"{}\", \"{}\"]\n",
        fixture.lab.trusted.v4, fixture.lab.trusted.v6, fixture.lab.host.v4
    )
}

/// Knocks at what both policies close.
fn knock(fixture: &PacketFixture<'_>) -> Vec<Knocker> {
    let closed = [fixture.at(9000)[0], fixture.at(8080)[0]];
    closed.into_iter().flat_map(|to| PROTOS.map(|proto| fixture.lab.untrusted.knock(proto, to))).collect()
}

fn is_old(fixture: &PacketFixture<'_>) -> Result<bool> {
    Ok(fixture.rules()?.contains("FILTERS -m set ! --match-set ip_allow src -j DROP"))
}

/// From the old layout and back to it, again and again.
pub(super) fn nothing_breaks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let [old, ..] = &LAYOUTS;
    old.put(fixture)?;
    let before = fixture.rules()?;
    let mut traffic = Traffic::start(fixture, &fixture.lab.trusted)?;
    let knockers = knock(fixture);
    for _ in 0..5 {
        fixture.apply(setting, &policy(fixture))?;
        ensure!(!is_old(fixture)?, "the old rules are still there");
        traffic.is_alive()?;
        fixture.remove()?;
        ensure!(
            fixture.rules()? == before,
            "the old rules are other than before:\n{before}\nnow:\n{}",
            fixture.rules()?
        );
    }
    traffic.is_alive()?;
    nobody_answered(knockers)?;
    let outcome = traffic.finish();
    clear(fixture)?;
    outcome
}

/// Killed at any moment, a take-over leaves the old rules in force, the new ones, or both; the next apply ends it.
pub(super) fn killed_at_any_moment(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let [old, ..] = &LAYOUTS;
    let policies = [policy(fixture), format!("{}blocked = [\"203.0.113.9\"]\n", policy(fixture))];
    let mut moments = Moments::within(time_of_apply(fixture, setting, &policies)? * 2);
    old.put(fixture)?;
    let before = fixture.rules()?;
    let knockers = knock(fixture);
    while let Some(delay) = moments.next()? {
        let is_finished = apply_for(fixture, setting, &policies[0], delay)?;
        let mut expect = Expectations::default();
        expect.answers(&fixture.lab.trusted, [fixture.at(9000)[0]], "private");
        expect.answers(&fixture.lab.trusted, [fixture.at(8080)[0]], "web").verify()?;
        ensure!(!is_finished || !is_old(fixture)?, "an apply has ended, and the old rules are still there");
        moments.note(is_finished);
        fixture.apply(setting, &policies[1])?;
        ensure!(!is_old(fixture)?, "the next apply did not take the old rules out");
        fixture.remove()?;
        let now = fixture.rules()?;
        ensure!(now == before, "the old rules are other than before:\n{before}\nnow:\n{now}");
    }
    nobody_answered(knockers)?;
    clear(fixture)
}
