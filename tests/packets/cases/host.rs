//! Processes of the host.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::world::{Setting, World};

pub(super) fn closed_unless_opened(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    expect.silent(untrusted, world.at(22)).silent(untrusted, world.at(9000));
    expect.silent(untrusted, world.at_second(22)).silent(untrusted, world.at_second(9000));
    expect.verify()?;

    world.apply(setting, &opening(&["22"], "host"))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, world.at(22), "ssh").answers(untrusted, world.at_second(22), "ssh");
    expect.silent(untrusted, world.at(9000));
    expect.verify()
}

pub(super) fn redirected(world: &World<'_>, setting: Setting) -> Result<()> {
    world.translate(world.at(3080), world.at(3000))?;
    world.apply(setting, &opening(&["3080"], "host"))?;
    let mut expect = Expectations::default();
    expect
        .answers(&world.lab.untrusted, world.at(3080), "behind")
        .silent(&world.lab.untrusted, world.at(3000));
    let dialled = expect.verify();
    world.apply(setting, &opening(&["3000"], "host"))?;
    let mut expect = Expectations::default();
    expect
        .answers(&world.lab.untrusted, world.at(3000), "behind")
        .silent(&world.lab.untrusted, world.at(3080));
    let behind = expect.verify();
    world.end_translation()?;
    dialled.and(behind)
}

/// IPv6 has no `route_localnet`: nothing is translated to ::1 there.
pub(super) fn redirected_to_loopback(world: &World<'_>, setting: Setting) -> Result<()> {
    const ROUTE_LOCALNET: &str = "net.ipv4.conf.eth0.route_localnet";
    let (host, untrusted) = (&world.lab.host, &world.lab.untrusted);
    let [_, v6] = world.at(3000);
    let before = host.sysctl(ROUTE_LOCALNET)?;
    host.set_sysctl(ROUTE_LOCALNET, "1")?;
    world.translate(world.at(3080), [SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)), v6])?;
    world.apply(setting, &opening(&["3080"], "host"))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, world.at(3080), "behind").silent(untrusted, world.at(3000));
    let dialled = expect.verify();
    world.end_translation()?;
    host.set_sysctl(ROUTE_LOCALNET, &before)?;
    dialled
}

pub(super) fn host_network(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    expect
        .silent(untrusted, world.at(8090))
        .answers(&world.lab.trusted, world.at(8090), "hostnet")
        .verify()?;

    world.apply(setting, &opening(&["8090"], "host"))?;
    Expectations::default().answers(untrusted, world.at(8090), "hostnet").verify()
}
