//! Published ports, and containers by direct routing.

use anyhow::{Context, Result, anyhow, ensure};
use dockfw_lab::Engine;
use serde_json::{Value, json};

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

/// Every published port at the host's first addresses, and what answers.
const PUBLISHED: [(u16, &str); 7] = [
    (8080, "web"),
    (8443, "same"),
    (7000, "range"),
    (7001, "range"),
    (7002, "range"),
    (8082, "v4only"),
    (8083, "second"),
];

pub(super) fn early_policy(fixture: &PacketFixture<'_>, _: Setting) -> Result<()> {
    match &fixture.applied_before_docker {
        Ok(()) => Ok(()),
        Err(error) => Err(anyhow!("{error:#}")),
    }
}

pub(super) fn probe_tells_where_docker_filters(fixture: &PacketFixture<'_>, _: Setting) -> Result<()> {
    let probe: Value = serde_json::from_slice(&fixture.lab.dockfw(&["probe", "--json"])?.stdout)?;
    let version = fixture.lab.on_host("iptables", &["--version"])?;
    let variant = if version.contains("nf_tables") { "nft" } else { "legacy" };
    let (chains, tables) = if fixture.lab.docker_is_on_nftables() {
        (json!([]), json!(["ip docker-bridges", "ip6 docker-bridges"]))
    } else {
        (json!([variant]), json!([]))
    };
    ensure!(probe["docker"]["chains"] == chains, "{}: {version}", probe["docker"]);
    ensure!(probe["docker"]["tables"] == tables, "{}", probe["docker"]);
    // Docker before 28 does not say.
    let backend = fixture.lab.on_host("docker", &["info", "--format", "{{json .}}"])?;
    let info: Value = serde_json::from_str(&backend)?;
    ensure!(probe["docker"]["backend"] == info["FirewallBackend"]["Driver"], "{}: {info}", probe["docker"]);
    Ok(())
}

/// DOCKER-USER is passed by there. Whether Docker can be asked does not matter.
pub(super) fn compat_refuses_dockers_nftables(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    refuses_compat(fixture)?;
    fixture.docker.stop()?;
    let unanswered = refuses_compat(fixture);
    fixture.docker.launch()?;
    unanswered.context("with Docker stopped")?;
    fixture.remove()?;
    let probe: Value = serde_json::from_slice(&fixture.lab.dockfw(&["probe", "--json"])?.stdout)?;
    ensure!(probe["engine"] == "nftables", "auto picks {}", probe["engine"]);
    Ok(())
}

/// The engine was put in force while Docker was on iptables, and nobody has applied anything since.
pub(super) fn compat_is_passed_by(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.remove()?;
    fixture.docker.stop()?;
    for family in ["ip", "ip6"] {
        fixture.lab.host.nft(&format!("delete table {family} docker-bridges"))?;
    }
    let compat = Setting { engine: Engine::Compat, ..setting };
    let applied = fixture.apply(compat, SOURCES);
    fixture.docker.launch()?;
    applied?;
    let said = |verb: &str| -> Result<(Option<i32>, String)> {
        let output = fixture.lab.dockfw(&[verb])?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        ))
    };
    let (status, check, diff) = (said("status")?, said("check")?, said("diff")?);
    fixture.remove()?;
    let reason = "Docker uses its nftables backend";
    ensure!(status.0 == Some(7) && status.1.contains(reason), "status: {status:?}");
    ensure!(check.0 == Some(0) && check.1.contains(reason), "check: {check:?}");
    ensure!(diff.0 == Some(7), "diff: {diff:?}");
    Ok(())
}

fn refuses_compat(fixture: &PacketFixture<'_>) -> Result<()> {
    let before = fixture.rules()?;
    let compat = Setting { engine: Engine::Compat, prefilter: true };
    let output = fixture.try_apply(compat, SOURCES, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    let is_refused = output.status.code() == Some(5) && said.contains("Docker uses its nftables backend");
    ensure!(is_refused, "{}: {said}", output.status);
    ensure!(fixture.rules()? == before, "the policy in force has changed");
    Ok(())
}

pub(super) fn trusted_reaches_all(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    let trusted = &fixture.lab.trusted;
    let mut expect = Expectations::default();
    for (port, name) in PUBLISHED.into_iter().chain([(22, "ssh"), (9000, "private"), (8090, "hostnet")]) {
        expect.answers(trusted, fixture.published_at(port), name);
    }
    expect.answers(trusted, fixture.at_second(8081), "chosen");
    for (container, port, name) in
        [(&fixture.web, 80, "web"), (&fixture.quiet, 80, "quiet"), (&fixture.v4only, 80, "v4only")]
    {
        fixture.direct(&mut expect, trusted, at(&container.addresses, port), name);
    }
    expect.verify()
}

pub(super) fn closed_unless_opened(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    for (port, _) in PUBLISHED {
        expect.silent(untrusted, fixture.at(port));
    }
    expect.silent(untrusted, fixture.at_second(8081)).verify()?;

    fixture.apply(setting, &opening(&["8080", "8443", "7000-7002", "8081", "8082", "8083"], "docker"))?;
    let mut expect = Expectations::default();
    for (port, name) in PUBLISHED {
        expect.answers(untrusted, fixture.published_at(port), name);
    }
    expect.answers(untrusted, fixture.at_second(8081), "chosen");
    expect.silent(untrusted, fixture.at(22)).silent(untrusted, fixture.at(9000));
    expect.verify()
}

pub(super) fn number_dialled(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, &opening(&["80", "7001"], "docker"))?;
    let mut expect = Expectations::default();
    // 80 is the containers' own port of all of these.
    for port in [8080, 8082, 8083, 7000, 7002] {
        expect.silent(untrusted, fixture.at(port));
    }
    expect.answers(untrusted, fixture.at(7001), "range").verify()
}

pub(super) fn without_to(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, &opening(&["22", "8080"], ""))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, fixture.at(22), "ssh").answers(untrusted, fixture.at(8080), "web");
    expect.silent(untrusted, fixture.at(9000)).silent(untrusted, fixture.at(8443)).verify()?;

    // A rule for the host says nothing of what Docker publishes.
    fixture.apply(setting, &opening(&["8080", "8443"], "host"))?;
    Expectations::default().silent(untrusted, [fixture.at(8080)[0], fixture.at(8443)[0]]).verify()
}

pub(super) fn scoped(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = r#"
        [[allow]]
        name  = "office"
        from  = ["192.0.2.24/29", "2001:db8:1::30"]
        ports = ["8083/tcp", "8083/udp", "22/tcp", "22/udp", "8082/tcp", "8082/udp"]
    "#;
    fixture.apply(setting, &format!("{SOURCES}{policy}"))?;
    let mut expect = Expectations::default();
    for (port, name) in [(8083, "second"), (22, "ssh"), (8082, "v4only")] {
        expect.answers(&fixture.lab.office, fixture.published_at(port), name);
        expect.silent(&fixture.lab.untrusted, fixture.at(port));
    }
    expect
        .silent(&fixture.lab.office, fixture.at(8080))
        .silent(&fixture.lab.office, fixture.at(9000))
        .verify()
}

pub(super) fn direct_closed(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, &opening(&["8080", "8443", "80", "8083"], ""))?;
    let mut expect = Expectations::default();
    for container in [&fixture.web, &fixture.quiet, &fixture.v4only, &fixture.second] {
        expect.silent(untrusted, at(&container.addresses, 80));
    }
    // Published under its own number, and still not for direct routing.
    expect.silent(untrusted, at(&fixture.same.addresses, 8443)).verify()
}

/// Docker's own drops taken away, as its option `allow-direct-routing` does: then dockfw's decide.
pub(super) fn direct_routing_allowed(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &opening(&["8443"], "docker"))?;
    for family in ["ip", "ip6"] {
        fixture.lab.host.nft(&format!("flush chain {family} docker-bridges raw-PREROUTING"))?;
    }
    let own = at(&fixture.same.addresses, 8443);
    let mut expect = Expectations::default();
    expect.answers(&fixture.lab.trusted, own.clone(), "same").silent(&fixture.lab.untrusted, own);
    let outcome = expect.verify();
    fixture.docker.lay_rules()?;
    outcome
}

pub(super) fn direct_opened(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, &opening(&["80"], "container"))?;
    let mut expect = Expectations::default();
    for (container, name) in [(&fixture.web, "web"), (&fixture.quiet, "quiet"), (&fixture.v4only, "v4only")] {
        fixture.direct(&mut expect, untrusted, at(&container.addresses, 80), name);
    }
    // By the container's port after translation; what docker-proxy answers for is a process of the host.
    expect.answers(untrusted, fixture.at(8080), "web").silent(untrusted, at(&fixture.same.addresses, 8443));
    expect.silent(untrusted, [fixture.at(8082)[1]]).silent(untrusted, fixture.at(8443)).verify()
}

pub(super) fn foreign_translation(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let beyond = fixture.lab.outside_segment("behind0")?;
    let services = [beyond.serve("8443/tcp", "foreign")?, beyond.serve("8443/udp", "foreign")?];
    fixture.route_all(&beyond)?;
    fixture.translate(fixture.at_second(8443), beyond.at(8443))?;
    let mut expect = Expectations::default();
    fixture.apply(setting, &opening(&["8443"], "docker"))?;
    expect
        .answers(&fixture.lab.untrusted, fixture.at(8443), "same")
        .silent(&fixture.lab.untrusted, fixture.at_second(8443));
    expect.answers(&fixture.lab.trusted, fixture.at_second(8443), "foreign");
    let outcome = expect.verify();
    fixture.end_translation()?;
    drop(services);
    outcome
}
