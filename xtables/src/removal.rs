//! What removes everything of the engine from the tables of one family. Pure code.

use dockfw_policy::address::Family;

use crate::jumps::{deletions, foreign_ways_in};
use crate::names::{DOCKER_USER, is_own_chain, stand_in_for_docker};
use crate::ownership::own_chains;
use crate::restore::Restore;
use crate::saved::{Rule, Table, TableName, Tables};

/// Returns what removes everything of the engine from the tables of one family; nothing if nothing is there.
pub fn removal(family: Family, tables: &Tables) -> Option<Restore> {
    let lines: Vec<_> = TableName::ALL.iter().flat_map(|name| removal_from(*name, tables)).collect();
    (!lines.is_empty()).then(|| Restore::plain(family, lines))
}

fn removal_from(name: TableName, tables: &Tables) -> Vec<String> {
    let table = tables.table(name);
    let own = own_chains(&table);
    let mut found = foreign_ways_in(&table, |name| own.iter().any(|chain| *chain == name));
    found.extend(own.iter().map(|chain| format!("-F {chain}")));
    found.extend(own.iter().map(|chain| format!("-X {chain}")));
    if name == TableName::Filter {
        found.extend(removal_of_stand_in(&table));
    }
    if found.is_empty() {
        return found;
    }
    let around = [format!("*{}", name.as_str())].into_iter().chain(found);
    around.chain(["COMMIT".to_owned()]).collect()
}

/// Returns the removal of the jump that stood in for Docker's, and of Docker's chain if nobody else has anything in it
/// or leads to it.
fn removal_of_stand_in(table: &Table) -> Vec<String> {
    let mut lines = deletions(table, "FORWARD", &stand_in_for_docker());
    let is_unused = table.rules(DOCKER_USER).iter().all(is_own_jump);
    let ways_in = foreign_ways_in(table, |name| name == DOCKER_USER).len();
    if !lines.is_empty() && is_unused && ways_in == lines.len() {
        lines.push(format!("-X {DOCKER_USER}"));
    }
    lines
}

fn is_own_jump(rule: &Rule) -> bool {
    matches!(rule.words.as_slice(), [jump, to] if jump == "-j" && is_own_chain(to))
}
