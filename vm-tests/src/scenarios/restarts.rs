//! Restarts of services that have to do with rules, under knocking.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::fixture::{RowFixture, Verdict};
use crate::machine::SOON;
use crate::matrix::{Format, Variant};

/// What `docs/security.md` does not promise anything about may last this long in an emulated machine.
const LONGEST_GAP: Duration = Duration::from_secs(30);

pub(super) fn docker(fixture: &mut RowFixture) -> Result<Verdict> {
    let knocking = fixture.knock()?;
    knocking.go_on()?;
    fixture.run("systemctl restart docker")?;
    fixture.expect_service()?;
    // Where systemd listens for it, a question could start it.
    fixture.run("systemctl stop docker; dockfw status; if systemctl is-active docker; then exit 1; fi")?;
    fixture.run("systemctl start docker")?;
    fixture.expect_service()?;
    knocking.go_on()?;
    fixture.run("dockfw diff")?;
    knocking.expect_silence().map(Verdict::Passed)
}

pub(super) fn firewalld(fixture: &mut RowFixture) -> Result<Verdict> {
    if let Some(reason) = absent(fixture, "firewalld")? {
        return Ok(reason);
    }
    // Its own default would drop what is trusted here.
    fixture.run("firewall-offline-cmd --set-default-zone=trusted")?;
    if fixture.row.variant == Variant::Legacy {
        fixture
            .run("sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' /etc/firewalld/firewalld.conf")?;
    }
    let verdict = through(fixture, &["systemctl start firewalld", "systemctl restart firewalld"]);
    leave(fixture, "firewalld")?;
    verdict
}

pub(super) fn iptables(fixture: &mut RowFixture) -> Result<Verdict> {
    let service = match fixture.row.format {
        Format::Deb => "netfilter-persistent",
        Format::Rpm => "iptables",
    };
    if let Some(reason) = absent(fixture, service)? {
        return Ok(reason);
    }
    // Rules from before dockfw and Docker, as an operator has them.
    let rules = "*filter\\n:INPUT ACCEPT [0:0]\\n:FORWARD ACCEPT [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n";
    let files = match fixture.row.format {
        Format::Deb => "/etc/iptables/rules.v4 /etc/iptables/rules.v6",
        Format::Rpm => "/etc/sysconfig/iptables /etc/sysconfig/ip6tables",
    };
    fixture.run(&format!("printf '{rules}' | tee {files}"))?;
    let restart = format!("systemctl restart {service}");
    let verdict = through(fixture, &[&restart, &restart]);
    leave(fixture, service)?;
    verdict
}

pub(super) fn nftables(fixture: &mut RowFixture) -> Result<Verdict> {
    if fixture.row.denied.iter().any(|module| module == "nf_tables") {
        return Ok(Verdict::Skipped("the system has no nf_tables".to_owned()));
    }
    if let Some(reason) = absent(fixture, "nftables")? {
        return Ok(reason);
    }
    let gap = gap_through(fixture, &["systemctl restart nftables"]);
    leave(fixture, "nftables")?;
    gap.map(|gap| Verdict::Passed(format!("gap {} ms", gap.as_millis())))
}

/// That the system has no such service, if so.
fn absent(fixture: &mut RowFixture, service: &str) -> Result<Option<Verdict>> {
    let (code, _) = fixture.machine()?.attempt(&format!("systemctl cat {service}"), SOON)?;
    Ok((code != 0).then(|| Verdict::Skipped(format!("the system has no {service}.service"))))
}

/// Stops such a service, which may flush everything once more, and brings back what others had put there.
fn leave(fixture: &mut RowFixture, service: &str) -> Result<()> {
    fixture.run(&format!(
        "systemctl stop {service}; systemctl restart dockfw; systemctl restart docker; dockfw diff"
    ))?;
    fixture.expect_service()
}

/// No gap with the native engine: its table is nobody else's. Such a service flushes those of xtables, and the compat
/// engine's rules with them.
fn through(fixture: &mut RowFixture, commands: &[&str]) -> Result<Verdict> {
    let gap = gap_through(fixture, commands)?;
    ensure!(fixture.row.engine == "iptables" || gap.is_zero(), "answers for {} ms", gap.as_millis());
    Ok(Verdict::Passed(format!("gap {} ms", gap.as_millis())))
}

/// The longest time between the first answer to a knock and the last one, through any of the commands; afterwards the
/// policy is in force.
fn gap_through(fixture: &mut RowFixture, commands: &[&str]) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for command in commands {
        let knocking = fixture.knock()?;
        knocking.go_on()?;
        fixture.run(command)?;
        fixture.wait_for("dockfw diff")?;
        let back = Instant::now();
        knocking.go_on()?;
        longest = longest.max(knocking.gap(back)?);
    }
    ensure!(longest < LONGEST_GAP, "the host was open for {} ms", longest.as_millis());
    Ok(longest)
}
