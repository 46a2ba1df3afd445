//! What an apply means in words: who gains and who loses which port.

use anyhow::Context;
use dockfw_policy::engine::EngineName;
use dockfw_policy::ruleset::Ruleset;

use super::before::{Before, before, no_rules};
use super::facts::{Gathered, gather};
use crate::engines::goes_by_names_alone;
use crate::exposure::{Change, Exposed, Facts, Rules, Side, Turn, changes, exposed};
use crate::message::Message;
use crate::output::note;

/// Returns who gains and who loses a port if these rules are put in force, as lines. `verify`: as [`all`](crate::engines::all()) has it.
pub(super) fn lines(engine: EngineName, ruleset: &Ruleset, verify: bool) -> anyhow::Result<Vec<String>> {
    let Gathered { facts, unknown, .. } = gather().context("can't read the host's interfaces")?;
    unknown.iter().for_each(|what| note(format_args!("unknown: {what}")));
    let after = under(engine, ruleset, &facts);
    let after = Side { ruleset, exposed: &after };
    Ok(match before(verify) {
        Before::Nothing => {
            // Docker's bridges are those of the new rules: what comes from there is of containers before and after.
            let none = Ruleset { interfaces: ruleset.interfaces.clone(), ..no_rules() };
            let before = under(engine, &none, &facts);
            text(&changes(&Side { ruleset: &none, exposed: &before }, &after))
        }
        Before::Recorded { engine, ruleset: old, .. } => {
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
