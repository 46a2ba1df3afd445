//! What has to be done so that the table in the kernel becomes the one that is wanted. Pure code.
//!
//! Whatever differs, all rules are flushed and added again: sets and counters can then be deleted and added in any
//! way, and the same few lines serve every case. Sets and counters that did not change stay, counters with their
//! values. A table that is odd in itself (dormant, owned by a process) is deleted with everything in it.

use std::fmt;

use dockfw_policy::nft::TABLE;
use nix::libc;

use super::attributes::same_expressions;
use super::dump::{self, Live, Name};
use super::uapi::{self, object};
use super::userdata::{rule_comment, set_loaded};
use super::wanted::{self, Wanted};

/// What differs, and what is to be done about it. Both are empty where all is as wanted.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) differences: Vec<Difference>,
    pub(crate) operations: Vec<Operation<'a>>,
}

/// One difference between what is in the kernel and what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    kind: DifferenceKind,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DifferenceKind {
    Missing,
    Foreign,
    Changed,
}

impl Difference {
    fn new(kind: DifferenceKind, what: String) -> Self {
        Self { kind, what }
    }

    /// The difference as a line on what is to be done, or was done, about it.
    pub(crate) fn as_change(&self) -> String {
        let verb = match self.kind {
            DifferenceKind::Missing => "add",
            DifferenceKind::Foreign => "remove",
            DifferenceKind::Changed => "replace",
        };
        format!("{verb} {}", self.what)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DifferenceKind::Missing => write!(f, "{} is missing", self.what),
            DifferenceKind::Foreign => write!(f, "{} is not of this policy", self.what),
            DifferenceKind::Changed => write!(f, "{} differs", self.what),
        }
    }
}

/// One step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Adds the table; one that is there stays as it is.
    AddTable,
    DeleteTable,
    /// Deletes all rules of a chain.
    FlushChain(&'a Name),
    DeleteChain(&'a Name),
    DeleteSet(&'a Name),
    DeleteObject(&'a dump::Object),
    DeleteFlowtable(&'a Name),
    AddCounter(&'a wanted::Counter),
    /// Adds a set with its elements.
    AddSet(&'a wanted::Set),
    AddChain(&'a wanted::Chain),
    /// Adds a rule behind the others of its chain.
    AddRule(&'a wanted::Chain, &'a wanted::Rule),
}

/// Compares, and plans.
pub(crate) fn plan<'a>(live: Option<&'a Live>, wanted: &'a Wanted) -> Plan<'a> {
    let Some(live) = live else {
        let rules = wanted.chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
        let what = format!("table inet {TABLE} ({rules} rules, {} sets)", wanted.sets.len());
        let differences = vec![Difference::new(DifferenceKind::Missing, what)];
        let operations = [Operation::AddTable].into_iter().chain(additions(None, wanted)).collect();
        return Plan { differences, operations };
    };
    if live.table != dump::Table::default() {
        let what = format!("table inet {TABLE}, whose flags or comment");
        let differences = vec![Difference::new(DifferenceKind::Changed, what)];
        let table = [Operation::DeleteTable, Operation::AddTable];
        return Plan { differences, operations: table.into_iter().chain(additions(None, wanted)).collect() };
    }
    let differences = differences(live, wanted);
    if differences.is_empty() {
        return Plan::default();
    }
    let operations = deletions(live, wanted).into_iter().chain(additions(Some(live), wanted)).collect();
    Plan { differences, operations }
}

/// Whether the elements of a set in the kernel are worth reading: it is otherwise the one that is wanted.
pub(crate) fn is_worth_reading(live: &dump::Set, wanted: &Wanted, max_entries: u64) -> bool {
    let wanted = wanted.sets.iter().find(|set| live.name.is(&set.name));
    wanted.is_some_and(|set| set.loaded.entries <= max_entries && same_definition(live, set))
}

fn same_definition(live: &dump::Set, wanted: &wanted::Set) -> bool {
    !live.more
        && (live.flags, live.size) == (wanted.flags, wanted.size)
        && (live.key_type, live.key_length) == (wanted.key_type, wanted.key_length)
        && live.userdata == wanted.userdata
}

fn same_set(live: &dump::Set, wanted: &wanted::Set) -> bool {
    let same_keys = live.keys.as_ref().is_none_or(|keys| keys.as_ref() == Some(&wanted.keys));
    same_definition(live, wanted) && same_keys
}

/// Whether a chain is hooked in as wanted, whatever its rules.
fn same_base(live: &dump::Chain, wanted: &wanted::Chain) -> bool {
    live.hook == Some((wanted.hook, wanted.priority))
        && !live.more_hook
        && live.kind.is("filter")
        && live.policy == Some(libc::NF_ACCEPT as u32)
        && live.flags & !uapi::chain::FLAG_BASE == 0
        && live.userdata.is_empty()
}

fn same_rule(live: &dump::Rule, wanted: &wanted::Rule) -> bool {
    !live.compat
        && live.userdata == wanted.userdata
        && same_expressions(wanted.expressions(), &live.expressions)
}

fn is_counter(live: &dump::Object, wanted: &wanted::Counter) -> bool {
    live.kind == object::COUNTER && live.name.is(&wanted.name)
}

/// The kernel deletes a set that a rule has for itself with the rule.
fn is_anonymous(set: &dump::Set) -> bool {
    set.flags & uapi::set::FLAG_ANONYMOUS != 0
}

fn is_stale_chain(live: &dump::Chain, wanted: &Wanted) -> bool {
    !wanted.chains.iter().any(|chain| live.name.is(chain.name) && same_base(live, chain))
}

fn is_stale_set(live: &dump::Set, wanted: &Wanted) -> bool {
    !is_anonymous(live) && !wanted.sets.iter().any(|set| live.name.is(&set.name) && same_set(live, set))
}

fn is_stale_object(live: &dump::Object, wanted: &Wanted) -> bool {
    !wanted.counters.iter().any(|counter| is_counter(live, counter))
}

/// Rules go first, for they use all the rest; then sets, for maps use chains and objects.
fn deletions<'a>(live: &'a Live, wanted: &Wanted) -> Vec<Operation<'a>> {
    let flushes = live.chains.iter().map(|chain| Operation::FlushChain(&chain.name));
    let sets = live.sets.iter().filter(|set| is_stale_set(set, wanted));
    let chains = live.chains.iter().filter(|chain| is_stale_chain(chain, wanted));
    let objects = live.objects.iter().filter(|object| is_stale_object(object, wanted));
    flushes
        .chain(sets.map(|set| Operation::DeleteSet(&set.name)))
        .chain(chains.map(|chain| Operation::DeleteChain(&chain.name)))
        .chain(objects.map(Operation::DeleteObject))
        .chain(live.flowtables.iter().map(Operation::DeleteFlowtable))
        .collect()
}

/// Everything that is not there as wanted, and all rules.
fn additions<'a>(live: Option<&Live>, wanted: &'a Wanted) -> Vec<Operation<'a>> {
    let has_counter = |counter: &wanted::Counter| {
        live.is_some_and(|live| live.objects.iter().any(|object| is_counter(object, counter)))
    };
    let has_set = |set: &wanted::Set| {
        live.is_some_and(|live| live.sets.iter().any(|own| own.name.is(&set.name) && same_set(own, set)))
    };
    let has_chain = |chain: &wanted::Chain| {
        live.is_some_and(|live| {
            live.chains.iter().any(|own| own.name.is(chain.name) && same_base(own, chain))
        })
    };
    let rules = wanted.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let counters = wanted.counters.iter().filter(|counter| !has_counter(counter));
    counters
        .map(Operation::AddCounter)
        .chain(wanted.sets.iter().filter(|set| !has_set(set)).map(Operation::AddSet))
        .chain(wanted.chains.iter().filter(|chain| !has_chain(chain)).map(Operation::AddChain))
        .chain(rules.map(|(chain, rule)| Operation::AddRule(chain, rule)))
        .collect()
}

fn differences(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let mut differences = Vec::new();
    compare_counters(live, wanted, &mut differences);
    compare_sets(live, wanted, &mut differences);
    compare_chains(live, wanted, &mut differences);
    let foreign = live.flowtables.iter().map(|name| format!("flowtable {name}"));
    differences.extend(foreign.map(|what| Difference::new(DifferenceKind::Foreign, what)));
    differences
}

fn compare_counters(live: &Live, wanted: &Wanted, differences: &mut Vec<Difference>) {
    let missing = wanted
        .counters
        .iter()
        .filter(|counter| !live.objects.iter().any(|object| is_counter(object, counter)));
    let foreign = live.objects.iter().filter(|object| is_stale_object(object, wanted));
    let missing = missing.map(|counter| (DifferenceKind::Missing, format!("counter {}", counter.name)));
    let foreign = foreign.map(|object| {
        let kind = if object.kind == object::COUNTER { "counter" } else { "object" };
        (DifferenceKind::Foreign, format!("{kind} {}", object.name))
    });
    differences.extend(missing.chain(foreign).map(|(kind, what)| Difference::new(kind, what)));
}

fn compare_sets(live: &Live, wanted: &Wanted, differences: &mut Vec<Difference>) {
    for set in &wanted.sets {
        let difference = match live.sets.iter().find(|own| own.name.is(&set.name)) {
            None => (DifferenceKind::Missing, describe_set(set, None)),
            Some(own) if !same_set(own, set) => (DifferenceKind::Changed, describe_set(set, Some(own))),
            Some(_) => continue,
        };
        differences.push(Difference::new(difference.0, difference.1));
    }
    let is_foreign =
        |own: &&dump::Set| !is_anonymous(own) && !wanted.sets.iter().any(|set| own.name.is(&set.name));
    let foreign = live.sets.iter().filter(is_foreign);
    differences
        .extend(foreign.map(|own| Difference::new(DifferenceKind::Foreign, format!("set {}", own.name))));
}

fn describe_set(set: &wanted::Set, live: Option<&dump::Set>) -> String {
    let entries = set.loaded.entries;
    match live.and_then(|live| set_loaded(&live.userdata)) {
        Some(loaded) if loaded != set.loaded => {
            format!("set {} ({} entries, {entries} wanted)", set.name, loaded.entries)
        }
        _ => format!("set {} ({entries} entries)", set.name),
    }
}

fn compare_chains(live: &Live, wanted: &Wanted, differences: &mut Vec<Difference>) {
    for chain in &wanted.chains {
        let what = format!("chain {}", chain.name);
        match live.chains.iter().find(|own| own.name.is(chain.name)) {
            None => differences.push(Difference::new(DifferenceKind::Missing, what)),
            Some(own) if !same_base(own, chain) => {
                differences.push(Difference::new(DifferenceKind::Changed, what));
            }
            Some(own) => compare_rules(own, chain, differences),
        }
    }
    let is_foreign = |own: &&dump::Chain| !wanted.chains.iter().any(|chain| own.name.is(chain.name));
    let foreign = live.chains.iter().filter(is_foreign);
    differences
        .extend(foreign.map(|own| Difference::new(DifferenceKind::Foreign, format!("chain {}", own.name))));
}

/// Names the rules that are on one side only; where there are none, the order differs.
fn compare_rules(live: &dump::Chain, wanted: &wanted::Chain, differences: &mut Vec<Difference>) {
    let same_at = |(own, rule): (&dump::Rule, &wanted::Rule)| same_rule(own, rule);
    if live.rules.len() == wanted.rules.len() && live.rules.iter().zip(&wanted.rules).all(same_at) {
        return;
    }
    let mut unmatched: Vec<_> = live.rules.iter().collect();
    let mut missing = Vec::new();
    for rule in &wanted.rules {
        match unmatched.iter().position(|own| same_rule(own, rule)) {
            Some(index) => drop(unmatched.remove(index)),
            None => missing.push(rule),
        }
    }
    let chain = wanted.name;
    if missing.is_empty() && unmatched.is_empty() {
        let what = format!("the order of rules in chain {chain}");
        differences.push(Difference::new(DifferenceKind::Changed, what));
    }
    let missing = missing.into_iter().map(|rule| (DifferenceKind::Missing, rule.comment.clone()));
    let foreign = unmatched.into_iter().map(|own| {
        (DifferenceKind::Foreign, rule_comment(&own.userdata).unwrap_or_else(|| "without a comment".into()))
    });
    differences.extend(missing.chain(foreign).map(|(kind, comment)| {
        Difference::new(kind, format!("rule \"{}\" in chain {chain}", comment.escape_debug()))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nftables::elements::Keys;
    use crate::nftables::userdata::Loaded;

    const LOADED: Loaded = Loaded { digest: 7, entries: 2 };

    fn wanted() -> Wanted {
        let set = wanted::Set {
            name: "hosts".into(),
            key_type: 7,
            key_length: 4,
            flags: 0,
            size: 2,
            userdata: vec![1],
            loaded: LOADED,
            keys: Keys::new(4),
            attributes: Vec::new(),
        };
        let chain = wanted::Chain {
            name: "input",
            hook: 1,
            priority: -10,
            rules: Vec::new(),
            attributes: Vec::new(),
        };
        let counter = wanted::Counter { name: "hits".into(), attributes: Vec::new() };
        Wanted { counters: vec![counter], sets: vec![set], chains: vec![chain] }
    }

    fn name(text: &str) -> Name {
        Name(text.into())
    }

    /// What is in the kernel after `wanted` was put in force.
    fn live() -> Live {
        let set = dump::Set {
            name: name("hosts"),
            flags: 0,
            key_type: 7,
            key_length: 4,
            size: 2,
            more: false,
            userdata: vec![1],
            keys: Some(Some(Keys::new(4))),
        };
        let chain = dump::Chain {
            name: name("input"),
            hook: Some((1, -10)),
            more_hook: false,
            kind: name("filter"),
            policy: Some(libc::NF_ACCEPT as u32),
            flags: uapi::chain::FLAG_BASE,
            userdata: Vec::new(),
            rules: Vec::new(),
        };
        let counter = dump::Object { name: name("hits"), kind: object::COUNTER, packets: 9, bytes: 900 };
        Live {
            table: dump::Table::default(),
            chains: vec![chain],
            sets: vec![set],
            objects: vec![counter],
            flowtables: Vec::new(),
        }
    }

    fn steps(live: Option<&Live>) -> Vec<String> {
        plan(live, &wanted()).operations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_is_done_where_all_is_as_wanted() {
        assert_eq!(steps(Some(&live())), [""; 0]);
    }

    #[test]
    fn everything_is_added_where_nothing_is_there() {
        assert_eq!(
            steps(None),
            ["add table inet dockfw", "add counter hits", "add set hosts", "add chain input"]
        );
    }

    #[test]
    fn what_changed_is_replaced_in_the_order_of_use() {
        let change = |change: fn(&mut Live)| {
            let mut live = live();
            change(&mut live);
            steps(Some(&live))
        };
        let set = ["flush chain input", "delete set hosts", "add set hosts"];
        assert_eq!(change(|live| live.sets[0].userdata = vec![2]), set);
        assert_eq!(change(|live| live.sets[0].more = true), set);
        assert_eq!(change(|live| live.sets[0].keys = Some(None)), set);
        let chain = ["flush chain input", "delete chain input", "add chain input"];
        assert_eq!(change(|live| live.chains[0].policy = Some(0)), chain);
        assert_eq!(change(|live| live.chains[0].hook = Some((1, 0))), chain);
        assert_eq!(change(|live| live.chains[0].kind = name("nat")), chain);
        assert_eq!(change(|live| live.chains[0].flags |= 2), chain);
        assert_eq!(change(|live| live.chains[0].more_hook = true), chain);
        let counter = ["flush chain input", "delete object hits", "add counter hits"];
        assert_eq!(change(|live| live.objects[0].kind = 2), counter);
        let flowtable = ["flush chain input", "delete flowtable fast"];
        assert_eq!(change(|live| live.flowtables.push(name("fast"))), flowtable);
    }

    #[test]
    fn an_odd_table_is_deleted_with_everything_in_it() {
        let mut live = live();
        live.table.flags = 1;
        assert_eq!(steps(Some(&live)).first().map(String::as_str), Some("delete table inet dockfw"));
        assert!(steps(Some(&live)).contains(&"add counter hits".into()));
    }

    #[test]
    fn elements_are_read_up_to_the_limit_and_of_sets_that_look_right() {
        let mut set = live().sets.remove(0);
        assert!(is_worth_reading(&set, &wanted(), 2) && !is_worth_reading(&set, &wanted(), 1));
        set.key_type = 8;
        assert!(!is_worth_reading(&set, &wanted(), 2));
    }
}
