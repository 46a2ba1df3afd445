//! Hosts whose services are containers of Docker's.

use std::net::IpAddr;

use anyhow::Result;
use dockfw_lab::{Container, Machine, Proto};

use super::{apply_first, connect, publishing, serve, with_shop};
use crate::cases::forged::{Described, are_dropped, both};
use crate::expect::Expectations;
use crate::world::{Setting, World, at};

const MAILCOW: &str = include_str!("../../../../examples/hosts/mailcow.toml");
const TAILSCALE: &str = include_str!("../../../../examples/hosts/tailscale.toml");

/// All of mailcow's ports are published by one container here.
pub(in crate::cases) fn mailcow(world: &World<'_>, setting: Setting) -> Result<()> {
    let network = world.docker.network("mailcow-network").ipv6(true).bridge("br-mailcow");
    network.argument("--subnet=172.22.1.0/24").create()?;
    let ports = [25, 80, 110, 143, 443, 465, 587, 993, 4190];
    let container = world.docker.container("mail").network("mailcow-network");
    let outcome = publishing(world, container, &ports, |mail| {
        apply_first(world, setting, MAILCOW)?;
        as_mailcow_says(world, mail)
    });
    world.docker.cli(&["network", "rm", "mailcow-network"])?;
    outcome
}

fn as_mailcow_says(world: &World<'_>, mail: &Container) -> Result<()> {
    let (admin, user, untrusted) = (&world.lab.trusted, &world.lab.office, &world.lab.untrusted);
    let mut expect = Expectations::default();
    for client in [admin, user, untrusted] {
        for port in [25, 80, 143, 465, 587, 993, 4190] {
            expect.answers_over(Proto::Tcp, client, world.at(port), "mail");
        }
        expect.silent_over(Proto::Tcp, client, world.at(110)).silent(client, world.at(9000));
    }
    expect.answers_over(Proto::Tcp, admin, world.at(443), "mail");
    expect.answers_over(Proto::Tcp, user, world.at(443), "mail");
    expect.silent_over(Proto::Tcp, untrusted, world.at(443));
    expect.answers_over(Proto::Tcp, admin, world.at(22), "ssh");
    expect.silent(user, world.at(22)).silent(untrusted, world.at(22));
    // By the server's own name.
    for port in [25, 443] {
        expect.answers_over(Proto::Tcp, mail, world.at(port), "mail");
    }
    expect.silent(mail, world.at(22)).answers(mail, untrusted.at(80), "untrusted").verify()
}

pub(in crate::cases) fn tailscale(world: &World<'_>, setting: Setting) -> Result<()> {
    let node = world.lab.outside_segment("tailscale0")?;
    let verify = || -> Result<()> {
        connect(world, &node)?;
        world.lab.host.ip(&[
            "address add 100.64.0.1/10 dev tailscale0",
            "address add fd7a:115c:a1e0::1/48 dev tailscale0 nodad",
        ])?;
        node.add_address("100.64.0.20/10")?;
        node.add_address("fd7a:115c:a1e0::20/48")?;
        with_shop(world, |_| {
            apply_first(world, setting, TAILSCALE)?;
            as_tailscale_says(world, &node)
        })?;
        no_node_of_the_tailnet(world, setting)
    };
    let outcome = verify();
    world.lab.host.ip(&["link delete tailscale0"])?;
    outcome
}

fn as_tailscale_says(world: &World<'_>, node: &Machine) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    let _own = serve(&world.lab.host, &[("41641/tcp", "tailscaled"), ("41641/udp", "tailscaled")])?;
    let host =
        Machine { v4: "100.64.0.1".parse()?, v6: "fd7a:115c:a1e0::1".parse()?, ..world.lab.host.clone() };
    let mut expect = Expectations::default();
    expect.answers(node, host.at(22), "ssh").answers(node, host.at(9000), "private");
    expect.answers(node, host.at(8080), "web");
    world.direct(&mut expect, node, at(&world.quiet.addresses, 80), "quiet");
    // As an exit node, and to the tailnet from a container.
    expect.answers(node, untrusted.at(80), "untrusted");
    expect.answers_over(Proto::Udp, untrusted, world.at(41641), "tailscaled");
    expect.silent_over(Proto::Tcp, untrusted, world.at(41641));
    expect.answers_over(Proto::Tcp, untrusted, world.at(443), "shop");
    for port in [22, 9000, 8080] {
        expect.silent(untrusted, world.at(port));
    }
    expect.answers_over(Proto::Tcp, &world.lab.trusted, world.at(22), "ssh").verify()
}

/// Who writes a node's address into packets on the wire is none.
fn no_node_of_the_tailnet(world: &World<'_>, setting: Setting) -> Result<()> {
    let (untrusted, host) = (&world.lab.untrusted, &world.lab.host);
    let nodes = ["100.64.0.20".parse::<IpAddr>()?, "fd7a:115c:a1e0::20".parse()?];
    let packets: Described = nodes
        .into_iter()
        .zip(host.addresses())
        .flat_map(|(from, to)| both("as a node", from, to, 9000))
        .collect();
    are_dropped(world, setting, ("eth0", &untrusted.sender_to(host)?), &packets, TAILSCALE)
}
