//! From one engine to the other, and back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dockfw_lab::Engine;

use super::live::{Moments, Traffic, apply_for, knock, nobody_answered};
use super::opening;
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

/// What opens the streams of [`Traffic`], and nothing that is knocked at.
fn policy() -> String {
    opening(&["2222", "8444", "22"], "")
}

pub(super) fn moved(setting: Setting) -> Setting {
    Setting { engine: setting.engine.other(), ..setting }
}

/// Whether the rules of an engine are on the host.
fn is_there(rules: &str, engine: Engine) -> bool {
    match engine {
        Engine::Native => rules.contains("table inet dockfw"),
        Engine::Compat => rules.contains("FILTERS") || rules.contains("DOCKFW") || rules.contains("dockfw4"),
    }
}

/// One engine's rules, whole, and nothing of the other's.
pub(super) fn is_only_there(fixture: &PacketFixture<'_>, engine: Engine) -> Result<()> {
    let rules = fixture.rules()?;
    for candidate in [Engine::Native, Engine::Compat] {
        ensure!(
            is_there(&rules, candidate) == (candidate == engine),
            "{candidate:?} of {engine:?}:\n{rules}"
        );
    }
    Ok(())
}

pub(super) fn nothing_breaks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &policy())?;
    let mut traffic = Traffic::start(fixture, &fixture.lab.untrusted)?;
    let knockers = knock(fixture);
    for setting in [moved(setting), setting].into_iter().cycle().take(6) {
        fixture.apply(setting, &policy())?;
        is_only_there(fixture, setting.engine)?;
    }
    traffic.is_alive()?;
    nobody_answered(knockers)?;
    traffic.finish()
}

/// How long a move takes: the shortest of three, for whatever else the machine does can only make it longer.
fn time_of_move(fixture: &PacketFixture<'_>, setting: Setting) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        fixture.apply(setting, &policy())?;
        let start = Instant::now();
        fixture.apply(moved(setting), &policy())?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}

/// Killed at any moment, a move leaves the policy in force by one engine or by both, and the next apply tidies up.
pub(super) fn killed_at_any_moment(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let mut moments = Moments::within(time_of_move(fixture, setting)?);
    fixture.apply(setting, &policy())?;
    let knockers = knock(fixture);
    while let Some(delay) = moments.next()? {
        let is_finished = apply_for(fixture, moved(setting), &policy(), delay)?;
        let mut expect = Expectations::default();
        expect
            .answers(&fixture.lab.untrusted, fixture.at(22), "ssh")
            .silent(&fixture.lab.untrusted, fixture.at(3000));
        expect.verify()?;
        if is_finished {
            is_only_there(fixture, moved(setting).engine)?;
        }
        moments.note(is_finished);
        fixture.apply(setting, &policy())?;
        is_only_there(fixture, setting.engine)?;
    }
    nobody_answered(knockers)
}
