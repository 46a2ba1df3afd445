//! The cases.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use dockfw_lab::{Capture, Engine, Netns, Outcome, PROTOS, Probe, probe_all, wait_until};

use crate::fixture::{Node, SwarmFixture, create_service};
use crate::forged;
use crate::requests::Requests;
use crate::wire::{Carried, carried};

/// One case.
pub(crate) struct Case {
    /// The statements of `docs/security.md` that it proves.
    pub(crate) statements: &'static str,
    /// What it is about.
    pub(crate) name: &'static str,
    /// The case itself.
    pub(crate) run: fn(&SwarmFixture, Engine) -> Result<()>,
}

const fn case(
    statements: &'static str,
    name: &'static str,
    run: fn(&SwarmFixture, Engine) -> Result<()>,
) -> Case {
    Case { statements, name, run }
}

/// All of them, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("S11", "nodes reach each other with peers alone", nodes_reach_each_other),
    case("S11", "an encrypted network stays encrypted", stays_encrypted),
    case("S11", "VXLAN in the clear is dropped for an encrypted network", forged_vxlan),
    case("S2 S6", "published ports are closed at every node but to trusted sources", closed_at_every_node),
    case(
        "S2",
        "a rule opens the mesh and mode=host by the number dialled, at its node alone",
        opened_at_one_node,
    ),
    case("S9 S13", "no request is lost through applies and removals", no_request_is_lost),
];

const TRUSTED: &str = "trusted = [\"192.0.2.10\", \"2001:db8:1::10\"]\n";

/// Opens ports of Docker's to everyone.
fn opening(ports: &str) -> String {
    format!("[[allow]]\nname = \"open\"\nports = [{ports}]\nto = \"docker\"\n")
}

/// Each address at which a published port of a node would answer somebody: IPv6 leads to a socket of dockerd's, which
/// accepts and says nothing.
fn places(node: &Node) -> Vec<SocketAddr> {
    [9000, 9100].into_iter().flat_map(|port| node.lab.host.at(port)).collect()
}

/// The mesh is of IPv4 alone.
fn in_v4(node: &Node, port: u16) -> SocketAddr {
    (node.lab.host.v4, port).into()
}

fn probes(from: &Netns, at: &[SocketAddr]) -> Vec<Probe> {
    at.iter().flat_map(|at| PROTOS.map(|proto| from.probe(proto, *at))).collect()
}

fn are_silent(from: &Netns, at: &[SocketAddr]) -> Result<()> {
    all(&probes(from, at), "silence", Outcome::is_silent)
}

fn answer(from: &Netns, at: SocketAddr, name: &str) -> Result<()> {
    all(&probes(from, &[at]), name, |outcome| outcome.is(name))
}

/// The error names each that came out otherwise.
fn all(probes: &[Probe], expected: &str, is_right: impl Fn(&Outcome) -> bool) -> Result<()> {
    let outcomes = probe_all(probes);
    let wrong = probes.iter().zip(&outcomes).filter(|(_, outcome)| !is_right(outcome));
    let wrong: Vec<_> =
        wrong.map(|(probe, outcome)| format!("{probe}: {outcome}, expected {expected}")).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn closed_at_every_node(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    fixture.await_published()?;
    fixture.apply(engine, &format!("{TRUSTED}{}", fixture.peers()))?;
    for node in &fixture.nodes {
        are_silent(&node.lab.untrusted, &places(node))?;
        answer(&node.lab.trusted, in_v4(node, 9000), "mesh")?;
        answer(&node.lab.trusted, in_v4(node, 9100), "direct")?;
    }
    Ok(())
}

fn opened_at_one_node(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    fixture.await_published()?;
    let closed = format!("{TRUSTED}{}", fixture.peers());
    for [open, shut] in [[0, 1], [1, 0]].map(|order| order.map(|node: usize| &fixture.nodes[node])) {
        for (port, name, other) in [(9000, "mesh", 9100), (9100, "direct", 9000)] {
            let rule = opening(&format!("\"{port}/tcp\", \"{port}/udp\""));
            open.apply(engine, &format!("{TRUSTED}{rule}{}", fixture.peers()))?;
            shut.apply(engine, &closed)?;
            answer(&open.lab.untrusted, in_v4(open, port), name)?;
            are_silent(&open.lab.untrusted, &open.lab.host.at(other))?;
            are_silent(&shut.lab.untrusted, &places(shut))?;
        }
    }
    // 80 is the tasks' own number, which nobody dials.
    fixture.apply(engine, &format!("{TRUSTED}{}{}", opening("\"80/tcp\", \"80/udp\""), fixture.peers()))?;
    fixture.nodes.iter().try_for_each(|node| are_silent(&node.lab.untrusted, &places(node)))
}

fn nodes_reach_each_other(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    let [from, to] = &fixture.secret;
    let [plain_from, plain_to] = &fixture.plain;
    let alone = format!("{TRUSTED}{}", fixture.peers());
    // Without peers nothing comes through, so that it is they that let it.
    fixture.apply(engine, TRUSTED)?;
    let silent = are_silent(from, &[(to.v4(), 80).into()])
        .and_then(|()| are_silent(plain_from, &[(plain_to.v4(), 80).into()]));
    fixture.apply(engine, &alone)?;
    silent?;
    answer(from, (to.v4(), 80).into(), "secret")?;
    answer(to, (from.v4(), 80).into(), "secret")?;
    answer(plain_from, (plain_to.v4(), 80).into(), "plain")?;
    // The manager gives the worker something to do, and hears of it.
    let [manager, worker] = &fixture.nodes;
    create_service(&manager.docker, "late", &["--mode=global".into()])?;
    let started = [manager, worker].map(|node| node.task("late").map(drop));
    let ready = wait_until(Duration::from_secs(60), "for both nodes to be ready", || {
        let said = manager.docker.cli(&["node", "ls", "--format", "{{.Status}}"]).ok()?;
        said.lines().all(|status| status == "Ready").then_some(())
    });
    manager.docker.cli(&["service", "rm", "late"])?;
    started.into_iter().collect::<Result<()>>().and(ready)
}

fn stays_encrypted(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    fixture.apply(engine, &format!("{TRUSTED}{}", fixture.peers()))?;
    let [manager, worker] = &fixture.nodes;
    let between = [manager.lab.host.v4, worker.lab.host.v4];
    let numbers = (manager.network_number("secret")?, manager.network_number("plain")?);
    for ([from, to], name) in [(&fixture.secret, "secret"), (&fixture.plain, "plain")] {
        let capture = Capture::start(&worker.lab.host, &worker.lab.host.interface)?;
        answer(from, (to.v4(), 80).into(), name)?;
        let seen: Vec<_> = capture.take()?.iter().filter_map(|frame| carried(frame, between)).collect();
        let count = |what| seen.iter().filter(|one| **one == what).count();
        let (esp, secret, plain) =
            (count(Carried::Esp), count(Carried::Vxlan(numbers.0)), count(Carried::Vxlan(numbers.1)));
        ensure!(secret == 0, "{secret} packets of the encrypted network are in the clear");
        // What is in the clear by design shows that it would have been seen.
        let is_there = if name == "secret" { esp >= 4 } else { plain >= 4 };
        ensure!(is_there, "{name}: {esp} packets of ESP, and {plain} of the network that is not encrypted");
    }
    Ok(())
}

fn forged_vxlan(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    fixture.apply(engine, &format!("{TRUSTED}{}", fixture.peers()))?;
    let [manager, worker] = &fixture.nodes;
    let sender = worker.lab.untrusted.sender_to(&worker.lab.host)?;
    let forge = |network: &str, [from, to]: &[dockfw_lab::Container; 2], payload: &str| {
        let number = manager.network_number(network)?;
        sender.send(&forged::vxlan(number, (manager, from), (worker, to), (81, payload))?)
    };
    let [secret, plain] =
        [&fixture.secret, &fixture.plain].map(|containers| containers[1].serve("81/udp", "inner"));
    let (secret, plain) = (secret?, plain?);
    forge("secret", &fixture.secret, "forged")?;
    // Behind the other one on the same way, and in a network that asks for no encryption: shows that the first had arrived,
    // and would have been heard.
    forge("plain", &fixture.plain, "behind")?;
    plain.wait_for("what is not encrypted", |received| received.payload == b"behind")?;
    ensure!(!secret.heard("forged"), "VXLAN in the clear came through to the encrypted network");
    answer(&fixture.secret[0], (fixture.secret[1].v4(), 80).into(), "secret")
}

fn no_request_is_lost(fixture: &SwarmFixture, engine: Engine) -> Result<()> {
    fixture.await_published()?;
    let [manager, worker] = &fixture.nodes;
    let [from, to] = &fixture.secret;
    let policies =
        [String::new(), opening("\"9000/tcp\"")].map(|rule| format!("{TRUSTED}{rule}{}", fixture.peers()));
    let mesh = [manager, worker].map(|node| in_v4(node, 9000)).to_vec();
    let direct = [manager, worker].map(|node| in_v4(node, 9100)).to_vec();
    let all = [
        Requests::start(&manager.lab.trusted, mesh, "mesh")?,
        Requests::start(&manager.lab.trusted, direct, "direct")?,
        Requests::start(from, vec![(to.v4(), 80).into()], "secret")?,
    ];
    for _ in 0..5 {
        for policy in &policies {
            fixture.apply(engine, policy)?;
            all.iter().try_for_each(|requests| requests.wait_for_more(2))?;
        }
        fixture.remove()?;
        all.iter().try_for_each(|requests| requests.wait_for_more(2))?;
    }
    all.into_iter().try_for_each(|requests| requests.finish().map(drop))
}
