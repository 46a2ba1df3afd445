//! Restarts of services that have to do with rules, under knocking.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::{Bench, Verdict};
use crate::machine::SOON;
use crate::matrix::{Format, Variant};

/// What `docs/security.md` does not promise anything about may last this long in an emulated machine.
const LONGEST_GAP: Duration = Duration::from_secs(30);

pub(super) fn docker(bench: &mut Bench) -> Result<Verdict> {
    let knocking = bench.knock()?;
    knocking.go_on()?;
    bench.run("systemctl restart docker")?;
    bench.expect_service()?;
    // Where systemd listens for it, a question could start it.
    bench.run("systemctl stop docker; dockfw status; if systemctl is-active docker; then exit 1; fi")?;
    bench.run("systemctl start docker")?;
    bench.expect_service()?;
    knocking.go_on()?;
    bench.run("dockfw diff")?;
    knocking.expect_silence().map(Verdict::Passed)
}

pub(super) fn firewalld(bench: &mut Bench) -> Result<Verdict> {
    if let Some(reason) = absent(bench, "firewalld")? {
        return Ok(reason);
    }
    // Its own default would drop what is trusted here.
    bench.run("firewall-offline-cmd --set-default-zone=trusted")?;
    if bench.row.variant == Variant::Legacy {
        bench
            .run("sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' /etc/firewalld/firewalld.conf")?;
    }
    let verdict = through(bench, &["systemctl start firewalld", "systemctl restart firewalld"]);
    leave(bench, "firewalld")?;
    verdict
}

pub(super) fn iptables(bench: &mut Bench) -> Result<Verdict> {
    let service = match bench.row.format {
        Format::Deb => "netfilter-persistent",
        Format::Rpm => "iptables",
    };
    if let Some(reason) = absent(bench, service)? {
        return Ok(reason);
    }
    // Rules from before dockfw and Docker, as an operator has them.
    let rules = "*filter\\n:INPUT ACCEPT [0:0]\\n:FORWARD ACCEPT [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n";
    let files = match bench.row.format {
        Format::Deb => "/etc/iptables/rules.v4 /etc/iptables/rules.v6",
        Format::Rpm => "/etc/sysconfig/iptables /etc/sysconfig/ip6tables",
    };
    bench.run(&format!("printf '{rules}' | tee {files}"))?;
    let restart = format!("systemctl restart {service}");
    let verdict = through(bench, &[&restart, &restart]);
    leave(bench, service)?;
    verdict
}

pub(super) fn nftables(bench: &mut Bench) -> Result<Verdict> {
    if bench.row.denied.iter().any(|module| module == "nf_tables") {
        return Ok(Verdict::Skipped("the system has no nf_tables".to_owned()));
    }
    if let Some(reason) = absent(bench, "nftables")? {
        return Ok(reason);
    }
    let gap = gap_through(bench, &["systemctl restart nftables"]);
    leave(bench, "nftables")?;
    gap.map(|gap| Verdict::Passed(format!("gap {} ms", gap.as_millis())))
}

/// That the system has no such service, if so.
fn absent(bench: &mut Bench, service: &str) -> Result<Option<Verdict>> {
    let (code, _) = bench.machine()?.attempt(&format!("systemctl cat {service}"), SOON)?;
    Ok((code != 0).then(|| Verdict::Skipped(format!("the system has no {service}.service"))))
}

/// Stops such a service, which may flush everything once more, and brings back what others had put there.
fn leave(bench: &mut Bench, service: &str) -> Result<()> {
    bench.run(&format!(
        "systemctl stop {service}; systemctl restart dockfw; systemctl restart docker; dockfw diff"
    ))?;
    bench.expect_service()
}

/// No gap with the native engine: its table is nobody else's. Such a service flushes those of xtables, and the compat
/// engine's rules with them.
fn through(bench: &mut Bench, commands: &[&str]) -> Result<Verdict> {
    let gap = gap_through(bench, commands)?;
    ensure!(bench.row.engine == "iptables" || gap.is_zero(), "answers for {} ms", gap.as_millis());
    Ok(Verdict::Passed(format!("gap {} ms", gap.as_millis())))
}

/// The longest time between the first answer to a knock and the last one, through any of the commands; afterwards the
/// policy is in force.
fn gap_through(bench: &mut Bench, commands: &[&str]) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for command in commands {
        let knocking = bench.knock()?;
        knocking.go_on()?;
        bench.run(command)?;
        bench.wait_for("dockfw diff")?;
        let back = Instant::now();
        knocking.go_on()?;
        longest = longest.max(knocking.gap(back)?);
    }
    ensure!(longest < LONGEST_GAP, "the host was open for {} ms", longest.as_millis());
    Ok(longest)
}
