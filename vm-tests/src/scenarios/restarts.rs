//! Restarts of services that have to do with rules, under knocking.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::{Bench, Verdict};
use crate::matrix::Variant;

/// What `docs/security.md` does not promise anything about may last this long in an emulated machine.
const LONGEST_GAP: Duration = Duration::from_secs(30);

pub(super) fn docker(bench: &mut Bench) -> Result<Verdict> {
    let knocking = bench.knock()?;
    knocking.go_on()?;
    bench.run("systemctl restart docker")?;
    bench.expect_service()?;
    knocking.go_on()?;
    bench.run("dockfw diff")?;
    knocking.expect_silence().map(Verdict::Passed)
}

pub(super) fn firewalld(bench: &mut Bench) -> Result<Verdict> {
    // Its own default would drop what is trusted here.
    bench.run("firewall-offline-cmd --set-default-zone=trusted")?;
    if bench.row.variant == Variant::Legacy {
        bench
            .run("sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' /etc/firewalld/firewalld.conf")?;
    }
    let verdict = through(bench, &["systemctl start firewalld", "systemctl restart firewalld"]);
    bench.run("systemctl stop firewalld; systemctl restart docker")?;
    bench.wait_for("dockfw diff")?;
    bench.expect_service()?;
    verdict
}

pub(super) fn iptables(bench: &mut Bench) -> Result<Verdict> {
    // Rules from before dockfw and Docker, as an operator has them.
    let rules = "*filter\\n:INPUT ACCEPT [0:0]\\n:FORWARD ACCEPT [0:0]\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n";
    bench.run(&format!("printf '{rules}' | tee /etc/iptables/rules.v4 >/etc/iptables/rules.v6"))?;
    let restart = "systemctl restart netfilter-persistent";
    let verdict = through(bench, &[restart, restart]);
    bench.run("systemctl stop netfilter-persistent; systemctl restart docker")?;
    bench.wait_for("dockfw diff")?;
    bench.expect_service()?;
    verdict
}

pub(super) fn nftables(bench: &mut Bench) -> Result<Verdict> {
    if bench.row.denied.iter().any(|module| module == "nf_tables") {
        return Ok(Verdict::Skipped("the system has no nf_tables".to_owned()));
    }
    let gap = gap_through(bench, &["systemctl restart nftables"])?;
    bench.run("systemctl stop nftables; systemctl restart docker")?;
    bench.wait_for("dockfw diff")?;
    bench.expect_service()?;
    Ok(Verdict::Passed(format!("gap {} ms", gap.as_millis())))
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
