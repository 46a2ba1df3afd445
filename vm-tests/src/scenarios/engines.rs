//! Both engines by name: moves between them, and what is said of one that the system can't have.

use anyhow::{Result, ensure};

use crate::fixture::{RowFixture, Verdict};
use crate::machine::SOON;
use crate::matrix::Variant;

const IPTABLES: &str = "iptables";
const NFTABLES: &str = "nftables";
/// As `dockfw` ends where a host can't do what was asked for.
const UNSUPPORTED: i32 = 5;
/// Takes out what Docker left in iptables-nft: where its chains are, there dockfw's go, whatever `iptables` is.
const CLEAR: &str =
    "nft list tables | grep -E '^table ip6? (filter|nat|raw|mangle)$' | sed 's/^/delete /' | nft -f -";

pub(super) fn by_name(fixture: &mut RowFixture) -> Result<Verdict> {
    let knocking = fixture.knock()?;
    knocking.go_on()?;
    let own = fixture.row.engine.clone();
    let other = if own == NFTABLES { IPTABLES } else { NFTABLES };
    let mut told = match fixture.row.refused.clone() {
        Some(refused) => vec![refusal(fixture, &refused)?],
        None => vec![moves(fixture, [other, &own])?],
    };
    if fixture.row.denied.iter().any(|module| module == "ip_tables") {
        told.push(refusal_on_legacy(fixture)?);
    }
    fixture.expect_service()?;
    told.push(knocking.expect_silence()?);
    Ok(Verdict::Passed(told.join("; ")))
}

fn moves(fixture: &mut RowFixture, engines: [&str; 2]) -> Result<String> {
    for engine in engines {
        fixture.run(&format!("dockfw apply --backend {engine}; dockfw diff"))?;
        ensure!(fixture.engine()? == engine, "{engine} was asked for, and {} is in force", fixture.engine()?);
        fixture.expect_service()?;
    }
    let [other, _] = engines;
    Ok(format!("moved to {other} and back"))
}

/// The program must say why, and leave what is in force as it is.
fn refusal(fixture: &mut RowFixture, engine: &str) -> Result<String> {
    let command = format!("dockfw apply --backend {engine}");
    let (code, said) = fixture.machine()?.attempt(&command, SOON)?;
    ensure!(code == UNSUPPORTED, "exit code {code} of {command:?}: {said}");
    fixture.run("dockfw diff")?;
    ensure!(fixture.engine()? == fixture.row.engine, "{} is in force", fixture.engine()?);
    // What comes before is about the policy.
    let reason = said.rsplit("error: ").next().unwrap_or_default();
    Ok(format!("--backend {engine}: {}", reason.trim().replace('\n', " ")))
}

/// The same where `iptables` is iptables-legacy, for which the kernel has no tables. Docker does not start there.
fn refusal_on_legacy(fixture: &mut RowFixture) -> Result<String> {
    fixture.run("systemctl stop docker.socket docker")?;
    fixture.choose_iptables(Variant::Legacy)?;
    fixture.run(CLEAR)?;
    let refusal = refusal(fixture, IPTABLES);
    fixture.choose_iptables(fixture.row.variant)?;
    fixture.run("systemctl start docker")?;
    Ok(format!("with iptables-legacy, {}", refusal?))
}
