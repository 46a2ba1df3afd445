//! What an apply means in words: who gains and who loses which port.

use anyhow::Context;
use dockfw_policy::engine::{Engine, EngineName};
use dockfw_policy::ruleset::Ruleset;

use super::facts::{Gathered, gather};
use super::last::Last;
use crate::engines::{self, compile_for, goes_by_names_alone};
use crate::exposure::{Change, Exposed, Facts, Rules, Side, Turn, changes, exposed, exposed_unfiltered};
use crate::message::Message;
use crate::output::note;

/// The rules that decide before an apply.
enum Before {
    /// None of dockfw's.
    Nothing,
    /// Those of a recorded policy.
    Recorded(EngineName, Ruleset),
    /// They are unknown, for this reason.
    Unknown(String),
}

/// Returns who gains and who loses a port if these rules are put in force, as lines. `verify`: as [`engines::all`] has it.
pub(super) fn lines(engine: EngineName, ruleset: &Ruleset, verify: bool) -> anyhow::Result<Vec<String>> {
    let Gathered { facts, unknown } = gather().context("can't read the host's interfaces")?;
    unknown.iter().for_each(|what| note(format_args!("unknown: {what}")));
    let after = under(engine, ruleset, &facts);
    let after = Side { ruleset, exposed: &after };
    Ok(match before(verify) {
        Before::Nothing => {
            let none = Ruleset { addresses: vec![], interfaces: vec![], hooks: vec![] };
            let (before, _) = exposed_unfiltered(&facts);
            text(&changes(&Side { ruleset: &none, exposed: &before }, &after))
        }
        Before::Recorded(engine, old) => {
            let before = under(engine, &old, &facts);
            text(&changes(&Side { ruleset: &old, exposed: &before }, &after))
        }
        Before::Unknown(why) => {
            note(
                Message::new(format!("unknown who gains and who loses a port: {why}"))
                    .help("to see the rules and sets that differ: dockfw diff -v"),
            );
            Vec::new()
        }
    })
}

fn under(engine: EngineName, ruleset: &Ruleset, facts: &Facts) -> Vec<Exposed> {
    exposed(Rules { ruleset, by_name_alone: goes_by_names_alone(engine) }, facts).0
}

/// Returns what is in force, by the records; the kernel's rules must be those.
fn before(verify: bool) -> Before {
    for engine in engines::all(verify) {
        match engines::has_rules(engine.as_ref()) {
            Ok(true) => {
                return recorded(engine.as_ref()).map_or_else(
                    |why| Before::Unknown(format!("{why:#}")),
                    |old| Before::Recorded(engine.name(), old),
                );
            }
            Ok(false) => {}
            Err(error) => return Before::Unknown(engines::untold(engine.as_ref(), &error)),
        }
    }
    Before::Nothing
}

fn recorded(engine: &dyn Engine) -> anyhow::Result<Ruleset> {
    let last = Last::of_host()?.context("the policy in force is not recorded")?;
    let ruleset = compile_for(engine.name(), &last.policy);
    let is_unchanged = engine.read(Some(&ruleset))?.is_in_force();
    is_unchanged.then_some(ruleset).context("another program changed the rules in force")
}

fn text(changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        return vec!["nobody gains or loses a port".into()];
    }
    let lines = changes.iter().map(|change| {
        let sign = if change.turn == Turn::Gains { '+' } else { '-' };
        format!("  {sign} {}: {}", change.who, change.ports.join(", "))
    });
    std::iter::once("who gains (+) and who loses (-) a port, as far as dockfw decides:".to_owned())
        .chain(lines)
        .collect()
}
