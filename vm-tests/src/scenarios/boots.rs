//! Boots, under knocking.

use anyhow::{Result, ensure};

use crate::fixture::{POLICY, RowFixture, Verdict, ask};
use crate::knocks::SSH;
use crate::matrix::Format;
use crate::wire::at;

pub(super) fn cold(fixture: &mut RowFixture) -> Result<Verdict> {
    fixture.power_off()?;
    let knocking = fixture.knock()?;
    fixture.power_on()?;
    fixture.expect_service()?;
    knocking.go_on()?;
    let silence = knocking.expect_silence()?;
    fixture.run("systemctl is-active dockfw; dockfw status")?;
    Ok(Verdict::Passed(silence))
}

pub(super) fn again(fixture: &mut RowFixture) -> Result<Verdict> {
    let knocking = fixture.knock()?;
    knocking.go_on()?;
    fixture.machine()?.reboot()?;
    fixture.expect_service()?;
    knocking.go_on()?;
    let silence = knocking.expect_silence()?;
    fixture.run("systemctl is-active dockfw; dockfw status")?;
    Ok(Verdict::Passed(silence))
}

pub(super) fn broken_policy(fixture: &mut RowFixture) -> Result<Verdict> {
    fixture.write_policy("trusted = [")?;
    let confirmed = confirmed_policy(fixture);
    let fail_safe = confirmed.and_then(|confirmed| Ok((confirmed, fail_safe(fixture)?)));
    fixture.apply(POLICY)?;
    // The agent is a unit's process, which would not wait for another unit.
    fixture.run("env -u INVOCATION_ID dockfw apply; systemctl is-active dockfw")?;
    fixture.expect_service()?;
    let (confirmed, fail_safe) = fail_safe?;
    Ok(Verdict::Passed(format!("confirmed policy: {confirmed}; fail-safe: {fail_safe}")))
}

fn confirmed_policy(fixture: &mut RowFixture) -> Result<String> {
    let knocking = fixture.knock()?;
    fixture.machine()?.reboot()?;
    fixture.wait_for("systemctl is-failed dockfw")?;
    fixture.expect_service()?;
    knocking.go_on()?;
    knocking.expect_silence()
}

fn fail_safe(fixture: &mut RowFixture) -> Result<String> {
    let ssh = match fixture.row.format {
        Format::Deb => "ssh",
        Format::Rpm => "sshd",
    };
    fixture.run(&format!("rm -r /var/lib/dockfw/*; systemctl enable {ssh}"))?;
    let knocking = fixture.knock_but(&[SSH])?;
    fixture.machine()?.reboot()?;
    fixture.wait_for("systemctl is-failed dockfw")?;
    fixture.wait_for("docker ps -q")?;
    fixture
        .run("dockfw status >/root/said 2>&1 || [ $? = 2 ]; grep '^dockfw.service has failed' /root/said")?;
    for to in at(SSH) {
        let outcome = ask(&fixture.wire.untrusted, to);
        ensure!(outcome.to_string().contains("SSH-2.0"), "SSH at {to}: {outcome}");
    }
    for to in at(9000) {
        let outcome = ask(&fixture.wire.trusted, to);
        ensure!(outcome.is_silent(), "more than SSH is open, {to}: {outcome}");
    }
    knocking.go_on()?;
    knocking.expect_silence()
}
