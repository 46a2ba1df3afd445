//! Processes of the host.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

pub(super) fn closed_unless_opened(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    expect.silent(untrusted, fixture.at(22)).silent(untrusted, fixture.at(9000));
    expect.silent(untrusted, fixture.at_second(22)).silent(untrusted, fixture.at_second(9000));
    expect.verify()?;

    fixture.apply(setting, &opening(&["22"], "host"))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, fixture.at(22), "ssh").answers(untrusted, fixture.at_second(22), "ssh");
    expect.silent(untrusted, fixture.at(9000));
    expect.verify()
}

pub(super) fn redirected(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.translate(fixture.at(3080), fixture.at(3000))?;
    fixture.apply(setting, &opening(&["3080"], "host"))?;
    let mut expect = Expectations::default();
    expect
        .answers(&fixture.lab.untrusted, fixture.at(3080), "behind")
        .silent(&fixture.lab.untrusted, fixture.at(3000));
    let dialled = expect.verify();
    fixture.apply(setting, &opening(&["3000"], "host"))?;
    let mut expect = Expectations::default();
    expect
        .answers(&fixture.lab.untrusted, fixture.at(3000), "behind")
        .silent(&fixture.lab.untrusted, fixture.at(3080));
    let behind = expect.verify();
    fixture.end_translation()?;
    dialled.and(behind)
}

/// IPv6 has no `route_localnet`: nothing is translated to ::1 there.
pub(super) fn redirected_to_loopback(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    const ROUTE_LOCALNET: &str = "net.ipv4.conf.eth0.route_localnet";
    let (host, untrusted) = (&fixture.lab.host, &fixture.lab.untrusted);
    let [_, v6] = fixture.at(3000);
    let before = host.sysctl(ROUTE_LOCALNET)?;
    host.set_sysctl(ROUTE_LOCALNET, "1")?;
    fixture.translate(fixture.at(3080), [SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)), v6])?;
    fixture.apply(setting, &opening(&["3080"], "host"))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, fixture.at(3080), "behind").silent(untrusted, fixture.at(3000));
    let dialled = expect.verify();
    fixture.end_translation()?;
    host.set_sysctl(ROUTE_LOCALNET, &before)?;
    dialled
}

pub(super) fn host_network(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    expect
        .silent(untrusted, fixture.at(8090))
        .answers(&fixture.lab.trusted, fixture.at(8090), "hostnet")
        .verify()?;

    fixture.apply(setting, &opening(&["8090"], "host"))?;
    Expectations::default().answers(untrusted, fixture.at(8090), "hostnet").verify()
}
