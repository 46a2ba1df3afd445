//! Hosts for a home: between its LAN and the internet, and on its LAN.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Body, Container, Machine, Packet, Proto, Sender};

use super::{apply_first, connect, publishing, serve, with_shop};
use crate::cases::forged::{Described, survivors_by};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

const ROUTER: &str = include_str!("../../../../examples/hosts/router.toml");
const HOME_ASSISTANT: &str = include_str!("../../../../examples/hosts/home-assistant.toml");

pub(in crate::cases) fn router(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let lan = fixture.lab.outside_segment("eth1")?;
    let outcome = with_shop(fixture, |_| {
        connect(fixture, &lan)?;
        apply_first(fixture, setting, ROUTER)?;
        as_router_says(fixture, &lan)?;
        forwards_to_the_camera(fixture, &lan)?;
        hears_clients_of_dhcp(fixture, &lan)
    });
    fixture.lab.host.ip(&["link delete eth1"])?;
    outcome
}

fn as_router_says(fixture: &PacketFixture<'_>, lan: &Machine) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    let _own = serve(&fixture.lab.host, &[("53/tcp", "names"), ("53/udp", "names"), ("123/udp", "time")])?;
    let _lans = serve(lan, &[("80/tcp", "lan"), ("80/udp", "lan")])?;
    let host = fixture.on_segment_of(lan);
    let mut expect = Expectations::default();
    expect.answers(lan, host.at(53), "names").answers_over(Proto::Udp, lan, host.at(123), "time");
    expect.answers_over(Proto::Tcp, lan, host.at(22), "ssh").silent(lan, host.at(9000));
    expect.answers_over(Proto::Tcp, lan, host.at(8080), "web").silent(lan, host.at(8083));
    expect.answers(lan, untrusted.at(80), "untrusted");
    for client in [lan, untrusted] {
        expect.answers_over(Proto::Tcp, client, fixture.at(443), "shop");
    }
    for port in [22, 53, 123, 8080, 9000] {
        expect.silent(untrusted, fixture.at(port)).silent_over(Proto::Tcp, &fixture.web, fixture.at(port));
    }
    expect.silent(untrusted, lan.at(80)).answers(&fixture.web, lan.at(80), "lan").verify()
}

fn forwards_to_the_camera(fixture: &PacketFixture<'_>, lan: &Machine) -> Result<()> {
    let _camera = serve(lan, &[("443/tcp", "camera"), ("443/udp", "camera")])?;
    let untrusted = &fixture.lab.untrusted;
    fixture.translate(fixture.at(40443), lan.at(443))?;
    let mut expect = Expectations::default();
    expect.answers_over(Proto::Tcp, untrusted, fixture.at(40443), "camera");
    expect.silent_over(Proto::Udp, untrusted, fixture.at(40443)).silent(untrusted, lan.at(443));
    let outcome = expect.verify();
    fixture.end_translation()?;
    outcome
}

/// Who asks for an address has none: in IPv4 nothing is its source, in IPv6 what it gave itself. The lab has no server of DHCPv6, which
/// would join the servers' own group: all machines are asked.
fn hears_clients_of_dhcp(fixture: &PacketFixture<'_>, lan: &Machine) -> Result<()> {
    let ask = |source: &str, from, group: &str, to| -> Result<(String, Packet)> {
        let (source, group): (IpAddr, IpAddr) = (source.parse()?, group.parse()?);
        let packet = Packet::of(source, group, 1, Body::Udp { from, to, payload: vec![0; 8] });
        Ok((format!("from {source} to {group}, port {to}"), packet))
    };
    let questions: Described =
        vec![ask("0.0.0.0", 68, "255.255.255.255", 67)?, ask("fe80::77", 546, "ff02::1", 547)?];
    let heard = |machine: &Machine, interface: &str| -> Result<usize> {
        let sender = Sender::new(machine, &machine.interface, [0xff; 6])?;
        Ok(survivors_by(fixture, interface, &sender, &questions)?.len())
    };
    let heard = [heard(lan, "eth1")?, heard(&fixture.lab.untrusted, "eth0")?];
    ensure!(heard == [2, 0], "of two questions of the LAN and of the outside are heard: {heard:?}");
    Ok(())
}

pub(in crate::cases) fn home_assistant(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let docker = fixture.docker;
    let network = docker.network("hassio").ipv6(true).bridge("hassio");
    network.argument("--subnet=172.30.32.0/23").argument("--gateway=172.30.32.1").create()?;
    let outside = fixture.lab.outside_segment("wan0")?;
    let supervisor = docker.container("supervisor").network("hassio").argument("--ip=172.30.32.2");
    let mosquitto = docker.container("mosquitto").network("hassio").argument("--ip=172.30.33.2");
    let outcome = fixture.route_all(&outside).and_then(|()| {
        publishing(fixture, mosquitto, &[1883], |_| {
            publishing(fixture, supervisor, &[], |supervisor| {
                apply_first(fixture, setting, HOME_ASSISTANT)?;
                as_home_assistant_says(fixture, supervisor, &outside)?;
                hears_announcements(fixture)
            })
        })
    });
    fixture.lab.host.ip(&["link delete wan0"])?;
    docker.cli(&["network", "rm", "hassio"])?;
    outcome
}

fn as_home_assistant_says(
    fixture: &PacketFixture<'_>,
    supervisor: &Container,
    outside: &Machine,
) -> Result<()> {
    let own = [
        ("8123/tcp", "core"),
        ("21063/tcp", "homekit"),
        ("5353/udp", "mdns"),
        ("1900/udp", "ssdp"),
        ("40000/udp", "answers"),
        ("62001/tcp", "ingress"),
    ];
    let _own = serve(&fixture.lab.host, &own)?;
    let (admin, lan) = (&fixture.lab.trusted, &fixture.lab.untrusted);
    let host = fixture.on_segment_of(outside);
    let mut expect = Expectations::default();
    for (port, name) in own {
        let (number, proto) = port.split_once('/').context("a port")?;
        let (number, proto) = (number.parse()?, if proto == "tcp" { Proto::Tcp } else { Proto::Udp });
        expect.silent(outside, host.at(number));
        if name == "ingress" {
            expect.silent(lan, fixture.at(number));
        } else {
            expect.answers_over(proto, lan, fixture.at(number), name);
        }
        if matches!(name, "core" | "ingress") {
            let gateway = ([172, 30, 32, 1], number).into();
            expect.answers_over(proto, supervisor, [gateway], name);
            expect.answers_over(proto, supervisor, fixture.at(number), name);
        } else {
            expect.silent(supervisor, fixture.at(number));
        }
    }
    expect.answers_over(Proto::Tcp, lan, fixture.at(1883), "mosquitto");
    expect.silent_over(Proto::Tcp, outside, host.at(1883));
    expect.answers_over(Proto::Tcp, admin, fixture.at(22), "ssh");
    for client in [lan, outside] {
        expect
            .silent(client, fixture.at(22))
            .silent(client, fixture.at(9000))
            .silent(client, fixture.at(8080));
    }
    expect.silent(supervisor, fixture.at(22)).answers(supervisor, lan.at(80), "untrusted").verify()
}

/// Announcements go to groups; here to those that every machine is a member of.
fn hears_announcements(fixture: &PacketFixture<'_>) -> Result<()> {
    let announce = |source: &str, group: &str, port| -> Result<(String, Packet)> {
        let (source, group): (IpAddr, IpAddr) = (source.parse()?, group.parse()?);
        let packet = Packet::udp(source, group, port, 1, "announcement");
        Ok((format!("from {source} to {group}, port {port}"), packet))
    };
    let of_the_lan: Described =
        vec![announce("192.0.2.20", "224.0.0.1", 5353)?, announce("fe80::20", "ff02::1", 5353)?];
    let others = vec![announce("198.51.100.20", "224.0.0.1", 5353)?, announce("fe80::20", "ff02::1", 9000)?];
    let sender = Sender::new(&fixture.lab.untrusted, &fixture.lab.untrusted.interface, [0xff; 6])?;
    let heard = survivors_by(fixture, "eth0", &sender, &[of_the_lan.clone(), others].concat())?;
    let expected = of_the_lan.into_iter().map(|(what, _)| what).collect();
    ensure!(heard == expected, "heard: {heard:#?}\nexpected: {expected:#?}");
    Ok(())
}
