//! What changes cost on a host in use: with large sets in place, and with many ports and rules.

use std::time::Instant;

use anyhow::{Context, Result};
use dockfw_lab::Engine;

use crate::cost::{Step, apart};
use crate::effort::{Effort, in_turn};
use crate::field::Field;
use crate::files::Files;
use crate::firewall::{Dockfw, Firewall, POLICY, Programs};
use crate::grid::Grid;
use crate::load::{IPSET, Loads, NFT};
use crate::policy::{Size, Spread, TRUSTED, ipset};
use crate::say;
use crate::statistics::count;

pub(crate) const CHANGES: &str = "Changes with large sets in place";
pub(crate) const FULL_LOAD: &str = "full load";
pub(crate) const NO_OP: &str = "nothing changed";
pub(crate) const SMALL_NO_OP: &str = "nothing changed, small policy";

/// The same policy three times, the second with one address more, the third with one rule changed.
struct Versions {
    first: Files,
    address: Files,
    rule: Files,
}

impl Loads<'_> {
    /// One change after the other.
    pub(crate) fn changes(&self) -> Result<Grid> {
        let trusted = self.effort.in_place;
        say(&format!("changes with {} networks in place", count(trusted)));
        let (small, large) = (self.versions("small", 20)?, self.versions("large", trusted)?);
        let mut grid = Grid::new(CHANGES, "Milliseconds", &[NFT, IPSET]);
        let mut contenders: Vec<(String, Vec<Vec<String>>)> =
            vec![(NFT.to_owned(), self.by_nft(&large)?), (IPSET.to_owned(), by_ipset(&large, trusted)?)];
        let engines = self.programs.engines();
        contenders.extend(engines.iter().map(|dockfw| (dockfw.name.clone(), large.applies(dockfw))));
        let engines: Vec<_> =
            engines.iter().map(|dockfw| (dockfw.name.clone(), small.applies(dockfw))).collect();
        for round in 0..self.effort.loads(trusted) {
            for (column, commands) in in_turn(&contenders, round) {
                self.change(
                    &mut grid,
                    column,
                    &[FULL_LOAD, NO_OP, "one address more", "one rule changed"],
                    commands,
                )?;
            }
        }
        for round in 0..self.effort.loads(0) {
            for (column, commands) in in_turn(&engines, round) {
                let commands = commands.get(..2).unwrap_or_default();
                self.change(&mut grid, column, &["full load, small policy", SMALL_NO_OP], commands)?;
            }
        }
        Ok(grid)
    }

    fn change(&self, grid: &mut Grid, column: &str, rows: &[&str], commands: &[Vec<String>]) -> Result<()> {
        let steps: Vec<_> =
            commands.iter().map(|command| Step { command: command.clone(), is_measured: true }).collect();
        for (row, cost) in rows.iter().zip(apart(&self.path, &steps)?) {
            grid.add(row, column, cost.wall);
        }
        Ok(())
    }

    fn versions(&self, name: &str, trusted: u32) -> Result<Versions> {
        let size = Size { trusted, rules: 10, spread: Spread::Ports };
        let entries = size.trusted();
        let more = [entries.clone(), vec![MORE.to_owned()]].concat();
        let write = |version: &str, policy: &str, entries: &[String]| {
            Files::write(self.directory.join(format!("{name}-{version}")), policy, &[("trusted", entries)])
        };
        let policy = size.policy();
        Ok(Versions {
            first: write("first", &policy, &entries)?,
            address: write("address", &policy, &more)?,
            rule: write("rule", &policy.replace("10009/tcp", "20009/tcp"), &more)?,
        })
    }

    fn by_nft(&self, versions: &Versions) -> Result<Vec<Vec<String>>> {
        let Versions { first, address, rule } = versions;
        [first, first, address, rule].into_iter().map(|files| files.nft(&self.programs.dockfw)).collect()
    }
}

/// Not trusted before.
const MORE: &str = "203.0.113.9";

/// A list has no rules that could change.
fn by_ipset(versions: &Versions, trusted: u32) -> Result<Vec<Vec<String>>> {
    let size = Size { trusted, rules: 0, spread: Spread::Ports };
    let all = versions.first.ipset("ipset", &ipset("trusted", &size.trusted(), "inet"))?;
    let one = versions.first.ipset("one", &format!("add trusted {MORE}\n"))?;
    Ok(vec![all.clone(), all, one])
}

impl Versions {
    fn applies(&self, dockfw: &Dockfw) -> Vec<Vec<String>> {
        [&self.first, &self.first, &self.address, &self.rule].map(|files| files.apply(dockfw)).into()
    }
}

/// How long the verbs take that only look, with many ports and rules, beside what lists the rules of the same engine.
pub(crate) fn verbs(field: &Field<'_>, programs: &Programs, effort: Effort) -> Result<Vec<Grid>> {
    let last = FIRST + effort.ports - 1;
    say(&format!("verbs, with {} published ports", effort.ports));
    let _many =
        field.docker.container("many").publish(&format!("{FIRST}-{last}:{FIRST}-{last}/tcp")).start()?;
    let size = Size { trusted: 1000, rules: 1000, spread: Spread::Ports };
    programs
        .own()
        .into_iter()
        .map(|dockfw| {
            let firewall = Firewall::Dockfw(dockfw.clone());
            firewall.enter(field, size)?;
            let grid = looks(field, &dockfw, effort.rounds)?;
            firewall.leave(field)?;
            Ok(grid)
        })
        .collect()
}

/// The first of the ports of a container with many.
const FIRST: u16 = 30_000;

fn looks(field: &Field<'_>, dockfw: &Dockfw, rounds: usize) -> Result<Grid> {
    let engine = dockfw.engine;
    let lister: &[&str] = match engine {
        Engine::Native => &["nft", "list", "ruleset"],
        Engine::Compat => &["iptables-save"],
    };
    let peer = lister.join(" ");
    let mut grid = Grid::new(verbs_title(engine), "Milliseconds", &[&peer]);
    let port = format!("{FIRST}/tcp");
    let from = TRUSTED.to_string();
    let verbs: [&[&str]; 3] = [&["status"], &["diff"], &["explain", "--from", &from, "--port", &port]];
    for _ in 0..rounds {
        for verb in verbs {
            let row = verb.first().copied().unwrap_or_default();
            let own = dockfw.program.to_string_lossy();
            let command = [&[&*own, "--config", POLICY], verb].concat();
            grid.add(row, &engine.to_string(), time(field, &command)?);
            grid.add(row, &peer, time(field, lister)?);
        }
    }
    Ok(grid)
}

/// The heading of what an engine's verbs take.
pub(crate) fn verbs_title(engine: Engine) -> &'static str {
    match engine {
        Engine::Native => "Verbs on a host with many ports and 1,000 rules, native",
        Engine::Compat => "Verbs on a host with many ports and 1,000 rules, compat",
    }
}

/// Milliseconds.
fn time(field: &Field<'_>, words: &[&str]) -> Result<f64> {
    let (program, arguments) = words.split_first().context("no command")?;
    let start = Instant::now();
    dockfw_lab::run(field.lab.command(program).args(arguments))?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}
