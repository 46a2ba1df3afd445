//! What has to be done so that the table in the kernel becomes the one that is wanted. Pure code.
//!
//! Whatever differs, all rules are flushed and added again: sets and counters can then be deleted and added in any
//! way, and the same few lines serve every case. Sets and counters that did not change stay, counters with their
//! values. A table that is odd in itself (dormant, owned by a process) is deleted with everything in it.

use dockfw_policy::difference::{Difference, DifferenceKind};

use super::compare::{
    differences, is_anonymous, is_counter, is_of_same_type, is_stale_object, same_base, same_definition,
    same_set, whole_table,
};
use super::dump::{self, Live, Name};
use super::userdata::set_loaded;
use super::wanted::{self, Wanted};

/// What differs, and what is to be done about it. Both are empty where all is as wanted.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) differences: Vec<Difference>,
    pub(crate) operations: Vec<Operation<'a>>,
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
        let differences = vec![whole_table(DifferenceKind::Missing, wanted)];
        let operations = [Operation::AddTable].into_iter().chain(additions(None, wanted)).collect();
        return Plan { differences, operations };
    };
    if live.table != dump::Table::default() {
        let differences = vec![whole_table(DifferenceKind::Changed, wanted)];
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

/// Whether the elements of a set in the kernel are worth reading: those of one that is declared as wanted may be others
/// all the same, and those of one that is not are compared for people to see.
pub(crate) fn is_worth_reading(live: &dump::Set, wanted: &Wanted, limits: Limits) -> bool {
    let Some(wanted) = wanted.sets.iter().find(|set| live.name.is(&set.name)) else { return false };
    let loaded = set_loaded(&live.userdata).map_or(u64::MAX, |loaded| loaded.entries);
    if same_definition(live, wanted) {
        wanted.loaded.entries <= limits.to_verify
    } else {
        is_of_same_type(live, wanted) && loaded.max(wanted.loaded.entries) <= limits.to_name
    }
}

/// The largest sets whose elements are read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To find out whether a set is the one that is wanted.
    pub(crate) to_verify: u64,
    /// To name what differs in a set that is known to.
    pub(crate) to_name: u64,
}

fn is_stale_chain(live: &dump::Chain, wanted: &Wanted) -> bool {
    !wanted.chains.iter().any(|chain| live.name.is(chain.name) && same_base(live, chain))
}

fn is_stale_set(live: &dump::Set, wanted: &Wanted) -> bool {
    !is_anonymous(live) && !wanted.sets.iter().any(|set| live.name.is(&set.name) && same_set(live, set))
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

#[cfg(test)]
mod tests {
    use dockfw_policy::ruleset::Hook;
    use nix::libc;

    use super::*;
    use crate::nftables::elements::Keys;
    use crate::nftables::uapi::{self, object};
    use crate::nftables::userdata::{self, Loaded};

    const LOADED: Loaded = Loaded { digest: 7, entries: 2 };

    fn wanted() -> Wanted {
        let set = wanted::Set {
            name: "hosts".into(),
            list: None,
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
            hook: Hook::Input,
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
        let is_read = |set: &dump::Set, to_verify, to_name| {
            is_worth_reading(set, &wanted(), Limits { to_verify, to_name })
        };
        assert!(is_read(&set, 2, 0) && !is_read(&set, 1, 9));
        set.userdata = userdata::of_set(userdata::ByteOrder::Host, "", Loaded { digest: 1, entries: 5 });
        assert!(is_read(&set, 0, 5) && !is_read(&set, 9, 4));
        set.key_type = 8;
        assert!(!is_read(&set, 9, 9));
    }
}
