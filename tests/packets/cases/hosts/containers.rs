//! Hosts whose services are containers of Docker's.

use std::net::IpAddr;

use anyhow::Result;
use dockfw_lab::{Container, Machine, Proto};

use super::{apply_first, connect, publishing, serve, with_shop};
use crate::cases::forged::{Described, are_dropped, both};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

const MAILCOW: &str = include_str!("../../../../examples/hosts/mailcow.toml");
const TAILSCALE: &str = include_str!("../../../../examples/hosts/tailscale.toml");

/// All of mailcow's ports are published by one container here.
pub(in crate::cases) fn mailcow(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let network = fixture.docker.network("mailcow-network").ipv6(true).bridge("br-mailcow");
    network.argument("--subnet=172.22.1.0/24").create()?;
    let ports = [25, 80, 110, 143, 443, 465, 587, 993, 4190];
    let container = fixture.docker.container("mail").network("mailcow-network");
    let outcome = publishing(fixture, container, &ports, |mail| {
        apply_first(fixture, setting, MAILCOW)?;
        as_mailcow_says(fixture, mail)
    });
    fixture.docker.cli(&["network", "rm", "mailcow-network"])?;
    outcome
}

fn as_mailcow_says(fixture: &PacketFixture<'_>, mail: &Container) -> Result<()> {
    let (admin, user, untrusted) = (&fixture.lab.trusted, &fixture.lab.office, &fixture.lab.untrusted);
    let mut expect = Expectations::default();
    for client in [admin, user, untrusted] {
        for port in [25, 80, 143, 465, 587, 993, 4190] {
            expect.answers_over(Proto::Tcp, client, fixture.at(port), "mail");
        }
        expect.silent_over(Proto::Tcp, client, fixture.at(110)).silent(client, fixture.at(9000));
    }
    expect.answers_over(Proto::Tcp, admin, fixture.at(443), "mail");
    expect.answers_over(Proto::Tcp, user, fixture.at(443), "mail");
    expect.silent_over(Proto::Tcp, untrusted, fixture.at(443));
    expect.answers_over(Proto::Tcp, admin, fixture.at(22), "ssh");
    expect.silent(user, fixture.at(22)).silent(untrusted, fixture.at(22));
    // By the server's own name.
    for port in [25, 443] {
        expect.answers_over(Proto::Tcp, mail, fixture.at(port), "mail");
    }
    expect.silent(mail, fixture.at(22)).answers(mail, untrusted.at(80), "untrusted").verify()
}

pub(in crate::cases) fn tailscale(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let node = fixture.lab.outside_segment("tailscale0")?;
    let verify = || -> Result<()> {
        connect(fixture, &node)?;
        fixture.lab.host.ip(&[
            "address add 100.64.0.1/10 dev tailscale0",
            "address add fd7a:115c:a1e0::1/48 dev tailscale0 nodad",
        ])?;
        node.add_address("100.64.0.20/10")?;
        node.add_address("fd7a:115c:a1e0::20/48")?;
        with_shop(fixture, |_| {
            apply_first(fixture, setting, TAILSCALE)?;
            as_tailscale_says(fixture, &node)
        })?;
        no_node_of_the_tailnet(fixture, setting)
    };
    let outcome = verify();
    fixture.lab.host.ip(&["link delete tailscale0"])?;
    outcome
}

fn as_tailscale_says(fixture: &PacketFixture<'_>, node: &Machine) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    let _own = serve(&fixture.lab.host, &[("41641/tcp", "tailscaled"), ("41641/udp", "tailscaled")])?;
    let host =
        Machine { v4: "100.64.0.1".parse()?, v6: "fd7a:115c:a1e0::1".parse()?, ..fixture.lab.host.clone() };
    let mut expect = Expectations::default();
    expect.answers(node, host.at(22), "ssh").answers(node, host.at(9000), "private");
    expect.answers(node, host.at(8080), "web");
    fixture.direct(&mut expect, node, at(&fixture.quiet.addresses, 80), "quiet");
    // As an exit node, and to the tailnet from a container.
    expect.answers(node, untrusted.at(80), "untrusted");
    expect.answers_over(Proto::Udp, untrusted, fixture.at(41641), "tailscaled");
    expect.silent_over(Proto::Tcp, untrusted, fixture.at(41641));
    expect.answers_over(Proto::Tcp, untrusted, fixture.at(443), "shop");
    for port in [22, 9000, 8080] {
        expect.silent(untrusted, fixture.at(port));
    }
    expect.answers_over(Proto::Tcp, &fixture.lab.trusted, fixture.at(22), "ssh").verify()
}

/// Who writes a node's address into packets on the wire is none.
fn no_node_of_the_tailnet(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let (untrusted, host) = (&fixture.lab.untrusted, &fixture.lab.host);
    let nodes = ["100.64.0.20".parse::<IpAddr>()?, "fd7a:115c:a1e0::20".parse()?];
    let packets: Described = nodes
        .into_iter()
        .zip(host.addresses())
        .flat_map(|(from, to)| both("as a node", from, to, 9000))
        .collect();
    are_dropped(fixture, setting, ("eth0", &untrusted.sender_to(host)?), &packets, TAILSCALE)
}
