//! Random packets under random policies: the kernel and `explain` agree about each.
//!
//! Sent without dockfw first: what the kernel makes of a packet (its way, its connection, its translation) is read off
//! there, and what does not get through even so says nothing about dockfw. Then, under each policy, just those get
//! through of the rest that the walk over the compiled policy lets pass.

mod packets;
mod policies;
mod route;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Dice, Engine, Observer, SEED, Silence, Witness, seed};
use dockfw_policy::compile::{EarlyDrop, compile, compile_with};
use dockfw_policy::reverse_path;
use dockfw_policy::ruleset::{Hook, Ruleset};
use dockfw_policy::walk::{Decision, Verdict, explain_path};

use super::forged::believe_anything;
use crate::fixture::{PacketFixture, Setting, with_engine};
use packets::Sent;
use route::Route;

/// How many policies a case puts in force.
const POLICIES: usize = 6;
/// How many packets come in by each interface.
const PACKETS: usize = 400;
/// How many verdicts each case must compare: twenty thousand in its six runs (two variants of iptables, three settings).
const VERDICTS: usize = 3_400;

pub(super) fn explained(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let seed = seed()?;
    println!("        seed {seed} (to repeat it: {SEED}={seed})");
    let outcome = compare(fixture, setting, &mut Dice::new(seed));
    let tally = outcome.with_context(|| format!("with {SEED}={seed}"))?;
    println!("        {} packets passed and {} were dropped, as explained", tally.passed, tally.dropped);
    ensure!(tally.passed + tally.dropped >= VERDICTS, "too few to tell anything");
    let share = tally.passed * 100 / (tally.passed + tally.dropped);
    ensure!((2..98).contains(&share), "{share} % got through: too one-sided to tell anything");
    Ok(())
}

#[derive(Default)]
struct Tally {
    passed: usize,
    dropped: usize,
}

fn compare(fixture: &PacketFixture<'_>, setting: Setting, dice: &mut Dice) -> Result<Tally> {
    fixture.remove()?;
    let [vpn, alike] = [fixture.lab.outside_segment("vpn0")?, fixture.lab.outside_segment("br-ex")?];
    let routes = [
        Route::of(fixture, "eth0", &fixture.lab.untrusted)?,
        Route::of(fixture, "vpn0", &vpn)?,
        // Named like a bridge of Docker's, and none.
        Route::of(fixture, "br-ex", &alike)?,
        Route::of_container(fixture, &fixture.web)?,
    ];
    let outcome = compare_by(fixture, setting, dice, &routes);
    // At once, and not when the kernel gets round to it: the next case would be refused for it.
    fixture.lab.host.ip(&["link delete br-ex", "link delete vpn0"])?;
    outcome
}

fn compare_by(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    dice: &mut Dice,
    routes: &[Route],
) -> Result<Tally> {
    let _silence = Silence::install(&fixture.lab.host)?;
    let mut batches = Vec::new();
    for route in routes {
        believe_anything(fixture, &route.interface)?;
        batches.push(Batch::observe(fixture, route, packets::random(fixture, dice, PACKETS)?)?);
    }
    let mut tally = Tally::default();
    let mut agree = |ruleset: &Ruleset, policy: &str| {
        for batch in &batches {
            let wrong = batch.disagreements(fixture, setting, ruleset, &mut tally)?;
            ensure!(wrong.is_empty(), "under this policy:\n{policy}\n{}", wrong.join("\n"));
        }
        Ok(())
    };
    for turn in 0..POLICIES {
        let policy = policies::random(dice);
        // The compat engine has no setting of its own for that.
        let is_without = setting.engine == Engine::Compat && turn % 4 == 3;
        let setting = Setting { prefilter: setting.prefilter && !is_without, ..setting };
        let mut ruleset = compiled(setting, &policy)?;
        apply(fixture, setting, &policy)?;
        agree(&ruleset, &policy)?;
        if turn % 3 == 0 {
            take_out_prerouting(fixture, setting, &mut ruleset)?;
            agree(&ruleset, &policy)?;
        }
    }
    Ok(tally)
}

/// Leaves the later hooks alone, as for a packet that met the first one under a policy that lets everything pass.
fn take_out_prerouting(fixture: &PacketFixture<'_>, setting: Setting, ruleset: &mut Ruleset) -> Result<()> {
    ruleset.hooks.retain(|rules| !matches!(rules.hook, Hook::Prerouting | Hook::Tracked));
    if setting.engine == Engine::Native {
        let early = ["prefilter", "tracked"].into_iter().take(if setting.prefilter { 2 } else { 1 });
        let flush = early.map(|chain| format!("flush chain inet dockfw {chain}\n")).collect::<String>();
        return fixture.lab.host.nft(&flush).map(drop);
    }
    // Sources can't be checked anywhere else.
    ruleset.hooks.iter_mut().for_each(|rules| rules.rules.retain(|rule| !reverse_path::asks(rule)));
    for program in ["iptables", "ip6tables"] {
        fixture.lab.on_host(program, &["-t", "mangle", "-F", "DOCKFW-PRE"])?;
    }
    Ok(())
}

/// As the program compiles it: the compat engine drops nothing before connection tracking.
fn compiled(setting: Setting, policy: &str) -> Result<Ruleset> {
    let policy = policies::read(&with_engine(setting, policy))?;
    let early = if setting.prefilter { EarlyDrop::Tracked } else { EarlyDrop::Nothing };
    Ok(match setting.engine {
        Engine::Native => compile(&policy),
        Engine::Compat => reverse_path::before_translation(compile_with(&policy, early)),
    })
}

/// By force: nothing of the interfaces here is to keep a policy from being tried.
fn apply(fixture: &PacketFixture<'_>, setting: Setting, policy: &str) -> Result<()> {
    let output = fixture.try_apply(setting, policy, &["--force"])?;
    ensure!(output.status.success(), "{}\n{policy}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Packets that come in by one interface, and what becomes of them without dockfw.
struct Batch<'a> {
    route: &'a Route,
    packets: Vec<Sent>,
}

impl<'a> Batch<'a> {
    fn observe(fixture: &PacketFixture<'_>, route: &'a Route, mut packets: Vec<Sent>) -> Result<Self> {
        let observer = Observer::install(&fixture.lab.host, &route.interface)?;
        let survived = send(fixture, route, &packets)?;
        let mut observed = observer.seen()?;
        for sent in &mut packets {
            sent.observed =
                observed.remove(&sent.packet.token).filter(|_| survived.contains(&sent.packet.token));
        }
        Ok(Self { route, packets })
    }

    /// Sends all packets, and tells about each that came out otherwise than explained.
    fn disagreements(
        &self,
        fixture: &PacketFixture<'_>,
        setting: Setting,
        ruleset: &Ruleset,
        tally: &mut Tally,
    ) -> Result<Vec<String>> {
        let survived = send(fixture, self.route, &self.packets)?;
        let mut wrong = Vec::new();
        for sent in &self.packets {
            let Some(packet) = self.route.explainable(sent, setting.engine) else { continue };
            let decisions = explain_path(ruleset, &packet);
            let passes = decisions.last().is_none_or(|decision| decision.verdict == Verdict::Pass);
            *if passes { &mut tally.passed } else { &mut tally.dropped } += 1;
            if passes != survived.contains(&sent.packet.token) {
                let decisions: Vec<_> = decisions.iter().map(told).collect();
                wrong.push(format!("not so: {}\n  {packet:?}\n  {sent:?}", decisions.join(", ")));
            }
        }
        Ok(wrong)
    }
}

/// A decision in a line.
fn told(decision: &Decision<'_>) -> String {
    let by = decision.by.map(|by| format!(" by rule {}, {}", by.index, by.rule.origin.what));
    format!("{:?} at {:?}{}", decision.verdict, decision.hook, by.unwrap_or_default())
}

/// Sends packets to a host that knows of no connections but those that are to be live, and gives the tokens of those
/// that got through all filters.
fn send(fixture: &PacketFixture<'_>, route: &Route, packets: &[Sent]) -> Result<BTreeSet<u16>> {
    packets::make_live(&fixture.lab.host, packets)?;
    let witness = Witness::install(&fixture.lab.host, &route.interface)?;
    packets.iter().try_for_each(|sent| route.sender.send(&sent.packet))?;
    let survived = witness.survivors_of(packets.len())?;
    Ok(survived.into_iter().map(|survivor| survivor.token).collect())
}
