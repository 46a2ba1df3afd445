//! What packets cost, one contender after the other.

use anyhow::{Context, Result};
use dockfw_lab::Engine;

use crate::connections::{self, MEASURES, Measure, NEW};
use crate::effort::{Effort, in_turn};
use crate::field::Field;
use crate::firewall::{Firewall, LIMIT, NOTHING, Programs, ROLE};
use crate::floods::{FEW, FLOODS, Flood, Sender};
use crate::grid::Grid;
use crate::policy::{Size, Spread};
use crate::say;
use crate::statistics::count;

/// How large policies are if size is not what is measured.
const USUAL: Size = Size { trusted: 1000, rules: 0, spread: Spread::Ports };
const RATE: &str = "Thousands a second on one processor";

pub(crate) const FLOODS_TITLE: &str = "Floods of untrusted sources";
pub(crate) const TRUSTED_TITLE: &str = "Trusted connections";
/// The column that policies of other sizes are compared with.
pub(crate) const FEW_RULES: &str = "10 rules";
const FEW_ADDRESSES: &str = "1,000 networks";

/// Who is in force, with a policy of which size, and where the rates go.
struct Turn {
    grid: usize,
    column: String,
    firewall: Firewall,
    size: Size,
}

/// One rate.
#[derive(Clone, Copy)]
enum Cell {
    Flood(Flood),
    Trusted(Measure),
}

/// With what rates are measured.
pub(crate) struct Rates<'a> {
    pub(crate) field: &'a Field<'a>,
    pub(crate) programs: &'a Programs,
    pub(crate) sender: &'a Sender,
    pub(crate) effort: Effort,
}

impl Rates<'_> {
    /// Floods and connections with policies of a usual size.
    pub(crate) fn packets(&self) -> Result<Vec<Grid>> {
        let mut grids = vec![
            Grid::new(FLOODS_TITLE, RATE, &[ROLE, LIMIT]),
            Grid::new(TRUSTED_TITLE, RATE, &[NOTHING, ROLE]),
        ];
        self.take_turns(&self.usual(0), &FLOODS.map(Cell::Flood), &mut grids)?;
        self.take_turns(&self.usual(1), &MEASURES.map(Cell::Trusted), &mut grids)?;
        Ok(grids)
    }

    fn usual(&self, grid: usize) -> Vec<Turn> {
        let turn = |column: &str, firewall: &Firewall, rules| Turn {
            grid,
            column: column.to_owned(),
            firewall: firewall.clone(),
            size: Size { rules, ..USUAL },
        };
        let mut turns = vec![turn(NOTHING, &Firewall::Nothing, 0), turn(ROLE, &Firewall::Role, 0)];
        if grid == 0 {
            turns.insert(0, turn(LIMIT, &Firewall::Limit, 0));
        }
        for dockfw in self.programs.engines() {
            let firewall = Firewall::Dockfw(dockfw.clone());
            turns.push(turn(&dockfw.name, &firewall, 0));
            turns.push(turn(&with_few_rules(&dockfw.name), &firewall, 10));
        }
        turns
    }

    /// The same with more and more rules, and with more and more addresses.
    pub(crate) fn scale(&self) -> Result<Vec<Grid>> {
        let (mut grids, mut turns) = (Vec::new(), Vec::new());
        for dockfw in self.programs.own() {
            let (engine, firewall) = (dockfw.engine, Firewall::Dockfw(dockfw));
            for spread in [Spread::Ports, Spread::Sources] {
                grids.push(Grid::new(rules_title(engine, spread), RATE, &[FEW_RULES]));
                turns.extend(self.more_rules(grids.len() - 1, &firewall, spread));
            }
            grids.push(Grid::new(addresses_title(engine), RATE, &[FEW_ADDRESSES]));
            turns.extend(self.more_addresses(grids.len() - 1, &firewall));
        }
        grids.push(Grid::new("More and more trusted networks, old role", RATE, &[FEW_ADDRESSES]));
        turns.extend(self.more_addresses(grids.len() - 1, &Firewall::Role));
        let cells: Vec<_> = FEW.map(Cell::Flood).into_iter().chain(NEW.map(Cell::Trusted)).collect();
        self.take_turns(&turns, &cells, &mut grids)?;
        Ok(grids)
    }

    fn more_rules(&self, grid: usize, firewall: &Firewall, spread: Spread) -> impl Iterator<Item = Turn> {
        let turn = move |rules: &u32| {
            let size = Size { rules: *rules, spread, ..USUAL };
            let column = format!("{} rules", count(*rules));
            Turn { grid, column, firewall: firewall.clone(), size }
        };
        self.effort.rules.iter().map(turn)
    }

    fn more_addresses(&self, grid: usize, firewall: &Firewall) -> impl Iterator<Item = Turn> {
        let turn = move |trusted: &u32| {
            let size = Size { trusted: *trusted, ..USUAL };
            let column = format!("{} networks", count(*trusted));
            Turn { grid, column, firewall: firewall.clone(), size }
        };
        self.effort.addresses.iter().map(turn)
    }

    /// Everyone's turn, again and again.
    fn take_turns(&self, turns: &[Turn], cells: &[Cell], grids: &mut [Grid]) -> Result<()> {
        for round in 0..self.effort.rounds {
            for turn in in_turn(turns, round) {
                say(&format!("round {}: {}", round + 1, turn.column));
                self.take(turn, cells, grids.get_mut(turn.grid).context("no such grid")?)?;
            }
        }
        Ok(())
    }

    fn take(&self, turn: &Turn, cells: &[Cell], grid: &mut Grid) -> Result<()> {
        turn.firewall.enter(self.field, turn.size)?;
        for cell in cells {
            let (row, rate) = match cell {
                Cell::Flood(flood) => (flood.name, self.sender.rate(self.field, &turn.firewall, *flood)?),
                Cell::Trusted(one) => (one.name, connections::rate(self.field, *one, self.effort.period)?),
            };
            grid.add(row, &turn.column, rate);
        }
        turn.firewall.leave(self.field)
    }
}

/// The name of the column of an engine with a few rules.
pub(crate) fn with_few_rules(name: &str) -> String {
    format!("{name}, {FEW_RULES}")
}

/// The heading of the rates with more and more rules.
pub(crate) fn rules_title(engine: Engine, spread: Spread) -> &'static str {
    match (engine, spread) {
        (Engine::Native, Spread::Ports) => "More and more rules, each for a port of its own, native",
        (Engine::Native, Spread::Sources) => {
            "More and more rules for the same ports, each for a source of its own, native"
        }
        (Engine::Compat, Spread::Ports) => "More and more rules, each for a port of its own, compat",
        (Engine::Compat, Spread::Sources) => {
            "More and more rules for the same ports, each for a source of its own, compat"
        }
    }
}

fn addresses_title(engine: Engine) -> &'static str {
    match engine {
        Engine::Native => "More and more trusted networks, native",
        Engine::Compat => "More and more trusted networks, compat",
    }
}
