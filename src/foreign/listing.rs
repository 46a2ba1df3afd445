//! Tables as `iptables-save` writes them.

use dockfw_policy::address::Family;

use super::{Chain, Hook, Hooked, Rule, Table, iptables};

/// The chains that the kernel itself has, by their tables, with their hooks and priorities (`enum
/// nf_ip_hook_priorities`, linux/netfilter_ipv4.h).
const BUILT_IN: [(&str, &str, Hook, i32); 10] = [
    ("raw", "PREROUTING", Hook::Prerouting, -300),
    ("mangle", "PREROUTING", Hook::Prerouting, -150),
    ("nat", "PREROUTING", Hook::Prerouting, -100),
    ("mangle", "INPUT", Hook::Input, -150),
    ("filter", "INPUT", Hook::Input, 0),
    ("security", "INPUT", Hook::Input, 50),
    ("mangle", "FORWARD", Hook::Forward, -150),
    ("filter", "FORWARD", Hook::Forward, 0),
    ("security", "FORWARD", Hook::Forward, 50),
    ("mangle", "POSTROUTING", Hook::Postrouting, -150),
];
/// The prefix of dockfw's own chains, in table mangle and elsewhere.
const OWN: &str = "DOCKFW-";
/// dockfw's chain without that prefix.
const FILTERS: &str = "FILTERS";

/// Returns the tables in the listing of a program like `iptables-save`, of one family. `variant`: what people call the
/// program's rules, as in `iptables-legacy`. dockfw's own chains are left out.
pub(crate) fn tables(text: &str, family: Family, variant: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table {
                name: format!("table {name} of {variant}"),
                of_iptables: Some(name.to_owned()),
                family: Some(family),
                ..Table::default()
            });
        } else if let Some(table) = tables.last_mut() {
            add(table, line);
        }
    }
    tables.iter_mut().for_each(leave_out_own);
    tables
}

fn add(table: &mut Table, line: &str) {
    let name = table.of_iptables.as_deref().unwrap_or_default();
    if let Some((chain, policy)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
        let drops = policy.starts_with("DROP");
        table.chains.entry(chain.into()).or_default().hooked = hooked(name, chain, drops);
    } else if let Some((chain, rule)) = iptables::Rule::parse(line) {
        table.chains.entry(chain).or_default().rules.push(Rule::Iptables(rule));
    }
}

fn hooked(table: &str, chain: &str, drops: bool) -> Option<Hooked> {
    let (.., hook, priority) = BUILT_IN.into_iter().find(|(of, name, ..)| (*of, *name) == (table, chain))?;
    Some(Hooked { hook, priority, translates: table == "nat", drops })
}

/// Leaves out dockfw's own rules, which are walked elsewhere.
fn leave_out_own(table: &mut Table) {
    let has_own = table.chains.keys().any(|name| is_own(name));
    for Chain { rules, .. } in table.chains.values_mut() {
        rules.retain(|rule| !matches!(rule, Rule::Iptables(rule) if rule.chain().is_some_and(|name| is_own(name) || has_own && name == FILTERS)));
    }
    table.chains.retain(|name, _| !is_own(name));
}

fn is_own(chain: &str) -> bool {
    chain.starts_with(OWN)
}
