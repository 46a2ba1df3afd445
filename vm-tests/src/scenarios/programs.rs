//! Test programs of the workspace, run in the machine.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::fixture::{RowFixture, Verdict};
use crate::kit::PLACE;

/// All packet cases with one engine take some ten minutes in an emulated machine.
const LONGEST: Duration = Duration::from_secs(90 * 60);

/// They start a Docker of their own.
const OTHER_BACKEND: &str = "the Docker of these tests filters with iptables";

pub(super) fn packets(fixture: &mut RowFixture) -> Result<Verdict> {
    let all = format!("iptables-{}::{}::", fixture.row.variant.suffix(), engine(fixture));
    let filter = if fixture.short { format!("{all}S2") } else { all };
    run_program(fixture, "packets", &filter)
}

pub(super) fn swarm(fixture: &mut RowFixture) -> Result<Verdict> {
    let engine = engine(fixture);
    run_program(fixture, "swarm", &format!("{engine}::"))
}

/// The row's engine, as test programs name it.
fn engine(fixture: &RowFixture) -> &'static str {
    if fixture.row.engine == "iptables" { "compat" } else { "native" }
}

/// Runs a program that reports as Rust's tests do: those of its cases whose names contain the filter.
fn run_program(fixture: &mut RowFixture, name: &str, filter: &str) -> Result<Verdict> {
    if fixture.row.docker_on_nftables {
        return Ok(Verdict::Skipped(OTHER_BACKEND.to_owned()));
    }
    // Newer Dockers leave br_netfilter to those who want it.
    fixture.run("systemctl stop docker.socket docker containerd; modprobe br_netfilter")?;
    let environment =
        "DOCKFW_TEST_DOCKER=host DOCKFW_TEST_PROGRAM=/usr/sbin/dockfw DOCKFW_LAB_PATIENCE=4 HOME=/root";
    let script = format!("cd {PLACE} && PATH={PLACE}:$PATH {environment} ./{name} '{filter}'");
    let (code, said) = fixture.machine()?.attempt(&script, LONGEST)?;
    fixture.run("systemctl start containerd docker")?;
    let summary = said.lines().rev().find_map(|line| line.strip_prefix("test result: "));
    let Some(summary) = summary else { bail!("exit code {code} and no result: {said}") };
    ensure!(code == 0, "{summary}: {}", failures(&said));
    let passed = summary.split_whitespace().nth(1).and_then(|number| number.parse::<u32>().ok());
    ensure!(passed.is_some_and(|passed| passed > 0), "no case ran: {summary}");
    Ok(Verdict::Passed(summary.to_owned()))
}

fn failures(said: &str) -> String {
    said.lines().filter(|line| line.ends_with("FAILED")).collect::<Vec<_>>().join("; ")
}
