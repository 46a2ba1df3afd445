//! The system, and the package on it.

use anyhow::{Result, ensure};

use crate::fixture::{POLICY, RowFixture, Verdict};
use crate::kit::PLACE;
use crate::matrix::Format;

/// All rules, without what counts or numbers them.
const RULES: &str = "(iptables-save; ip6tables-save; ipset save) | sed 's/\\[[0-9]*:[0-9]*\\]//; /^#/d'";

pub(super) fn system(fixture: &mut RowFixture) -> Result<Verdict> {
    let row = fixture.row.clone();
    let mut told = Vec::new();
    for (what, command, expected) in [
        ("Linux", "uname -r", row.kernel.as_str()),
        ("iptables", "iptables --version | sed 's/.* v//; s/ .*//'", &row.iptables),
        (
            "iptables is",
            // Before 1.8 there was but one, and no word for it.
            "iptables --version | sed '/(/!s/.*/legacy/; s/.*(//; s/nf_tables/nft/; s/).*//'",
            row.variant.suffix(),
        ),
        ("Docker", "docker version --format '{{.Server.Version}}'", &row.docker),
    ] {
        let said = fixture.run(command)?;
        ensure!(said.starts_with(expected), "{what} {said}, and the row says {expected}");
        told.push(format!("{what} {said}"));
    }
    if row.docker_on_nftables {
        told.push(fixture.run("docker info --format '{{json .FirewallBackend}}' | grep nftables")?);
    }
    for module in &row.denied {
        fixture.run(&format!("! modprobe {module} 2>/dev/null; ! grep -qw ^{module} /proc/modules"))?;
    }
    Ok(Verdict::Passed(told.join(", ")))
}

pub(super) fn install(fixture: &mut RowFixture) -> Result<Verdict> {
    // Of two containers that Docker starts at a boot, either is the first.
    expect_open(fixture, fixture.row.reaches_containers())?;
    fixture.run(&format!("{RULES} >/root/before"))?;
    fixture.run(&install_command(fixture.row.format, "dockfw"))?;
    fixture
        .run(&format!("[ \"$(systemctl is-enabled dockfw)\" != enabled ]; {RULES} | diff /root/before -"))?;
    fixture.apply(POLICY)?;
    let knocking = fixture.knock()?;
    knocking.go_on()?;
    fixture.run(
        "dockfw status | tail -n 1 | grep 'systemctl enable dockfw'; \
         code=0; dockfw status --strict >/dev/null || code=$?; [ $code = 7 ]; \
         dockfw apply --enable; [ \"$(systemctl is-enabled dockfw)\" = enabled ]; dockfw diff",
    )?;
    let engine = fixture.engine()?;
    ensure!(engine == fixture.row.engine, "auto chose {engine:?}, and the row says {:?}", fixture.row.engine);
    fixture.expect_service()?;
    Ok(Verdict::Passed(format!("{engine}, {}", knocking.expect_silence()?)))
}

/// As a user does it, without a network. Of a .rpm there is no older version: the same one takes its place.
fn install_command(format: Format, package: &str) -> String {
    match format {
        Format::Deb => format!(
            "DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold \
             {PLACE}/{package}.deb"
        ),
        Format::Rpm => format!(
            "if rpm -q dockfw; then rpm -U --force {PLACE}/{package}.rpm; else \
             $(command -v dnf || command -v yum) --disablerepo='*' install -y {PLACE}/{package}.rpm; fi"
        ),
    }
}

/// The knocks reach the machine, and are answered where nothing drops them.
fn expect_open(fixture: &RowFixture, container: bool) -> Result<()> {
    fixture.expect_service()?;
    fixture.knock()?.expect_answers(container)
}

pub(super) fn upgrade(fixture: &mut RowFixture) -> Result<Verdict> {
    let knocking = fixture.knock()?;
    knocking.go_on()?;
    let format = fixture.row.format;
    if format == Format::Deb {
        fixture.run(&install_command(format, "older"))?;
    }
    fixture.run(&install_command(format, "dockfw"))?;
    fixture.run("dockfw diff")?;
    fixture.run("systemctl is-enabled dockfw")?;
    knocking.go_on()?;
    fixture.expect_service()?;
    knocking.expect_silence().map(Verdict::Passed)
}

pub(super) fn remove(fixture: &mut RowFixture) -> Result<Verdict> {
    fixture.run(&format!("systemctl restart docker; dockfw remove; {RULES} >/root/before; dockfw apply"))?;
    fixture.run(match fixture.row.format {
        Format::Deb => "DEBIAN_FRONTEND=noninteractive apt-get remove -y dockfw",
        Format::Rpm => "$(command -v dnf || command -v yum) remove -y dockfw",
    })?;
    fixture.run(&format!("{RULES} >/root/after; diff /root/before /root/after"))?;
    fixture.run("if grep -iE 'dockfw|FILTERS' /root/after; then exit 1; fi")?;
    fixture.run("[ ! -e /usr/sbin/dockfw ]; if nft list table inet dockfw 2>/dev/null; then exit 1; fi")?;
    expect_open(fixture, false)?;
    Ok(Verdict::Passed(String::new()))
}
