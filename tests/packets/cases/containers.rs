//! What containers reach.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use dockfw_lab::{Netns, Outcome, PROTOS, Probe, Proto, probe_all};

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

/// What comes of the probes without dockfw, and under a policy.
fn before_and_under(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    policy: &str,
    probes: &[Probe],
) -> Result<[Vec<Outcome>; 2]> {
    fixture.remove()?;
    let before = probe_all(probes);
    fixture.apply(setting, policy)?;
    Ok([before, probe_all(probes)])
}

fn unchanged(probes: &[Probe], [before, under]: &[Vec<Outcome>; 2]) -> Result<()> {
    let changes = probes.iter().zip(before.iter().zip(under)).filter(|(_, (before, under))| before != under);
    let changes: Vec<_> =
        changes.map(|(probe, (before, under))| format!("{probe}: {before} before, {under} now")).collect();
    ensure!(changes.is_empty(), "{}", changes.join("\n"));
    Ok(())
}

pub(super) fn ways_of_containers_stay(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let mut probes = Vec::new();
    let mut add = |from: &Netns, to: Vec<_>| {
        for address in to {
            probes.extend(PROTOS.map(|proto| from.probe(proto, address)));
        }
    };
    for from in [&fixture.web, &fixture.quiet, &fixture.v4only, &fixture.second] {
        // To the outside, within its own network, and to other networks (which Docker forbids).
        add(from, fixture.lab.untrusted.at(80).into());
        add(from, at(&fixture.same.addresses, 8443));
        add(from, at(&fixture.range.addresses, 7000));
        add(from, at(&fixture.second.addresses, 80));
    }
    let outcomes = before_and_under(fixture, setting, SOURCES, &probes)?;
    let answered = outcomes[0].iter().filter(|outcome| matches!(outcome, Outcome::Answered(_))).count();
    let silent = outcomes[0].iter().filter(|outcome| outcome.is_silent()).count();
    ensure!(answered >= 20 && silent >= 8, "{answered} answers and {silent} silences tell nothing");
    unchanged(&probes, &outcomes)
}

/// A network and containers that come after the policy: on an interface that did not exist when it was applied.
pub(super) fn future_networks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    let docker = fixture.docker;
    let later = docker.network("later").ipv6(true).create()?;
    let one =
        docker.container("one").network("later").publish("8091:80/tcp").publish("8091:80/udp").start()?;
    let two = docker.container("two").network("later").start()?;
    let services = [one.serve("80/tcp", "one")?, one.serve("80/udp", "one")?];
    fixture.lab.untrusted.route(&later.subnet_v4, &fixture.lab.host)?;
    let mut expect = Expectations::default();
    expect.answers(&two, at(&one.addresses, 80), "one").answers(
        &two,
        fixture.lab.untrusted.at(80),
        "untrusted",
    );
    expect.silent(&fixture.lab.untrusted, [(one.v4(), 80).into()]);
    expect.silent(&fixture.lab.untrusted, fixture.at(8091));
    let outcome = expect.verify();
    drop(services);
    docker.cli(&["rm", "--force", "one", "two"])?;
    docker.cli(&["network", "rm", "later"])?;
    // Closed while it ran, closed after it was gone.
    outcome.and_then(|()| Expectations::default().silent(&fixture.lab.untrusted, fixture.at(8091)).verify())
}

/// Host processes and published ports, as a container dials them.
fn at_the_host(fixture: &PacketFixture<'_>, from: &Netns) -> Vec<Probe> {
    let ports = [9000, 8443, 8083];
    let addresses = ports.iter().flat_map(|port| fixture.at(*port));
    let gateways =
        ports.iter().map(|port| "172.17.0.1".parse().map(|ip: std::net::IpAddr| (ip, *port).into()));
    let all: Vec<_> = addresses.chain(gateways.filter_map(Result::ok)).collect();
    all.into_iter().flat_map(|address| PROTOS.map(|proto| from.probe(proto, address))).collect()
}

pub(super) fn host_is_closed(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let probes = at_the_host(fixture, &fixture.web);
    let [before, under] = before_and_under(fixture, setting, SOURCES, &probes)?;
    let answered = before.iter().filter(|outcome| matches!(outcome, Outcome::Answered(_))).count();
    ensure!(answered >= 12, "{answered} answers without dockfw prove nothing");
    // Docker 29 translates what comes from another network, with either backend: that is container to container.
    let is_translated = |probe: &Probe| fixture.lab.layout().is_some() && probe.to().port() == 8083;
    let wrong: Vec<_> = probes
        .iter()
        .zip(&under)
        .filter(|(probe, outcome)| outcome.is_silent() == is_translated(probe))
        .map(|(probe, outcome)| format!("{probe}: {outcome}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

pub(super) fn host_is_opened_by_rules(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let to_containers = r#"
        [[allow]]
        name  = "containers"
        from  = ["containers"]
        ports = ["9000/tcp", "9000/udp", "8443/tcp", "8443/udp", "8083/tcp", "8083/udp"]
    "#;
    let probes = at_the_host(fixture, &fixture.web);
    let policy = format!("{SOURCES}{to_containers}");
    unchanged(&probes, &before_and_under(fixture, setting, &policy, &probes)?)?;
    let outside = [9000, 8443, 8083].map(|port| fixture.at(port)).concat();
    Expectations::default().silent(&fixture.lab.untrusted, outside).verify()?;
    // What is open to everyone is open to containers.
    let outcomes = before_and_under(fixture, setting, &opening(&["9000", "8443", "8083"], ""), &probes)?;
    unchanged(&probes, &outcomes)
}

pub(super) fn lost_ports_are_named(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let said = |policy: &str| -> Result<String> {
        Ok(String::from_utf8_lossy(&fixture.apply(setting, policy)?.stderr).into_owned())
    };
    let all = said(SOURCES)?;
    ensure!(all.contains("8083/tcp (second)") && all.contains("[\"containers\"]"), "it said {all}");
    let of_network = all.contains("containers of the same network can't");
    ensure!(of_network == fixture.lab.layout().is_some(), "it said {all}");
    let fewer = said(&opening(&["8083"], "docker"))?;
    ensure!(!fewer.contains("8083/tcp") && fewer.contains("8080/tcp (web)"), "it said {fewer}");
    Ok(())
}

/// A container that may speak to anyone must not speak VXLAN in its node's name.
pub(super) fn no_vxlan_in_the_nodes_name(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let node = &fixture.lab.office;
    let port = node.serve("4789/udp", "vxlan")?;
    let is_heard = |word: &str, to: IpAddr| {
        let payload = format!("{word} {to}");
        // What counts is what the node hears.
        let _ = fixture.web.probe(Proto::Udp, (to, 4789)).payload(&payload).run();
        port.heard(&payload)
    };
    fixture.apply(setting, SOURCES)?;
    for to in node.addresses() {
        ensure!(is_heard("no swarm here", to), "without peers, the port is one like any other: {to}");
    }
    fixture.apply(setting, &format!("{SOURCES}\n[swarm]\npeers = [\"{}\", \"{}\"]\n", node.v4, node.v6))?;
    for to in node.addresses() {
        ensure!(!is_heard("forged", to), "a container spoke VXLAN to the peer {to}");
    }
    Ok(())
}

pub(super) fn swarm_peers(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let host = &fixture.lab.host;
    let peers = format!("[swarm]\npeers = [\"{}\", \"{}\"]\n", fixture.lab.office.v4, fixture.lab.office.v6);
    let services = [
        host.serve("2377/tcp", "manager")?,
        host.serve("7946/tcp", "gossip")?,
        host.serve("7946/udp", "gossip")?,
        host.serve("4789/udp", "vxlan")?,
    ];
    fixture.apply(setting, &format!("{SOURCES}{peers}"))?;
    let mut expect = Expectations::default();
    for service in &services {
        let at = fixture.at(service.port.number);
        expect.answers_over(service.port.proto, &fixture.lab.office, at, &service.name);
        expect.silent_over(service.port.proto, &fixture.lab.untrusted, at);
        expect.silent_over(service.port.proto, &fixture.web, at);
    }
    expect
        .silent(&fixture.lab.office, fixture.at(9000))
        .silent(&fixture.lab.office, fixture.at(8080))
        .verify()
}
