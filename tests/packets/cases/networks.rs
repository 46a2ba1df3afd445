//! Other networks behind the host, and bridges that frames only cross.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use anyhow::{Context, Result};
use dockfw_lab::{Engine, Machine, Packet, Service};

use super::forged::{Described, are_dropped, believe_anything, both, link_local_of};
use super::interfaces::{is_refused, send_through_hooks};
use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

/// Two inside networks, the first with two machines, and one behind an exempt interface. The host leads everywhere.
struct Networks {
    one: Machine,
    beside: Machine,
    other: Machine,
    exempt: Machine,
    services: Vec<Service>,
}

impl Networks {
    fn raise(fixture: &PacketFixture<'_>) -> Result<Self> {
        let [one, beside] = machines(fixture.lab.bridge("virt0", 2)?)?;
        let [other] = machines(fixture.lab.bridge("virt1", 1)?)?;
        let exempt = fixture.lab.outside_segment("vpn0")?;
        let mut services = Vec::new();
        for (machine, name) in [(&one, "one"), (&beside, "beside"), (&other, "other"), (&exempt, "exempt")] {
            fixture.route_all(machine)?;
            for client in [&fixture.lab.untrusted, &fixture.lab.trusted] {
                for segment in segments(machine) {
                    client.route(&segment, &fixture.lab.host)?;
                }
            }
            services.push(machine.serve("80/tcp", name)?);
            services.push(machine.serve("80/udp", name)?);
        }
        Ok(Self { one, beside, other, exempt, services })
    }

    /// Tries something with them, and takes them down.
    fn with(fixture: &PacketFixture<'_>, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let networks = Self::raise(fixture)?;
        let outcome = work(&networks);
        drop(networks.services);
        fixture.lab.host.ip(&["link delete virt0", "link delete virt1", "link delete vpn0"])?;
        outcome
    }
}

/// As many machines as were asked for.
pub(super) fn machines<const N: usize>(machines: Vec<Machine>) -> Result<[Machine; N]> {
    <[Machine; N]>::try_from(machines).ok().context("other machines were asked for")
}

/// The networks that a machine is in.
pub(super) fn segments(machine: &Machine) -> [String; 2] {
    let [a, b, c, _] = machine.v4.octets();
    let mut v6 = machine.v6.segments();
    v6[7] = 0;
    [format!("{a}.{b}.{c}.0/24"), format!("{}/64", std::net::Ipv6Addr::from(v6))]
}

const CLASSES: &str = "[interfaces]\ninside = [\"virt0\", \"virt1\"]\nexempt = [\"vpn0\"]\n";

/// What dockfw does to what goes between the classes of interfaces where no rule opens anything.
pub(super) fn without_rules(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    Networks::with(fixture, |networks| {
        let Networks { one, beside, other, exempt, .. } = networks;
        fixture.apply(setting, &format!("{SOURCES}{CLASSES}"))?;
        let (untrusted, trusted, web) = (&fixture.lab.untrusted, &fixture.lab.trusted, &fixture.web);
        let mut expect = Expectations::default();
        for (machine, name) in [(one, "one"), (other, "other")] {
            expect.answers(web, machine.at(80), name);
            expect.answers(exempt, machine.at(80), name);
            expect.silent(untrusted, machine.at(80));
            expect.answers(trusted, machine.at(80), name);
        }
        let host = fixture.on_segment_of(one);
        expect.answers(web, exempt.at(80), "exempt").answers(web, untrusted.at(80), "untrusted");
        expect
            .silent(one, host.at(9000))
            .silent(one, host.at(8080))
            .silent(one, at(&fixture.quiet.addresses, 80));
        expect.answers(one, beside.at(80), "beside").silent(one, other.at(80));
        expect.answers(one, untrusted.at(80), "untrusted").answers(one, exempt.at(80), "exempt");
        let host = fixture.on_segment_of(exempt);
        expect.answers(exempt, host.at(9000), "private").answers(exempt, host.at(8080), "web");
        expect.answers(exempt, untrusted.at(80), "untrusted");
        expect.silent(untrusted, exempt.at(80)).silent(untrusted, fixture.at(9000)).verify()
    })
}

/// Each rule opens its own cell, and to those alone that it is for.
pub(super) fn with_rules(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    Networks::with(fixture, |networks| {
        let Networks { one, other, exempt, .. } = networks;
        let (untrusted, web) = (&fixture.lab.untrusted, &fixture.web);
        let host = fixture.on_segment_of(one);
        let rule = |from: &str, port: u16, to: &str| {
            format!(
                "[[allow]]\nname = \"x\"\nfrom = [{from}]\nports = [\"{port}/tcp\", \"{port}/udp\"]\nto = \"{to}\"\n"
            )
        };
        let apply = |rule: &str| fixture.apply(setting, &format!("{SOURCES}{rule}{CLASSES}")).map(drop);

        apply(&rule("\"inside\"", 9000, "host"))?;
        let mut expect = Expectations::default();
        expect.answers(one, host.at(9000), "private").silent(untrusted, fixture.at(9000));
        expect.silent(web, fixture.at(9000)).silent(one, host.at(8080)).verify()?;

        apply(&rule("\"inside\"", 8080, "docker"))?;
        let mut expect = Expectations::default();
        expect.answers(one, host.at(8080), "web").silent(untrusted, fixture.at(8080)).verify()?;

        apply(&rule("\"inside\"", 80, "container"))?;
        let mut expect = Expectations::default();
        fixture.direct(&mut expect, one, at(&fixture.quiet.addresses, 80), "quiet");
        expect.silent(untrusted, at(&fixture.quiet.addresses, 80)).silent(one, other.at(80)).verify()?;

        apply(&rule("\"inside\"", 80, "forward"))?;
        let mut expect = Expectations::default();
        expect.answers(one, other.at(80), "other").silent(untrusted, one.at(80));
        expect.silent(one, at(&fixture.quiet.addresses, 80)).verify()?;

        let [v4, v6] = untrusted.addresses();
        apply(&rule(&format!("\"{v4}\", \"{v6}\""), 80, "forward"))?;
        let mut expect = Expectations::default();
        expect.answers(untrusted, one.at(80), "one").answers(untrusted, exempt.at(80), "exempt");
        expect.silent(untrusted, at(&fixture.quiet.addresses, 80)).silent(one, other.at(80)).verify()
    })
}

/// Somebody else's translation to a machine of an inside network goes by the number that clients dial.
pub(super) fn translated(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    Networks::with(fixture, |networks| {
        let machine = &networks.one;
        let untrusted = &fixture.lab.untrusted;
        fixture.translate(fixture.at(9180), machine.at(80))?;
        let policy = |port: &str| opening(&[port], "forward") + CLASSES;
        let try_both = || -> Result<()> {
            fixture.apply(setting, &policy("80"))?;
            Expectations::default().silent(untrusted, fixture.at(9180)).verify()?;
            fixture.apply(setting, &policy("9180"))?;
            Expectations::default().answers(untrusted, fixture.at(9180), "one").verify()
        };
        let outcome = try_both();
        fixture.end_translation()?;
        outcome
    })
}

/// Nothing that an inside machine claims to be makes it trusted, at the host or beyond.
pub(super) fn forged_from_inside(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    Networks::with(fixture, |networks| {
        let Networks { one, other, .. } = networks;
        believe_anything(fixture, "virt0")?;
        let host = fixture.on_segment_of(one);
        let sender = one.sender_to(&host)?;
        let trusted = ["192.0.2.10".parse::<IpAddr>()?, "2001:db8:1::10".parse()?];
        let mut packets = Described::new();
        for (index, source) in trusted.into_iter().enumerate() {
            for to in [host.addresses()[index], other.addresses()[index]] {
                packets.extend(both("forged", source, to, 9000));
            }
        }
        are_dropped(fixture, setting, ("virt0", &sender), &packets, &format!("{SOURCES}{CLASSES}"))
    })
}

/// Nor does it speak VXLAN to the host, though it is trusted.
pub(super) fn no_vxlan_from_inside(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    Networks::with(fixture, |networks| {
        let one = &networks.one;
        let host = fixture.on_segment_of(one);
        let packets: Described = one
            .addresses()
            .into_iter()
            .zip(host.addresses())
            .map(|(source, to)| (format!("VXLAN from {source}"), Packet::udp(source, to, 4789, 1, "overlay")))
            .collect();
        let [v4, v6] = segments(one);
        let policy = format!(
            "trusted = [\"{v4}\", \"{v6}\"]\n{CLASSES}[swarm]\npeers = [\"192.0.2.30\", \"2001:db8:1::30\"]\n"
        );
        are_dropped(fixture, setting, ("virt0", &one.sender_to(&host)?), &packets, &policy)
    })
}

/// Frames between an uplink and virtual machines cross the host's bridge, whoever is blocked; what is for the host is filtered.
fn across(fixture: &PacketFixture<'_>, setting: Setting, through_hooks: bool) -> Result<()> {
    let [uplink, guest] = machines(fixture.lab.bridge("vmbr9", 2)?)?;
    let services = [guest.serve("80/tcp", "guest")?, guest.serve("80/udp", "guest")?];
    let host = fixture.on_segment_of(&uplink);
    let policy = |ports: &[&str], crossing: &str| {
        format!("{}\n[interfaces]\ncrossing = [\"{crossing}\"]\n", opening(ports, "host"))
    };
    let try_all = || -> Result<()> {
        send_through_hooks(fixture, through_hooks)?;
        let through = |host_answers: bool, may_cross: &[SocketAddr]| {
            let mut expect = Expectations::default();
            expect.answers(&uplink, may_cross.iter().copied(), "guest").silent(&uplink, host.at(8080));
            if host_answers {
                expect.answers(&uplink, host.at(9000), "private");
            } else {
                expect.shut_out(&uplink, host.at(9000));
            }
            expect.verify()
        };
        fixture.apply(setting, &policy(&["22"], "vmbr9"))?;
        through(false, &guest.at(80))?;
        fixture.apply(setting, &policy(&["9000"], "vmbr9"))?;
        through(true, &guest.at(80))?;
        // The host's own neighbour discovery is dropped for who is blocked, the guest's is not.
        let blocked = format!("blocked = [\"{}\", \"{}\", ", uplink.v4, uplink.v6);
        fixture.apply(setting, &policy(&["9000"], "vmbr9").replace("blocked = [", &blocked))?;
        through(false, &guest.at(80))?;
        // A pattern may take in several bridges, between which the host would route.
        is_refused(fixture, setting, &policy(&["9000"], "vmbr*"), &["vmbr9", "has addresses of this host"])
    };
    let outcome = try_all();
    let reset = send_through_hooks(fixture, false);
    fixture.lab.host.ip(&["link delete vmbr9"])?;
    drop(services);
    outcome.and(reset)
}

/// What machines of one inside bridge say to each other passes, though it goes through the hooks and the host has no address there.
pub(super) fn within_through_hooks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let [one, other] = machines(fixture.lab.bridge("virt9", 2)?)?;
    let services = [other.serve("80/tcp", "other")?, other.serve("80/udp", "other")?];
    let try_all = || -> Result<()> {
        fixture.lab.host.ip(&["address flush dev virt9"])?;
        send_through_hooks(fixture, true)?;
        let link = one.shell("ip -oneline link show dev eth0")?;
        let index = link.split(':').next().context("eth0 has no index")?.parse()?;
        let neighbour = SocketAddrV6::new(link_local_of(&other)?, 80, 0, index);
        let mut expect = Expectations::default();
        expect.answers(&one, [neighbour.into()], "other");
        // Where sources are checked before routing, those of a network that the host is not in belong nowhere.
        if setting.engine == Engine::Native {
            expect.answers(&one, other.at(80), "other");
        }
        fixture.apply(setting, &format!("{SOURCES}[interfaces]\ninside = [\"virt9\"]\n"))?;
        expect.verify()
    };
    let outcome = try_all();
    let reset = send_through_hooks(fixture, false);
    fixture.lab.host.ip(&["link delete virt9"])?;
    drop(services);
    outcome.and(reset)
}

pub(super) fn crossing(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    across(fixture, setting, false)
}

pub(super) fn crossing_through_hooks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    across(fixture, setting, true)
}
