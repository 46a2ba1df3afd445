//! A policy on trial is in force like any other, and so is the one that comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::wait_until;
use serde_json::Value;

use super::live::{Traffic, knock, nobody_answered};
use super::moves::{is_only_there, moved};
use super::opening;
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

/// How long after its time a policy may be in force on a busy machine.
const LATE: Duration = Duration::from_secs(20);

/// Opens the streams of [`Traffic`] and one more port.
fn policy(port: &str) -> String {
    opening(&["2222", "8444", port], "")
}

pub(super) fn taken_back(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &policy("22"))?;
    let mut traffic = Traffic::start(fixture, &fixture.lab.untrusted)?;
    let knockers = knock(fixture);
    for other in [setting, moved(setting)] {
        begin(fixture, other, "1h")?;
        is_in_force(fixture, other, (3000, "behind"), (22, "ssh"))?;
        let output = fixture.lab.dockfw(&["rollback"])?;
        ensure!(output.status.success(), "rollback: {}", String::from_utf8_lossy(&output.stderr));
        is_in_force(fixture, setting, (22, "ssh"), (3000, "behind"))?;
        begin(fixture, other, "1s")?;
        wait_until(LATE, "for the time to be over, and the other engine's rules to be gone", || {
            let status = fixture.lab.dockfw(&["status", "--json"]).ok()?;
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            status.pointer("/records/pending")?.is_null().then_some(())?;
            is_only_there(fixture, setting.engine).ok()
        })?;
        is_in_force(fixture, setting, (22, "ssh"), (3000, "behind"))?;
        traffic.is_alive()?;
    }
    nobody_answered(knockers)?;
    traffic.finish()?;
    fixture.apply(setting, &policy("22")).map(drop)
}

/// Puts the policy that opens 3000 on trial.
fn begin(fixture: &PacketFixture<'_>, setting: Setting, time: &str) -> Result<()> {
    let output = fixture.try_apply(setting, &policy("3000"), &["--confirm", time, "--detach"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("on trial"), "{}: {said}", output.status);
    Ok(())
}

fn is_in_force(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    open: (u16, &str),
    closed: (u16, &str),
) -> Result<()> {
    let mut expect = Expectations::default();
    expect.answers(&fixture.lab.untrusted, fixture.at(open.0), open.1);
    expect.silent(&fixture.lab.untrusted, fixture.at(closed.0));
    expect.answers(&fixture.lab.trusted, fixture.at(closed.0), closed.1);
    expect.verify().with_context(|| format!("{setting}: {} and not {}", open.0, closed.0))?;
    is_only_there(fixture, setting.engine)
}
