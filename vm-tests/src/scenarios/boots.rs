//! Boots, under knocking.

use anyhow::{Result, ensure};

use crate::bench::{Bench, POLICY, Verdict, ask};
use crate::knocks::SSH;
use crate::matrix::Format;
use crate::wire::at;

pub(super) fn cold(bench: &mut Bench) -> Result<Verdict> {
    bench.power_off()?;
    let knocking = bench.knock()?;
    bench.power_on()?;
    bench.expect_service()?;
    knocking.go_on()?;
    let silence = knocking.expect_silence()?;
    bench.run("systemctl is-active dockfw; dockfw status")?;
    Ok(Verdict::Passed(silence))
}

pub(super) fn again(bench: &mut Bench) -> Result<Verdict> {
    let knocking = bench.knock()?;
    knocking.go_on()?;
    bench.machine()?.reboot()?;
    bench.expect_service()?;
    knocking.go_on()?;
    let silence = knocking.expect_silence()?;
    bench.run("systemctl is-active dockfw; dockfw status")?;
    Ok(Verdict::Passed(silence))
}

pub(super) fn broken_policy(bench: &mut Bench) -> Result<Verdict> {
    bench.write_policy("trusted = [")?;
    let confirmed = confirmed_policy(bench);
    let fail_safe = confirmed.and_then(|confirmed| Ok((confirmed, fail_safe(bench)?)));
    bench.apply(POLICY)?;
    bench.run("systemctl restart dockfw")?;
    bench.expect_service()?;
    let (confirmed, fail_safe) = fail_safe?;
    Ok(Verdict::Passed(format!("confirmed policy: {confirmed}; fail-safe: {fail_safe}")))
}

fn confirmed_policy(bench: &mut Bench) -> Result<String> {
    let knocking = bench.knock()?;
    bench.machine()?.reboot()?;
    bench.wait_for("systemctl is-failed dockfw")?;
    bench.expect_service()?;
    knocking.go_on()?;
    knocking.expect_silence()
}

fn fail_safe(bench: &mut Bench) -> Result<String> {
    let ssh = match bench.row.format {
        Format::Deb => "ssh",
        Format::Rpm => "sshd",
    };
    bench.run(&format!("rm -r /var/lib/dockfw/*; systemctl enable {ssh}"))?;
    let knocking = bench.knock_but(&[SSH])?;
    bench.machine()?.reboot()?;
    bench.wait_for("systemctl is-failed dockfw")?;
    bench.wait_for("docker ps -q")?;
    for to in at(SSH) {
        let outcome = ask(&bench.wire.untrusted, to);
        ensure!(outcome.to_string().contains("SSH-2.0"), "SSH at {to}: {outcome}");
    }
    for to in at(9000) {
        let outcome = ask(&bench.wire.trusted, to);
        ensure!(outcome.is_silent(), "more than SSH is open, {to}: {outcome}");
    }
    knocking.go_on()?;
    knocking.expect_silence()
}
