//! Translations that are not Docker's: a container of Podman's, a virtual machine's port, an operator's redirect of what is sent to the host
//! and of what it is to pass on; and what is taken out of connection tracking. What `status` and `explain` say of them is what clients find.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use dockfw_lab::{Machine, PROTOS, Probe, probe_all};

use super::SOURCES;
use super::explained::{explain, gets_through};
use super::status::Look;
use crate::fixture::{PacketFixture, Setting};

/// The bridge of the others, and what is behind it.
const BRIDGE: &str = "podman0";

/// What stands in `[interfaces]`, and a rule.
const POLICIES: [&str; 5] = [
    "[interfaces]\nexempt = [\"podman*\"]\n",
    "[interfaces]\nexempt = [\"podman*\"]\n[[allow]]\nname = \"p\"\nports = [\"8190/tcp\", \"8190/udp\", \"2223/tcp\", \"2222/udp\", \"2224/tcp\", \"2224/udp\"]\n",
    "[interfaces]\ndocker = [\"docker0\", \"docker_gwbridge\", \"br-*\", \"podman0\"]\n\
     [[allow]]\nname = \"p\"\nports = [\"8190/tcp\", \"8190/udp\", \"2223/tcp\"]\n",
    "[interfaces]\ndocker = [\"docker0\", \"docker_gwbridge\", \"br-*\", \"podman0\"]\n\
     [[allow]]\nname = \"p\"\nports = [\"80/tcp\", \"80/udp\", \"2222/tcp\"]\nto = \"container\"\n",
    "[interfaces]\nfiltered = [\"*\", \"podman*\"]\n[[allow]]\nname = \"p\"\nports = [\"8190/tcp\", \"2222/tcp\"]\nto = \"docker\"\n",
];

/// The ports: what netavark's rules lead to the bridge, where a process of the host holds the port; what iptables' do; what is redirected;
/// what is not tracked over UDP.
const PORTS: [u16; 4] = [8190, 2223, REDIRECTED, 2224];
const REDIRECTED: u16 = 2222;

/// Someone beyond the host.
const BEYOND: [&str; 2] = ["198.51.100.7", "2001:db8:f::7"];

pub(super) fn as_clients_find_it(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let machines = fixture.lab.bridge(BRIDGE, 1)?;
    let outcome = machines.first().map_or(Ok(()), |machine| behind(fixture, setting, machine));
    let took_out = take_out(fixture);
    outcome.and(took_out)
}

fn behind(fixture: &PacketFixture<'_>, setting: Setting, machine: &Machine) -> Result<()> {
    fixture.route_all(machine)?;
    let host = &fixture.lab.host;
    let _services = [
        machine.serve("80/tcp", "behind")?,
        machine.serve("80/udp", "behind")?,
        // As conmon does for Podman.
        host.serve("8190/tcp", "holder")?,
        host.serve("8190/udp", "holder")?,
        host.serve("2224/tcp", "untracked")?,
        host.serve("2224/udp", "untracked")?,
    ];
    lay(fixture, machine)?;
    for rules in POLICIES {
        fixture.apply(setting, &format!("{SOURCES}{rules}"))?;
        agrees(fixture, setting).map_err(|error| error.context(rules))?;
    }
    Ok(())
}

fn lay(fixture: &PacketFixture<'_>, machine: &Machine) -> Result<()> {
    let [v4, v6] = [machine.v4.to_string(), machine.v6.to_string()];
    fixture.lab.host.nft(&format!(
        "table inet netavark {{
            chain hostport {{
                ip saddr {v4} tcp dport 8190 counter
                tcp dport 8190 dnat ip to {v4}:80
                udp dport 8190 dnat ip to {v4}:80
                meta nfproto ipv6 tcp dport 8190 dnat ip6 to [{v6}]:80
                meta nfproto ipv6 udp dport 8190 dnat ip6 to [{v6}]:80
            }}
            chain PREROUTING {{ type nat hook prerouting priority dstnat - 1; policy accept; fib daddr type local jump hostport
            }}
        }}"
    ))?;
    for (program, to) in [("iptables", v4), ("ip6tables", format!("[{v6}]"))] {
        for proto in ["tcp", "udp"] {
            let dnat = format!("-p {proto} --dport 2223 -j DNAT --to-destination {to}:80");
            let redirect = format!("-p {proto} --dport 2222 -j REDIRECT --to-ports 22");
            for rule in [dnat, redirect] {
                let words: Vec<_> =
                    ["-t", "nat", "-I", "PREROUTING"].into_iter().chain(rule.split(' ')).collect();
                fixture.lab.on_host(program, &words)?;
            }
        }
        let untrack = "-t raw -I PREROUTING -p udp --dport 2224 -j CT --notrack";
        fixture.lab.on_host(program, &untrack.split(' ').collect::<Vec<_>>())?;
    }
    clients(fixture).into_iter().try_for_each(|(client, _)| route_beyond(fixture, client, "replace"))
}

fn take_out(fixture: &PacketFixture<'_>) -> Result<()> {
    let host = &fixture.lab.host;
    let _ = host.nft("delete table inet netavark");
    for program in ["iptables", "ip6tables"] {
        // By their places: ip6tables-legacy 1.8.9 takes rules for others that differ in their ports.
        for _ in 0..4 {
            let _ = fixture.lab.on_host(program, &["-t", "nat", "-D", "PREROUTING", "1"]);
        }
        let _ = fixture.lab.on_host(program, &["-t", "raw", "-D", "PREROUTING", "1"]);
    }
    for (client, _) in clients(fixture) {
        let _ = route_beyond(fixture, client, "delete");
    }
    host.ip(&[&format!("link delete {BRIDGE}")]).map(drop)
}

/// Who asks, and whom `status` takes them for.
fn clients<'a>(fixture: &'a PacketFixture<'_>) -> [(&'a Machine, &'static [&'static str]); 2] {
    [(&fixture.lab.untrusted, &["everyone"]), (&fixture.lab.trusted, &["everyone", "trusted"])]
}

/// Changes a client's way to whom is beyond the host.
fn route_beyond(fixture: &PacketFixture<'_>, client: &Machine, change: &str) -> Result<()> {
    let ways = BEYOND.iter().zip(fixture.at(0));
    let lines: Vec<_> = ways.map(|(to, host)| format!("route {change} {to} via {}", host.ip())).collect();
    client.ip(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Each client gets through where both say so, and nowhere else.
fn agrees(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let look = Look::at(fixture, &["--strict"])?;
    ensure!(look.list("unknown").is_empty(), "{:#}", look.report["unknown"]);
    let own = PORTS.iter().flat_map(|port| fixture.at(*port)).map(|to| (to, true));
    let beyond = BEYOND.iter().map(|to| Ok((SocketAddr::new(to.parse()?, REDIRECTED), false)));
    let places = own.map(Ok).chain(beyond).collect::<Result<Vec<_>>>()?;
    let mut asked: Vec<(Probe, bool, bool)> = Vec::new();
    for (client, kinds) in clients(fixture) {
        for ((to, is_own), proto) in places.iter().flat_map(|place| PROTOS.map(|proto| (*place, proto))) {
            let from = client.addresses()[usize::from(to.is_ipv6())];
            let explained = explain(fixture, setting, from, "eth0", to, proto)?;
            ensure!(explained["is_certain"] == true, "{explained:#}");
            let says = gets_through(&explained);
            // Of what is not the host's, status says nothing.
            let status = match is_own {
                true => look.admits_by(Some("eth0"), &format!("{}/{proto}", to.port()), to, kinds)?,
                false => says,
            };
            asked.push((client.probe(proto, to), says, status));
        }
    }
    let probes: Vec<_> = asked.iter().map(|(probe, ..)| probe.clone()).collect();
    let outcomes = probe_all(&probes);
    let wrong: Vec<_> = asked
        .iter()
        .zip(&outcomes)
        .filter(|((_, explained, status), outcome)| [*explained, *status] != [!outcome.is_silent(); 2])
        .map(|((probe, explained, status), outcome)| {
            format!("{probe}: {outcome}, but explain says {explained} and status {status}")
        })
        .collect();
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), asked.len(), wrong.join("\n"));
    let through = outcomes.iter().filter(|outcome| !outcome.is_silent()).count();
    ensure!(
        (2..=probes.len() - 2).contains(&through),
        "{through} of {} got through: too one-sided",
        probes.len()
    );
    Ok(())
}
