//! What the figures must be, and whether they are.

use std::fmt::Write;

use dockfw_lab::Engine;

use crate::connections::{NEW_CONTAINER, NEW_HOST};
use crate::effort::Effort;
use crate::firewall::{LIMIT, ROLE};
use crate::floods::{
    FEW, Flood, SYN_HOST, SYN_HOST_MANY, SYN_OPEN, SYN_PUBLISHED, SYN_PUBLISHED_MANY, UDP_CLOSED,
    UDP_PUBLISHED,
};
use crate::grid::Grid;
use crate::live::{CHANGES, FULL_LOAD, NO_OP, SMALL_NO_OP};
use crate::load::{GROWTH, IPSET, MEMORY, NETWORKS, NFT, WALL, group_row, list_row, rules_row};
use crate::policy::Spread;
use crate::rates::{FEW_RULES, FLOODS_TITLE, rules_title, with_few_rules};
use crate::statistics::number;

/// On which side of a limit a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure, if it was measured, and its limit.
#[derive(Clone, Debug, PartialEq)]
struct Limit {
    figure: String,
    value: Option<f64>,
    bound: Bound,
}

impl Limit {
    fn holds(&self) -> bool {
        self.value.is_some_and(|value| match self.bound {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        })
    }

    fn row(&self) -> String {
        let (word, limit) = match self.bound {
            Bound::AtLeast(least) => ("at least", least),
            Bound::AtMost(most) => ("at most", most),
        };
        let (value, holds) = match self.value {
            None => ("not measured".to_owned(), "-"),
            Some(value) => (number(value), if self.holds() { "yes" } else { "**no**" }),
        };
        format!("| {} | {value} | {word} {} | {holds} |", self.figure, number(limit))
    }
}

/// All that was measured, by the headings.
struct Measured<'a>(&'a [Grid]);

impl Measured<'_> {
    fn has(&self, title: &str) -> bool {
        self.0.iter().any(|grid| grid.title == title)
    }

    fn median(&self, title: &str, row: &str, column: &str) -> Option<f64> {
        self.0.iter().find(|grid| grid.title == title)?.median(row, column)
    }
}

/// The limits of the tables that there are, as a table of Markdown.
pub(crate) fn markdown(grids: &[Grid], effort: &Effort) -> String {
    let measured = Measured(grids);
    let mut limits = Vec::new();
    if measured.has(FLOODS_TITLE) {
        limits.extend(floods(&measured));
    }
    if measured.has(rules_title(Engine::Native, Spread::Ports)) {
        limits.extend(rules(&measured));
    }
    if measured.has(WALL) {
        limits.extend(loads(&measured, effort));
    }
    if measured.has(CHANGES) {
        limits.extend(changes(&measured));
    }
    let mut text = "| figure | measured | limit | holds |\n|---|---|---|---|\n".to_owned();
    for limit in limits {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}", limit.row());
    }
    text
}

fn limit(figure: String, value: Option<f64>, bound: Bound) -> Limit {
    Limit { figure, value, bound }
}

/// Floods against the old role's, and against what the ingress hook drops.
fn floods(measured: &Measured<'_>) -> Vec<Limit> {
    let against = |flood: Flood, column: &str, peer: &str, bound| {
        let median = |column| measured.median(FLOODS_TITLE, flood.name, column);
        let value = median(column).zip(median(peer)).map(|(own, peer)| own / peer);
        limit(format!("{}: {column}, times {peer}", flood.name), value, bound)
    };
    let both = |engine: Engine| [engine.to_string(), with_few_rules(&engine.to_string())];
    let mut limits = Vec::new();
    for flood in [SYN_PUBLISHED, SYN_HOST, SYN_PUBLISHED_MANY, SYN_HOST_MANY] {
        for column in both(Engine::Native) {
            limits.push(against(flood, &column, ROLE, Bound::AtLeast(2.0)));
            limits.push(against(flood, &column, LIMIT, Bound::AtLeast(0.75)));
        }
        limits.extend(both(Engine::Compat).map(|column| against(flood, &column, ROLE, Bound::AtLeast(1.0))));
    }
    for flood in [UDP_PUBLISHED, UDP_CLOSED] {
        limits.extend(both(Engine::Native).map(|column| against(flood, &column, ROLE, Bound::AtLeast(1.6))));
        limits.extend(both(Engine::Compat).map(|column| against(flood, &column, ROLE, Bound::AtLeast(1.0))));
    }
    for column in Engine::BOTH.into_iter().flat_map(both) {
        limits.push(against(SYN_OPEN, &column, ROLE, Bound::AtLeast(0.95)));
    }
    limits
}

/// What a packet costs with many rules against what it costs with few: the rates the other way round.
fn rules(measured: &Measured<'_>) -> Vec<Limit> {
    let rows: Vec<_> = FEW.iter().map(|flood| flood.name).chain([NEW_HOST, NEW_CONTAINER]).collect();
    let limits = [(Engine::Native, 1.1), (Engine::Compat, 1.5)].into_iter().flat_map(|(engine, most)| {
        [Spread::Ports, Spread::Sources].map(|spread| (rules_title(engine, spread), most))
    });
    let of = |(title, most): (&str, f64)| {
        let limit = |row: &&str| {
            let rate = |column| measured.median(title, row, column);
            let value = rate(FEW_RULES).zip(rate("1,000 rules")).map(|(few, many)| few / many);
            limit(
                format!("{row}: the cost with 1,000 rules, times that with 10 ({title})"),
                value,
                Bound::AtMost(most),
            )
        };
        rows.iter().map(limit).collect::<Vec<_>>()
    };
    limits.flat_map(of).collect()
}

/// Loading against nft and ipset, and how it grows.
fn loads(measured: &Measured<'_>, effort: &Effort) -> Vec<Limit> {
    let mut limits = Vec::new();
    for engine in Engine::BOTH.map(|engine| engine.to_string()) {
        let ratio = |title, [own, peer]: [(&str, &str); 2]| {
            let median = |(row, column)| measured.median(title, row, column);
            median(own).zip(median(peer)).map(|(own, peer)| own / peer)
        };
        let mut add =
            |figure: String, value, bound| limits.push(limit(format!("{engine}: {figure}"), value, bound));
        for length in [65_536, 1_000_000] {
            let row = list_row(length, NETWORKS);
            let beside = |title, peer| ratio(title, [(&row, &engine), (&row, peer)]);
            add(format!("{row}, times {NFT}"), beside(WALL, NFT), Bound::AtMost(0.3));
            add(format!("{row}, times {IPSET}"), beside(WALL, IPSET), Bound::AtMost(1.0));
            add(format!("{row}, memory, times {NFT}"), beside(MEMORY, NFT), Bound::AtMost(0.5));
        }
        let [large, small] = [1_000_000, GROWTH].map(|length| list_row(length, NETWORKS));
        let growth = ratio(WALL, [(&large, &engine), (&small, &engine)]);
        add(format!("{large}, times {small}"), growth, Bound::AtMost(12.0));
        let [many, one] = [20, 1].map(|rules| group_row(effort.group, rules));
        for (title, what) in [(WALL, "time"), (MEMORY, "memory")] {
            let value = ratio(title, [(&many, &engine), (&one, &engine)]);
            add(format!("{many}, {what}, times by one"), value, Bound::AtMost(1.2));
        }
        let row = rules_row(5000);
        add(format!("{row}, milliseconds"), measured.median(WALL, &row, &engine), Bound::AtMost(2000.0));
    }
    limits
}

/// Applies that have nothing to do.
fn changes(measured: &Measured<'_>) -> Vec<Limit> {
    let of = |engine: String| {
        let median = |row| measured.median(CHANGES, row, &engine);
        let share = median(NO_OP).zip(median(FULL_LOAD)).map(|(none, all)| none / all);
        [
            limit(format!("{engine}: {SMALL_NO_OP}, milliseconds"), median(SMALL_NO_OP), Bound::AtMost(10.0)),
            limit(format!("{engine}: {NO_OP}, times {FULL_LOAD}"), share, Bound::AtMost(0.2)),
        ]
    };
    Engine::BOTH.into_iter().flat_map(|engine| of(engine.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_at_its_limit_holds() {
        let limit = |value, bound| Limit { figure: "a".into(), value, bound };
        assert!(
            limit(Some(2.0), Bound::AtLeast(2.0)).holds() && limit(Some(2.0), Bound::AtMost(2.0)).holds()
        );
        assert!(
            !limit(Some(1.9), Bound::AtLeast(2.0)).holds() && !limit(Some(2.1), Bound::AtMost(2.0)).holds()
        );
        assert!(!limit(None, Bound::AtMost(2.0)).holds(), "nothing says that it does");
    }

    #[test]
    fn limits_are_those_of_the_tables_that_there_are() {
        let mut grid = Grid::new(FLOODS_TITLE, "", &[]);
        grid.add(SYN_PUBLISHED.name, "native", 900.0);
        grid.add(SYN_PUBLISHED.name, ROLE, 500.0);
        let text = markdown(&[grid], &Effort::QUICK);
        let rows: Vec<_> = text.lines().skip(2).take(2).collect();
        assert_eq!(
            rows,
            [
                "| SYN, published port: native, times old role | 1.80 | at least 2.00 | **no** |",
                "| SYN, published port: native, times ingress limit | not measured | at least 0.750 | - |",
            ]
        );
        assert!(!text.contains(NFT), "{text}");
    }

    #[test]
    fn cost_is_the_rate_the_other_way_round() {
        let mut grid = Grid::new(rules_title(Engine::Native, Spread::Ports), "", &[]);
        grid.add(NEW_HOST, FEW_RULES, 20.0);
        grid.add(NEW_HOST, "1,000 rules", 10.0);
        let grids = [grid];
        let limits = rules(&Measured(&grids));
        assert_eq!(limits.iter().find_map(|limit| limit.value), Some(2.0));
    }
}
