//! `dockfw explain`, held against what clients find: processes of the host, published ports, and containers by their own
//! addresses, from outside and from a container.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Netns, Outcome, PROTOS, Proto, probe_all};
use serde_json::Value;

use super::SOURCES;
use crate::fixture::{PacketFixture, Setting, at};

const RULES: &str = r#"
[[allow]]
name  = "opened"
ports = ["22/tcp", "22/udp", "8443/tcp", "8082/udp"]

[[allow]]
name  = "own"
from  = ["192.0.2.20", "2001:db8:1::20", "containers"]
ports = ["9000/tcp", "8080/tcp"]
"#;

/// Who asks: the addresses, and the interface of the host's that their packets come in by.
struct Client<'a> {
    netns: &'a Netns,
    addresses: Vec<IpAddr>,
    interface: String,
}

/// One connection that is tried, and what is there by all accounts.
struct Attempt<'a> {
    client: &'a Client<'a>,
    from: IpAddr,
    to: SocketAddr,
    proto: Proto,
    kind: &'static str,
    name: &'static str,
}

pub(super) fn as_clients_find_it(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &format!("{SOURCES}{RULES}"))?;
    let clients = clients(fixture)?;
    let attempts: Vec<_> = clients.iter().flat_map(|client| attempts(fixture, client)).collect();
    let probes: Vec<_> =
        attempts.iter().map(|attempt| attempt.client.netns.probe(attempt.proto, attempt.to)).collect();
    let mut wrong = Vec::new();
    let mut answered = 0;
    for ((attempt, probe), outcome) in attempts.iter().zip(&probes).zip(probe_all(&probes)) {
        let explained = attempt.explained(fixture, setting)?;
        let answers = matches!(outcome, Outcome::Answered(_));
        answered += usize::from(answers);
        if answers != gets_through(&explained) || !attempt.is_named(&explained) {
            let [verdict, target, others] = ["verdict", "target", "others"].map(|key| &explained[key]);
            wrong.push(format!("{probe}: {outcome}, but explained as {verdict} of {target}, {others}"));
        }
    }
    by_name(fixture, setting)?;
    ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    ensure!(
        (10..attempts.len() - 10).contains(&answered),
        "{answered} answered: too one-sided to tell anything"
    );
    Ok(())
}

/// Holds what is asked by the names of containers and lists against what is asked by their addresses.
fn by_name(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let outside = fixture.lab.trusted.addresses()[0];
    let published = fixture.published_at(8082)[0];
    let own = at(&fixture.quiet.addresses, 80)[0];
    let bridge = fixture.docker.inspect_network("bridge")?.bridge;
    let web = fixture.web.addresses[0];
    for (name, by_name, from, to) in [
        (
            "v4only",
            explain_named(fixture, setting, &outside.to_string(), "v4only", "8082/udp")?,
            outside,
            published,
        ),
        ("quiet", explain_named(fixture, setting, &outside.to_string(), "quiet", "80/udp")?, outside, own),
    ] {
        let by_address = explain(fixture, setting, from, "eth0", to, Proto::Udp)?;
        for key in ["verdict", "target", "hooks", "reason"] {
            ensure!(by_name[key] == by_address[key], "{name}: {key} differs:\n{by_name:#}\n{by_address:#}");
        }
    }
    let outsider = fixture.lab.untrusted.addresses()[0];
    let of_web = explain_named(fixture, setting, "web", &outsider.to_string(), "53/udp")?;
    let packet = &of_web["packet"];
    ensure!(packet["from"] == web.to_string() && packet["in"] == bridge, "{of_web:#}");
    let first = explain_named(fixture, setting, "trusted", &published.ip().to_string(), "8082/udp")?;
    ensure!(first["reason"].as_str().is_some_and(|reason| reason.contains("is trusted")), "{first:#}");
    Ok(())
}

/// What `explain` says about a question with names.
fn explain_named(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    from: &str,
    to: &str,
    port: &str,
) -> Result<Value> {
    let question = ["explain", "--from", from, "--to", to, "--port", port];
    let engine = ["--backend", setting.engine.backend(), "--json"];
    let output = fixture.lab.dockfw(&[question.as_slice(), &engine].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "explain ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).context("no JSON")
}

fn clients<'a>(fixture: &'a PacketFixture<'_>) -> Result<Vec<Client<'a>>> {
    let bridge = fixture.docker.inspect_network("bridge")?.bridge;
    let outside = [&fixture.lab.trusted, &fixture.lab.untrusted].map(|machine| Client {
        netns: &machine.netns,
        addresses: machine.addresses().to_vec(),
        interface: "eth0".into(),
    });
    let inside =
        Client { netns: &fixture.web.netns, addresses: fixture.web.addresses.clone(), interface: bridge };
    Ok(outside.into_iter().chain([inside]).collect())
}

/// All that a client tries, over TCP and UDP.
fn attempts<'a>(fixture: &PacketFixture<'_>, client: &'a Client<'a>) -> Vec<Attempt<'a>> {
    let places = [
        (fixture.at(22).to_vec(), "process", ""),
        (fixture.at(9000).to_vec(), "process", ""),
        (fixture.at(8443).to_vec(), "published", "same"),
        (fixture.published_at(8082), "published", "v4only"),
        (fixture.at_second(8081).to_vec(), "published", "chosen"),
        (at(&fixture.same.addresses, 8443), "container", "same"),
        (at(&fixture.quiet.addresses, 80), "container", "quiet"),
    ];
    let mut attempts = Vec::new();
    for (addresses, kind, name) in places {
        for (to, proto) in addresses.into_iter().flat_map(|to| PROTOS.map(|proto| (to, proto))) {
            let own = client.addresses.iter().copied().find(|from| from.is_ipv4() == to.is_ipv4());
            let attempt = own.map(|from| Attempt { client, from, to, proto, kind, name });
            attempts.extend(attempt.filter(|attempt| !attempt.is_answered_from_elsewhere()));
        }
    }
    attempts
}

impl Attempt<'_> {
    fn explained(&self, fixture: &PacketFixture<'_>, setting: Setting) -> Result<Value> {
        explain(fixture, setting, self.from, &self.client.interface, self.to, self.proto)
    }

    /// Whether docker-proxy is asked over UDP from a container. It answers from whichever address the route suggests,
    /// which is not the one that was asked.
    fn is_answered_from_elsewhere(&self) -> bool {
        self.proto == Proto::Udp && self.kind == "published" && self.client.interface != "eth0"
    }

    /// Whether what is there is called what it is.
    fn is_named(&self, explained: &Value) -> bool {
        let target = &explained["target"];
        target["kind"] == self.kind && target["container"].as_str().unwrap_or_default() == self.name
    }
}

/// What `explain` says of a connection that comes in by an interface.
pub(super) fn explain(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    from: IpAddr,
    incoming: &str,
    to: SocketAddr,
    proto: Proto,
) -> Result<Value> {
    let [from, at] = [from, to.ip()].map(|address| address.to_string());
    let port = format!("{}/{proto}", to.port());
    let question = ["--from", &from, "--to", &at, "--port", &port, "--in", incoming];
    let engine = ["--backend", setting.engine.backend(), "--json"];
    let output = fixture.lab.dockfw(&[&["explain"], question.as_slice(), &engine].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "explain ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).context("no JSON")
}

/// Whether dockfw lets it through, and nobody else is known to stop it.
pub(super) fn gets_through(explained: &Value) -> bool {
    let others = explained["others"].as_array().map(Vec::as_slice).unwrap_or_default();
    explained["verdict"] == "pass" && !others.iter().any(|objection| objection["is_certain"] == true)
}
