//! Both engines by name: moves between them, and what is said of one that the system can't have.

use anyhow::{Result, ensure};

use crate::bench::{Bench, Verdict};
use crate::machine::SOON;
use crate::matrix::Variant;

const IPTABLES: &str = "iptables";
const NFTABLES: &str = "nftables";
/// As `dockfw` ends where a host can't do what was asked for.
const UNSUPPORTED: i32 = 5;
/// Takes out what Docker left in iptables-nft: where its chains are, there dockfw's go, whatever `iptables` is.
const CLEAR: &str =
    "nft list tables | grep -E '^table ip6? (filter|nat|raw|mangle)$' | sed 's/^/delete /' | nft -f -";

pub(super) fn by_name(bench: &mut Bench) -> Result<Verdict> {
    let knocking = bench.knock()?;
    knocking.go_on()?;
    let own = bench.row.engine.clone();
    let other = if own == NFTABLES { IPTABLES } else { NFTABLES };
    let mut told = match bench.row.refused.clone() {
        Some(refused) => vec![refusal(bench, &refused)?],
        None => vec![moves(bench, [other, &own])?],
    };
    if bench.row.denied.iter().any(|module| module == "ip_tables") {
        told.push(refusal_on_legacy(bench)?);
    }
    bench.expect_service()?;
    told.push(knocking.expect_silence()?);
    Ok(Verdict::Passed(told.join("; ")))
}

fn moves(bench: &mut Bench, engines: [&str; 2]) -> Result<String> {
    for engine in engines {
        bench.run(&format!("dockfw apply --backend {engine}; dockfw diff"))?;
        ensure!(bench.engine()? == engine, "{engine} was asked for, and {} is in force", bench.engine()?);
        bench.expect_service()?;
    }
    let [other, _] = engines;
    Ok(format!("moved to {other} and back"))
}

/// The program must say why, and leave what is in force as it is.
fn refusal(bench: &mut Bench, engine: &str) -> Result<String> {
    let command = format!("dockfw apply --backend {engine}");
    let (code, said) = bench.machine()?.attempt(&command, SOON)?;
    ensure!(code == UNSUPPORTED, "exit code {code} of {command:?}: {said}");
    bench.run("dockfw diff")?;
    ensure!(bench.engine()? == bench.row.engine, "{} is in force", bench.engine()?);
    // What comes before is about the policy.
    let reason = said.rsplit("error: ").next().unwrap_or_default();
    Ok(format!("--backend {engine}: {}", reason.trim().replace('\n', " ")))
}

/// The same where `iptables` is iptables-legacy, for which the kernel has no tables. Docker does not start there.
fn refusal_on_legacy(bench: &mut Bench) -> Result<String> {
    bench.run("systemctl stop docker.socket docker")?;
    bench.choose_iptables(Variant::Legacy)?;
    bench.run(CLEAR)?;
    let refusal = refusal(bench, IPTABLES);
    bench.choose_iptables(bench.row.variant)?;
    bench.run("systemctl start docker")?;
    Ok(format!("with iptables-legacy, {}", refusal?))
}
