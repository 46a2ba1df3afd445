//! Published ports, and containers by direct routing.

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::world::{Engine, Setting, World, at};

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

pub(super) fn early_policy(world: &World<'_>, _: Setting) -> Result<()> {
    match &world.applied_before_docker {
        Ok(()) => Ok(()),
        Err(error) => Err(anyhow!("{error:#}")),
    }
}

pub(super) fn probe_tells_where_docker_filters(world: &World<'_>, _: Setting) -> Result<()> {
    let probe: Value = serde_json::from_slice(&world.lab.dockfw(&["probe", "--json"])?.stdout)?;
    let version = world.lab.on_host("iptables", &["--version"])?;
    let variant = if version.contains("nf_tables") { "nft" } else { "legacy" };
    let (chains, tables) = if world.lab.docker_is_on_nftables() {
        (json!([]), json!(["ip docker-bridges", "ip6 docker-bridges"]))
    } else {
        (json!([variant]), json!([]))
    };
    ensure!(probe["docker"]["chains"] == chains, "{}: {version}", probe["docker"]);
    ensure!(probe["docker"]["tables"] == tables, "{}", probe["docker"]);
    // Docker before 28 does not say.
    let backend = world.lab.on_host("docker", &["info", "--format", "{{json .}}"])?;
    let info: Value = serde_json::from_str(&backend)?;
    ensure!(probe["docker"]["backend"] == info["FirewallBackend"]["Driver"], "{}: {info}", probe["docker"]);
    Ok(())
}

/// DOCKER-USER is passed by there. Whether Docker can be asked does not matter.
pub(super) fn compat_refuses_dockers_nftables(world: &World<'_>, setting: Setting) -> Result<()> {
    world.apply(setting, SOURCES)?;
    refuses_compat(world)?;
    world.docker.stop()?;
    let unanswered = refuses_compat(world);
    world.docker.launch()?;
    unanswered.context("with Docker stopped")?;
    world.remove()?;
    let probe: Value = serde_json::from_slice(&world.lab.dockfw(&["probe", "--json"])?.stdout)?;
    ensure!(probe["engine"] == "nftables", "auto picks {}", probe["engine"]);
    Ok(())
}

/// The engine was put in force while Docker was on iptables, and nobody has applied anything since.
pub(super) fn compat_is_passed_by(world: &World<'_>, setting: Setting) -> Result<()> {
    world.remove()?;
    world.docker.stop()?;
    for family in ["ip", "ip6"] {
        world.lab.host.nft(&format!("delete table {family} docker-bridges"))?;
    }
    let compat = Setting { engine: Engine::Compat, ..setting };
    let applied = world.apply(compat, SOURCES);
    world.docker.launch()?;
    applied?;
    let said = |verb: &str| -> Result<(Option<i32>, String)> {
        let output = world.lab.dockfw(&[verb])?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        ))
    };
    let (status, check, diff) = (said("status")?, said("check")?, said("diff")?);
    world.remove()?;
    let reason = "Docker uses its nftables backend";
    ensure!(status.0 == Some(7) && status.1.contains(reason), "status: {status:?}");
    ensure!(check.0 == Some(0) && check.1.contains(reason), "check: {check:?}");
    ensure!(diff.0 == Some(7), "diff: {diff:?}");
    Ok(())
}

fn refuses_compat(world: &World<'_>) -> Result<()> {
    let before = world.rules()?;
    let compat = Setting { engine: Engine::Compat, prefilter: true };
    let output = world.try_apply(compat, SOURCES, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    let is_refused = output.status.code() == Some(5) && said.contains("Docker uses its nftables backend");
    ensure!(is_refused, "{}: {said}", output.status);
    ensure!(world.rules()? == before, "the policy in force has changed");
    Ok(())
}

pub(super) fn trusted_reaches_all(world: &World<'_>, setting: Setting) -> Result<()> {
    world.apply(setting, SOURCES)?;
    let trusted = &world.lab.trusted;
    let mut expect = Expectations::default();
    for (port, name) in PUBLISHED.into_iter().chain([(22, "ssh"), (9000, "private"), (8090, "hostnet")]) {
        expect.answers(trusted, world.published_at(port), name);
    }
    expect.answers(trusted, world.at_second(8081), "chosen");
    for (container, port, name) in
        [(&world.web, 80, "web"), (&world.quiet, 80, "quiet"), (&world.v4only, 80, "v4only")]
    {
        world.direct(&mut expect, trusted, at(&container.addresses, port), name);
    }
    expect.verify()
}

pub(super) fn closed_unless_opened(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, SOURCES)?;
    let mut expect = Expectations::default();
    for (port, _) in PUBLISHED {
        expect.silent(untrusted, world.at(port));
    }
    expect.silent(untrusted, world.at_second(8081)).verify()?;

    world.apply(setting, &opening(&["8080", "8443", "7000-7002", "8081", "8082", "8083"], "docker"))?;
    let mut expect = Expectations::default();
    for (port, name) in PUBLISHED {
        expect.answers(untrusted, world.published_at(port), name);
    }
    expect.answers(untrusted, world.at_second(8081), "chosen");
    expect.silent(untrusted, world.at(22)).silent(untrusted, world.at(9000));
    expect.verify()
}

pub(super) fn number_dialled(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, &opening(&["80", "7001"], "docker"))?;
    let mut expect = Expectations::default();
    // 80 is the containers' own port of all of these.
    for port in [8080, 8082, 8083, 7000, 7002] {
        expect.silent(untrusted, world.at(port));
    }
    expect.answers(untrusted, world.at(7001), "range").verify()
}

pub(super) fn without_to(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, &opening(&["22", "8080"], ""))?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, world.at(22), "ssh").answers(untrusted, world.at(8080), "web");
    expect.silent(untrusted, world.at(9000)).silent(untrusted, world.at(8443)).verify()?;

    // A rule for the host says nothing of what Docker publishes.
    world.apply(setting, &opening(&["8080", "8443"], "host"))?;
    Expectations::default().silent(untrusted, [world.at(8080)[0], world.at(8443)[0]]).verify()
}

pub(super) fn scoped(world: &World<'_>, setting: Setting) -> Result<()> {
    let policy = r#"
        [[allow]]
        name  = "office"
        from  = ["192.0.2.24/29", "2001:db8:1::30"]
        ports = ["8083/tcp", "8083/udp", "22/tcp", "22/udp", "8082/tcp", "8082/udp"]
    "#;
    world.apply(setting, &format!("{SOURCES}{policy}"))?;
    let mut expect = Expectations::default();
    for (port, name) in [(8083, "second"), (22, "ssh"), (8082, "v4only")] {
        expect.answers(&world.lab.office, world.published_at(port), name);
        expect.silent(&world.lab.untrusted, world.at(port));
    }
    expect.silent(&world.lab.office, world.at(8080)).silent(&world.lab.office, world.at(9000)).verify()
}

pub(super) fn direct_closed(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, &opening(&["8080", "8443", "80", "8083"], ""))?;
    let mut expect = Expectations::default();
    for container in [&world.web, &world.quiet, &world.v4only, &world.second] {
        expect.silent(untrusted, at(&container.addresses, 80));
    }
    // Published under its own number, and still not for direct routing.
    expect.silent(untrusted, at(&world.same.addresses, 8443)).verify()
}

/// Docker's own drops taken away, as its option `allow-direct-routing` does: then dockfw's decide.
pub(super) fn direct_routing_allowed(world: &World<'_>, setting: Setting) -> Result<()> {
    world.apply(setting, &opening(&["8443"], "docker"))?;
    for family in ["ip", "ip6"] {
        world.lab.host.nft(&format!("flush chain {family} docker-bridges raw-PREROUTING"))?;
    }
    let own = at(&world.same.addresses, 8443);
    let mut expect = Expectations::default();
    expect.answers(&world.lab.trusted, own.clone(), "same").silent(&world.lab.untrusted, own);
    let outcome = expect.verify();
    world.docker.lay_rules()?;
    outcome
}

pub(super) fn direct_opened(world: &World<'_>, setting: Setting) -> Result<()> {
    let untrusted = &world.lab.untrusted;
    world.apply(setting, &opening(&["80"], "container"))?;
    let mut expect = Expectations::default();
    for (container, name) in [(&world.web, "web"), (&world.quiet, "quiet"), (&world.v4only, "v4only")] {
        world.direct(&mut expect, untrusted, at(&container.addresses, 80), name);
    }
    // By the container's port after translation; what docker-proxy answers for is a process of the host.
    expect.answers(untrusted, world.at(8080), "web").silent(untrusted, at(&world.same.addresses, 8443));
    expect.silent(untrusted, [world.at(8082)[1]]).silent(untrusted, world.at(8443)).verify()
}

pub(super) fn foreign_translation(world: &World<'_>, setting: Setting) -> Result<()> {
    let beyond = world.lab.outside_segment("behind0")?;
    let services = [beyond.serve("8443/tcp", "foreign")?, beyond.serve("8443/udp", "foreign")?];
    world.route_all(&beyond)?;
    world.translate(world.at_second(8443), beyond.at(8443))?;
    let mut expect = Expectations::default();
    world.apply(setting, &opening(&["8443"], "docker"))?;
    expect
        .answers(&world.lab.untrusted, world.at(8443), "same")
        .silent(&world.lab.untrusted, world.at_second(8443));
    expect.answers(&world.lab.trusted, world.at_second(8443), "foreign");
    let outcome = expect.verify();
    world.end_translation()?;
    drop(services);
    outcome
}
