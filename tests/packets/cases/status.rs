//! `dockfw status` tells the truth: what it says of the host is held against real packets and real changes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Engine, Machine, PROTOS, Probe, Variant, probe_all, wait_until};
use serde_json::Value;

use super::{SOURCES, opening};
use crate::fixture::{PacketFixture, Setting};

/// Ports of the host at which something answers, over TCP and UDP, at each of its addresses.
const PORTS: [u16; 9] = [22, 3000, 9000, 8090, 8080, 8443, 7000, 8082, 8083];

/// A look at the host: the exit code, and what was written as JSON.
pub(super) struct Look {
    code: Option<i32>,
    pub(super) report: Value,
}

impl Look {
    pub(super) fn at(fixture: &PacketFixture<'_>, options: &[&str]) -> Result<Self> {
        let output = fixture.lab.dockfw(&[&["status", "--json"], options].concat())?;
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(Self { code: output.status.code(), report })
    }

    pub(super) fn list(&self, key: &str) -> &[Value] {
        self.report[key].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn must_exit(&self, code: i32) -> Result<()> {
        ensure!(self.code == Some(code), "it ended with {:?}, not {code}: {:#}", self.code, self.report);
        Ok(())
    }

    /// The ports at every address of a family.
    fn exposed(&self, port: &str, family: &str) -> Vec<&Value> {
        let is_it = |one: &&Value| {
            one["port"] == port
                && one["family"] == family
                && ["0.0.0.0", "::"].contains(&text(&one["address"]))
        };
        self.list("exposed").iter().filter(is_it).collect()
    }

    /// Whether somebody of one of these kinds is let in at a port.
    fn admits(&self, port: &str, at: SocketAddr, kinds: &[&str]) -> Result<bool> {
        self.admits_by(None, port, at, kinds)
    }

    /// The same by one interface, where one is given.
    pub(super) fn admits_by(
        &self,
        interface: Option<&str>,
        port: &str,
        at: SocketAddr,
        kinds: &[&str],
    ) -> Result<bool> {
        let exposed = self.exposed(port, if at.is_ipv4() { "ipv4" } else { "ipv6" });
        ensure!(!exposed.is_empty(), "{port} is not listed for {at}: {:#}", self.report["exposed"]);
        let reach = exposed.iter().flat_map(|one| one["reach"].as_array().into_iter().flatten());
        let by = reach.filter(|reach| {
            let names = reach["interfaces"].as_array().into_iter().flatten();
            interface.is_none_or(|interface| names.clone().any(|name| name == interface))
        });
        let mut admitted = by.flat_map(|reach| reach["admitted"].as_array().into_iter().flatten());
        Ok(admitted.any(|one| kinds.contains(&text(&one["who"]))))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Each client reaches what the report says, and nothing else.
pub(super) fn says_who_reaches_what(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let office = "from = [\"192.0.2.30\", \"2001:db8:1::30\"]";
    let rule = |name: &str, port: u16, rest: &str| {
        format!("[[allow]]\nname = \"{name}\"\nports = [\"{port}/tcp\", \"{port}/udp\"]\n{rest}\n")
    };
    let by_number = [
        rule("ssh", 22, "to = \"host\""),
        rule("web", 8080, "to = \"docker\""),
        rule("both", 8082, ""),
        rule("office", 9000, office),
        rule("office's", 8083, office),
    ];
    let by_container = [rule("own", 80, "to = \"container\""), rule("ssh", 22, office)];
    for rules in [by_number.concat(), by_container.concat()] {
        fixture.apply(setting, &format!("{SOURCES}\n{rules}"))?;
        let look = Look::at(fixture, &["--strict"])?;
        look.must_exit(0)?;
        ensure!(look.report["since"].as_u64().is_some_and(|since| since > 0), "{:#}", look.report["since"]);
        agrees(fixture, &look).with_context(|| rules.clone())?;
    }
    Ok(())
}

fn agrees(fixture: &PacketFixture<'_>, look: &Look) -> Result<()> {
    let lab = fixture.lab;
    let clients: [(&Machine, &[&str]); 3] = [
        (&lab.untrusted, &["everyone"]),
        (&lab.office, &["everyone", "listed"]),
        (&lab.trusted, &["everyone", "trusted"]),
    ];
    let mut probes: Vec<Probe> = Vec::new();
    let mut expected = Vec::new();
    for port in PORTS {
        for (at, proto) in
            fixture.published_at(port).into_iter().flat_map(|at| PROTOS.map(|proto| (at, proto)))
        {
            for (client, kinds) in clients {
                let name = format!("{port}/{proto}");
                expected.push(look.admits(&name, at, kinds)?);
                probes.push(client.probe(proto, at));
            }
        }
    }
    let outcomes = probe_all(&probes);
    let wrong: Vec<_> = probes
        .iter()
        .zip(&outcomes)
        .zip(&expected)
        .filter(|((_, outcome), admitted)| outcome.is_silent() == **admitted)
        .map(|((probe, outcome), admitted)| format!("{probe}: {outcome}, admitted: {admitted}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What answers is named: processes, containers, containers on the host's network, and listeners that the policy forgot.
pub(super) fn says_what_answers(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    let _forgotten = fixture.lab.host.serve("9555/tcp", "forgotten")?;
    let talker =
        ["--name", "talker", "--network", "host", "lab:latest", "/bin/busybox", "nc", "-l", "-p", "8091"];
    fixture.docker.cli(&[["run", "--detach"].as_slice(), &talker].concat())?;
    let outcome = wait_until(Duration::from_secs(5), "for nc to be listed with its container", || {
        let look = Look::at(fixture, &[]).ok()?;
        let listed = look.exposed("8091/tcp", "ipv6");
        let is_named = listed.first().is_some_and(|one| one["answers"]["container"] == "talker");
        is_named.then_some(look)
    });
    fixture.docker.cli(&["rm", "--force", "talker"])?;
    let look = outcome?;
    for (port, kind, container) in [("8080/tcp", "published", "web"), ("7001/udp", "published", "range")] {
        let one = look.exposed(port, "ipv4").first().copied().cloned().unwrap_or_default();
        ensure!(one["kind"] == kind && one["answers"]["container"] == container, "{port}: {one:#}");
        ensure!(look.exposed(port, "ipv4").len() == 1, "docker-proxy is listed beside {port}");
    }
    let forgotten = look.exposed("9555/tcp", "ipv6");
    let one = forgotten.first().with_context(|| format!("not listed: {:#}", look.report["exposed"]))?;
    ensure!(one["reach"][0]["admitted"][0]["who"] == "trusted", "{one:#}");
    ensure!(one["containers"] == false, "{one:#}");
    let chosen = look.list("exposed").iter().filter(|one| one["port"] == "8081/tcp");
    let addresses: Vec<_> = chosen.map(|one| text(&one["address"]).to_owned()).collect();
    ensure!(addresses == ["192.0.2.2", "2001:db8:1::2"], "8081 is at {addresses:?}");
    Ok(())
}

/// What somebody changes, as a script, and a word of what must be said of it.
type Change = (&'static str, &'static str);

const OF_NATIVE: [Change; 4] = [
    ("nft delete table inet dockfw", ""),
    (
        "nft delete rule inet dockfw forward handle \
         $(nft -a list chain inet dockfw forward | sed -n 's/.*drop.*# handle //p' | tail -n 1)",
        "rule of hook forward",
    ),
    ("nft insert rule inet dockfw input accept", "rule of hook input"),
    // The set has room for what the policy puts into it, and no more.
    (
        "set=$(nft list table inet dockfw | grep -o 'trusted_v4_[0-9a-v]*' | head -n 1)
         nft delete element inet dockfw $set '{ 192.0.2.10 }'
         nft add element inet dockfw $set '{ 203.0.113.66 }'",
        "set trusted",
    ),
];

const OF_COMPAT: [Change; 6] = [
    ("iptables -t mangle -I PREROUTING -i eth0 -j ACCEPT", "PREROUTING"),
    ("iptables -t mangle -I INPUT -i eth0 -j ACCEPT", "INPUT"),
    ("iptables -t mangle -D FILTERS 1", "FILTERS"),
    ("ip6tables -t mangle -I FORWARD -i eth0 -j ACCEPT", "FORWARD"),
    ("ipset add $(ipset list -n | grep -m 1 dockfw4-trusted) 203.0.113.66", "set trusted"),
    // The last: from here on there is a jump of dockfw's own.
    ("iptables -D FORWARD -j DOCKER-USER", "FORWARD"),
];

/// What was changed behind dockfw's back is noticed, and what does not matter to the engine is not.
pub(super) fn notices_changes(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = opening(&["22", "8443"], "");
    let changes = match setting.engine {
        Engine::Native => OF_NATIVE.as_slice(),
        Engine::Compat => &OF_COMPAT,
    };
    for (script, words) in changes {
        fixture.apply(setting, &policy)?;
        Look::at(fixture, &[])?.must_exit(0)?;
        run(fixture, setting, script)?;
        let look = Look::at(fixture, &[])?;
        look.must_exit(7).with_context(|| script.to_string())?;
        ensure!(look.report["in_force"] == false, "{script}: {:#}", look.report);
        let is_named = look.list("differences").iter().any(|difference| text(difference).contains(words));
        ensure!(is_named || look.report["engine"].is_null(), "{script}: no {words:?} in {:#}", look.report);
    }
    fixture.apply(setting, &policy)?;
    if setting.engine == Engine::Compat {
        restore_forwarding(fixture)?;
    }
    Look::at(fixture, &[])?.must_exit(0)
}

/// nft is this machine's own, iptables and ipset the host's.
fn run(fixture: &PacketFixture<'_>, setting: Setting, script: &str) -> Result<()> {
    match setting.engine {
        Engine::Native => fixture.lab.host.shell(script).map(drop),
        Engine::Compat => fixture.lab.on_host("sh", &["-c", script]).map(drop),
    }
}

/// Docker's own rules come first again, as after its start.
fn restore_forwarding(fixture: &PacketFixture<'_>) -> Result<()> {
    let script = "for chain in PREROUTING INPUT; do
                      while iptables -t mangle -D $chain -i eth0 -j ACCEPT 2>/dev/null; do :; done
                  done
                  while ip6tables -t mangle -D FORWARD -i eth0 -j ACCEPT 2>/dev/null; do :; done
                  iptables -C FORWARD -j DOCKER-USER 2>/dev/null || iptables -I FORWARD -j DOCKER-USER";
    fixture.lab.on_host("sh", &["-c", script]).map(drop)
}

/// Docker in both variants of iptables: which of them judges is anybody's guess. The native engine does not care.
pub(super) fn notices_the_other_variant(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let other = if *fixture.lab.variant() == Variant::Nft { "iptables-legacy" } else { "iptables-nft" };
    fixture.apply(setting, SOURCES)?;
    fixture.lab.on_host(other, &["-t", "nat", "-N", "DOCKER"])?;
    let look = Look::at(fixture, &[]);
    fixture.lab.on_host(other, &["-t", "nat", "-X", "DOCKER"])?;
    let look = look?;
    match setting.engine {
        Engine::Native => look.must_exit(0),
        Engine::Compat => {
            look.must_exit(7)?;
            let is_named = look
                .list("differences")
                .iter()
                .any(|difference| text(difference).contains("both iptables-nft"));
            ensure!(is_named, "{:#}", look.report["differences"]);
            Look::at(fixture, &[])?.must_exit(0)
        }
    }
}

/// What no rule covers is listed, and is a fault with `--strict` alone.
pub(super) fn lists_what_no_rule_covers(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    Look::at(fixture, &["--strict"])?.must_exit(0)?;
    let network = ["--driver", "macvlan", "--subnet", "192.0.2.0/24", "--opt", "parent=eth0", "beside"];
    fixture.docker.cli(&[&["network", "create"], network.as_slice()].concat())?;
    let camera = fixture.docker.container("camera").network("beside").argument("--ip=192.0.2.77").start();
    let looks = camera.and_then(|_| Ok([Look::at(fixture, &[])?, Look::at(fixture, &["--strict"])?]));
    // Whether or not it was there.
    let _ = fixture.docker.cli(&["rm", "--force", "camera"]);
    fixture.docker.cli(&["network", "rm", "beside"])?;
    let [usual, strict] = looks?;
    usual.must_exit(0)?;
    strict.must_exit(7)?;
    let what = text(&strict.report["uncovered"][0]["what"]);
    ensure!(what.contains("container camera at 192.0.2.77, on macvlan network beside"), "{what}");

    let _dmz = fixture.lab.outside_segment("dmz9")?;
    fixture.apply(setting, &format!("{SOURCES}\n[interfaces]\nfiltered = [\"eth*\"]\n"))?;
    Look::at(fixture, &[])?.must_exit(0)?;
    let look = Look::at(fixture, &["--strict"])?;
    fixture.lab.host.ip(&["link delete dmz9"])?;
    look.must_exit(7)?;
    ensure!(text(&look.report["uncovered"][0]["what"]).contains("dmz9"), "{:#}", look.report["uncovered"]);
    ensure!(look.admits("9000/tcp", fixture.at(9000)[0], &["everyone"])?, "by dmz9 everyone gets in");
    Ok(())
}

/// Where Docker has no rule for a published port, docker-proxy answers, and other rules of the policy decide. ip6tables-legacy
/// 1.8.9 has Docker leave some out.
pub(super) fn knows_where_docker_proxy_answers(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let container = "[[allow]]\nname = \"own\"\nports = [\"80/tcp\", \"80/udp\"]\nto = \"container\"\n";
    fixture.apply(setting, &format!("{SOURCES}\n{container}"))?;
    let script = |script: &str| fixture.lab.on_host("sh", &["-ec", script]).map(drop);
    script(
        "ip6tables-save -t nat >/run/nat
         grep -v -- '--dport 8080 ' /run/nat | ip6tables-restore --table nat",
    )?;
    let agreement = Look::at(fixture, &[]).and_then(|look| {
        ensure!(
            !look.admits("8080/tcp", fixture.at(8080)[1], &["everyone"])?,
            "{:#}",
            look.report["exposed"]
        );
        agrees(fixture, &look)
    });
    script("ip6tables-restore --table nat </run/nat")?;
    agreement
}

/// While Docker is stopped and its containers live on, the rules say what is published. What only Docker knows is unknown.
pub(super) fn knows_published_ports_without_docker(
    fixture: &PacketFixture<'_>,
    setting: Setting,
) -> Result<()> {
    fixture.apply(setting, &opening(&["8080"], "docker"))?;
    fixture.docker.stop()?;
    let looks = Look::at(fixture, &[]).and_then(|usual| Ok([usual, Look::at(fixture, &["--strict"])?]));
    let reached = fixture.lab.untrusted.tcp(fixture.at(8080)[0]);
    fixture.docker.launch()?;
    fixture.lab.accept_forwarding()?;
    let [usual, look] = looks?;
    usual.must_exit(0)?;
    look.must_exit(7)?;
    let is_said = look
        .list("unknown")
        .iter()
        .any(|one| text(one).contains("Docker is stopped, but containers are running"));
    ensure!(is_said, "{:#}", look.report["unknown"]);
    let listed = look.exposed("8080/tcp", "ipv4");
    let one = listed.first().with_context(|| format!("not listed: {:#}", look.report["exposed"]))?;
    ensure!(one["kind"] == "published" && one["answers"]["container_port"] == 80, "{one:#}");
    ensure!(reached.is("web"), "{reached}");
    ensure!(look.admits("8080/tcp", fixture.at(8080)[0], &["everyone"])?, "{one:#}");
    ensure!(!look.admits("8443/tcp", fixture.at(8443)[0], &["everyone"])?, "{:#}", look.report);
    Ok(())
}
