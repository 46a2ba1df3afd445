//! What `init` and `diff` say of containers, held against packets.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, with_engine};

/// Where `init` writes, and `diff` reads.
const POLICY: &str = "/etc/dockfw/dockfw.toml";

/// The file names what containers publish, and opens none of it until somebody uncomments a line.
pub(super) fn drafted(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.remove()?;
    fs::remove_file(POLICY)?;
    let output = fixture.lab.dockfw(&["init"])?;
    ensure!(output.status.success(), "dockfw init: {}", String::from_utf8_lossy(&output.stderr));
    let draft = fs::read_to_string(POLICY)?;
    let line = |port: &str, name: &str| {
        let mut lines = draft.lines();
        lines.any(|line| line.trim_start().starts_with(&format!("# \"{port}\",")) && line.contains(name))
    };
    for (port, name) in [("8080/tcp", "web"), ("8080/udp", "web"), ("7000-7002/tcp", "range")] {
        ensure!(line(port, name), "no {port} of {name} in\n{draft}");
    }
    let untrusted = &fixture.lab.untrusted;
    fixture.apply(setting, &draft)?;
    Expectations::default()
        .silent(untrusted, fixture.at(8080))
        .silent(untrusted, fixture.at(9000))
        .verify()?;
    let opened = draft.replace("# \"8080/", "\"8080/");
    fixture.apply(setting, &opened)?;
    let mut expect = Expectations::default();
    expect.answers(untrusted, fixture.published_at(8080), "web").silent(untrusted, fixture.at(8443));
    expect.verify()
}

/// Who gains and who loses a port is so once the policy is applied, and not before.
pub(super) fn who_gains_and_loses(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let ports = "8080/tcp (container web), 8080/udp (container web)\n";
    let is_open = |is_open: bool| {
        let (untrusted, mut expect) = (&fixture.lab.untrusted, Expectations::default());
        match is_open {
            true => expect.answers(untrusted, fixture.published_at(8080), "web"),
            false => expect.silent(untrusted, fixture.at(8080)),
        };
        expect.verify()
    };
    fixture.apply(setting, SOURCES)?;
    for (policy, who, opens) in [
        (opening(&["8080"], "docker"), "+ everyone", true),
        (SOURCES.to_owned(), "- everyone but trusted", false),
    ] {
        let text = diff(fixture, setting, &policy)?;
        ensure!(text.contains(&format!("\n  {who}: {ports}")), "no {who}: {ports} in\n{text}");
        is_open(!opens)?;
        fixture.apply(setting, &policy)?;
        is_open(opens)?;
    }
    Ok(())
}

/// How a policy differs from what is in force, as `diff` says it.
fn diff(fixture: &PacketFixture<'_>, setting: Setting, policy: &str) -> Result<String> {
    fs::write(POLICY, with_engine(setting, policy))?;
    let output = fixture.lab.dockfw(&["diff", "--backend", setting.engine.backend()])?;
    ensure!(output.status.code() == Some(7), "dockfw diff: {}", output.status);
    String::from_utf8(output.stdout).context("dockfw diff")
}
