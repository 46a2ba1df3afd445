//! What has to be done to turn the table in the kernel into the wanted one. Pure code.
//!
//! It takes up to four transactions. The first adds and fills the sets that are missing, which no rule asks until then;
//! the second changes the rules; the third deletes the sets that no rule uses any more, and the fourth everything else
//! that is unused. No two of these are ever combined:
//!
//! - Kernels that look interval sets up in an array (`nft_array`: Linux 7.0 to 7.2, and the stable releases of 6.18) publish a set's
//!   array after they have turned to the new rules. A set that comes with the rules which ask it is empty for a while.
//! - Linux 4.15 refuses (EBUSY) to delete a set, counter or chain in one transaction with the last rule, or the map, that uses it.
//! - To change a set in place makes kernels up to 6.12 lose look-ups for a moment.
//!
//! Whatever differs, the second transaction flushes all rules and adds them again, so that the same few lines serve every
//! case. Sets and counters that did not change stay, counters with their values.

use std::collections::{BTreeSet, HashMap};

use dockfw_policy::difference::{Difference, DifferenceKind};

use super::chains::{Chains, is_leftover};
use super::compare::{
    differences, is_anonymous, is_of_same_type, is_own, missing_counters, same_definition, same_set,
    stale_objects, whole_table,
};
use super::dump::{self, Elements, Live, Name};
use super::userdata::set_entries;
use super::wanted::{self, Sought, Wanted};

/// What differs, and what has to be done about it. All of it is empty if everything is as wanted.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    pub(crate) differences: Vec<Difference>,
    /// Adds and fills sets that no rule asks, after the chains that maps among them lead to.
    pub(crate) fill: Vec<Operation<'a>>,
    /// Changes the rules.
    pub(crate) switch: Vec<Operation<'a>>,
    /// Deletes what no rule uses: first the sets, and then what maps, which are sets, may have used.
    pub(crate) clear: [Vec<Operation<'a>>; 2],
    /// Sets that rules ask and that do not hold what their names promise. They can't be changed in place, and have the
    /// names that others need.
    pub(crate) taken: Vec<&'a str>,
}

impl<'a> Plan<'a> {
    /// Returns the operations of each transaction.
    pub(crate) fn transactions(&self) -> [&[Operation<'a>]; 4] {
        let [sets, others] = &self.clear;
        [&self.fill, &self.switch, sets, others]
    }
}

/// One step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Adds the table; one that is there stays as it is.
    AddTable,
    /// Hooks a dormant table in.
    WakeTable,
    DeleteTable,
    /// Deletes all rules of a chain.
    FlushChain(&'a Name),
    DeleteChain(&'a Name),
    DeleteSet(&'a Name),
    DeleteObject(&'a dump::Object),
    DeleteFlowtable(&'a Name),
    AddCounter(&'a wanted::Counter),
    /// Adds a set, without elements.
    AddSet(&'a wanted::Set),
    /// Adds elements to a set: the list of this number. Each list fits one message.
    AddElements(&'a wanted::Set, usize),
    AddChain(&'a wanted::Chain),
    /// Adds a rule after the others of its chain.
    AddRule(&'a wanted::Chain, &'a wanted::Rule),
}

impl<'a> Operation<'a> {
    /// Returns the operations that add a set with its elements.
    pub(crate) fn all_of_set(set: &'a wanted::Set) -> impl Iterator<Item = Self> {
        [Self::AddSet(set)]
            .into_iter()
            .chain((0..set.keys.lists()).map(move |list| Self::AddElements(set, list)))
    }
}

impl Operation<'_> {
    /// Returns the name of the set that it adds, if it adds one.
    pub(crate) fn added_set(&self) -> Option<String> {
        match self {
            Self::AddSet(set) => Some(set.name.clone()),
            _ => None,
        }
    }
}

/// Compares, and plans. `filled` are the names of sets that this process has filled, so their contents are known.
pub(crate) fn plan<'a>(live: Option<&'a Live>, wanted: &'a Wanted, filled: &BTreeSet<String>) -> Plan<'a> {
    let Some(live) = live else { return plan_first(wanted) };
    let is_dormant = live.table.is_dormant();
    let differences = if is_dormant {
        vec![whole_table(DifferenceKind::Changed, wanted)]
    } else {
        differences(live, wanted)
    };
    let sets = Sets { live, wanted, filled, asked: live.referenced_sets(), by_name: live.sets_by_name() };
    let chains = Chains::new(Some(live), wanted);
    let mut plan = Plan::default();
    let delete = |chain: &'a dump::Chain| Operation::DeleteChain(&chain.name);
    let mut unused: Vec<_> = chains.stale().filter(|own| is_leftover(own)).map(delete).collect();
    if differences.iter().any(|difference| !difference.is_harmless()) {
        plan.fill = targets(&chains).chain(sets.fill()).collect();
        plan.taken = sets.taken();
        // Waking the table hooks its chains in with the rules that the kernel has: those of a dormant table are removed first.
        let flushes = || live.chains.iter().map(|chain| Operation::FlushChain(&chain.name));
        if is_dormant {
            plan.fill.extend(flushes());
        }
        plan.switch = flushes().chain(switch(Some(live), &chains, wanted)).collect();
        unused = clear(live, &chains, wanted);
    }
    Plan { differences, clear: [sets.clear(), unused], ..plan }
}

/// Plans for a kernel without the table.
fn plan_first(wanted: &Wanted) -> Plan<'_> {
    let sets = wanted.sets.iter().flat_map(Operation::all_of_set);
    let chains = Chains::new(None, wanted);
    Plan {
        differences: vec![whole_table(DifferenceKind::Missing, wanted)],
        fill: [Operation::AddTable].into_iter().chain(targets(&chains)).chain(sets).collect(),
        switch: switch(None, &chains, wanted),
        ..Plan::default()
    }
}

/// Returns the operations that add the missing chains that maps lead to: a map's elements come after them. A chain that
/// is hooked in under such a name makes room.
fn targets<'a>(chains: &Chains<'a>) -> impl Iterator<Item = Operation<'a>> {
    let make_room =
        |own: &'a dump::Chain| [Operation::FlushChain(&own.name), Operation::DeleteChain(&own.name)];
    chains.odd(true).flat_map(make_room).chain(chains.missing(true).map(Operation::AddChain))
}

/// Returns what removes the rest of an apply that did not get as far as the rules, in two transactions.
pub(crate) fn leftovers(live: &Live) -> [Vec<Operation<'_>>; 2] {
    if live.chains.iter().all(is_leftover) {
        return [vec![Operation::DeleteTable], Vec::new()];
    }
    let asked = live.referenced_sets();
    let unused = live.sets.iter().filter(|set| is_own(set) && !asked.contains(set.name.0.as_slice()));
    let chains = live.chains.iter().filter(|chain| is_leftover(chain));
    [
        unused.map(|set| Operation::DeleteSet(&set.name)).collect(),
        chains.map(|chain| Operation::DeleteChain(&chain.name)).collect(),
    ]
}

/// The existing sets and the wanted ones.
struct Sets<'a, 'f> {
    live: &'a Live,
    wanted: &'a Wanted,
    filled: &'f BTreeSet<String>,
    /// The names of those that rules ask.
    asked: BTreeSet<&'a [u8]>,
    by_name: HashMap<&'a [u8], &'a dump::Set>,
}

/// What happens to a wanted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate<'a> {
    /// It is there.
    Stays,
    /// It has to be added.
    Comes,
    /// It has to be added, and one of its name is deleted first. No rule asks that one, and it was not read: an apply that
    /// was killed may have left it half full.
    Replaces(&'a Name),
    /// Rules ask one of its name.
    IsTaken,
}

impl<'a> Sets<'a, '_> {
    fn fate(&self, wanted: &wanted::Set) -> Fate<'a> {
        let Some(own) = self.by_name.get(wanted.name.as_bytes()) else { return Fate::Comes };
        let is_asked = self.asked.contains(own.name.0.as_slice());
        let is_known = is_asked || self.filled.contains(&wanted.name) || own.elements != Elements::Unread;
        match same_set(own, wanted) {
            true if is_known => Fate::Stays,
            false if is_asked => Fate::IsTaken,
            _ => Fate::Replaces(&own.name),
        }
    }

    fn fill(&self) -> Vec<Operation<'a>> {
        let additions = self.wanted.sets.iter().flat_map(|set| match self.fate(set) {
            Fate::Stays | Fate::IsTaken => vec![],
            Fate::Comes => Operation::all_of_set(set).collect(),
            Fate::Replaces(name) => {
                [Operation::DeleteSet(name)].into_iter().chain(Operation::all_of_set(set)).collect()
            }
        });
        additions.collect()
    }

    fn taken(&self) -> Vec<&'a str> {
        let taken = self.wanted.sets.iter().filter(|set| self.fate(set) == Fate::IsTaken);
        taken.map(|set| set.name.as_str()).collect()
    }

    /// Deletes the sets of names that are not wanted.
    fn clear(&self) -> Vec<Operation<'a>> {
        let sought = Sought::of(self.wanted);
        let is_stale = |own: &&dump::Set| !is_anonymous(own) && sought.named(&own.name).is_none();
        let stale = self.live.sets.iter().filter(is_stale);
        stale.map(|own| Operation::DeleteSet(&own.name)).collect()
    }
}

/// Returns whether the elements of a set in the kernel are worth reading. If a set is declared as wanted, its elements
/// may still be others. If it has the place of a wanted one, they are compared for people to see.
pub(crate) fn is_worth_reading(live: &dump::Set, wanted: &Sought<'_>, limits: Limits) -> bool {
    let loaded = set_entries(&live.userdata).unwrap_or(u64::MAX);
    let of_name = wanted.named(&live.name);
    if let Some(wanted) = of_name.filter(|wanted| same_definition(live, wanted)) {
        return wanted.entries <= limits.to_verify;
    }
    let named = |wanted: &wanted::Set| loaded.max(wanted.entries) <= limits.to_name;
    let mut same_list = wanted.titled(&live.name).filter(|set| is_of_same_type(live, set));
    of_name.filter(|wanted| is_of_same_type(live, wanted)).or_else(|| same_list.next()).is_some_and(named)
}

/// The largest sets whose elements are read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To find out whether a set is the wanted one.
    pub(crate) to_verify: u64,
    /// To name what differs in a set that is known to differ.
    pub(crate) to_name: u64,
}

/// Returns the operations that add all rules, after the counters and chains that they need. A chain that is hooked in
/// otherwise makes room for the one of its name.
fn switch<'a>(live: Option<&'a Live>, chains: &Chains<'a>, wanted: &'a Wanted) -> Vec<Operation<'a>> {
    let rules = wanted.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let odd = chains.odd(false).map(|chain| Operation::DeleteChain(&chain.name));
    let wake = live.is_some_and(|live| live.table.is_dormant()).then_some(Operation::WakeTable);
    odd.chain(wake)
        .chain(missing_counters(live, wanted).map(Operation::AddCounter))
        .chain(chains.missing(false).map(Operation::AddChain))
        .chain(rules.map(|(chain, rule)| Operation::AddRule(chain, rule)))
        .collect()
}

/// Returns the operations that delete what no rule uses any more, except sets.
fn clear<'a>(live: &'a Live, chains: &Chains<'a>, wanted: &Wanted) -> Vec<Operation<'a>> {
    let chains = chains.stale().map(|chain| Operation::DeleteChain(&chain.name));
    chains
        .chain(stale_objects(live, wanted).map(Operation::DeleteObject))
        .chain(live.flowtables.iter().map(Operation::DeleteFlowtable))
        .collect()
}

#[cfg(test)]
mod tests {
    use dockfw_policy::ruleset::{Hook, Origin};
    use nix::libc;

    use super::*;
    use crate::netlink::attributes::{NESTED, put, put_text};
    use crate::netlink::uapi::{self, expr, object};
    use crate::nftables::elements::Keys;
    use crate::nftables::userdata;

    /// Returns a list of expressions that ask a set.
    fn lookup(set: &str) -> Vec<u8> {
        let (mut data, mut item, mut list) = (Vec::new(), Vec::new(), Vec::new());
        put_text(&mut data, 1, set.as_bytes());
        put_text(&mut item, expr::NAME, b"lookup");
        put(&mut item, expr::DATA | NESTED, &data);
        put(&mut list, 1 | NESTED, &item);
        list
    }

    fn userdata(entries: u64) -> Vec<u8> {
        userdata::of_set(userdata::ByteOrder::Network, "", entries)
    }

    /// Returns one set, and the rule that asks it.
    fn wanted_of(set: &str) -> Wanted {
        let mut attributes = Vec::new();
        put(&mut attributes, uapi::rule::EXPRESSIONS | NESTED, &lookup(set));
        let origin = Origin { what: "rule".into(), place: None };
        let rule = wanted::Rule { comment: "rule".into(), origin, userdata: Vec::new(), attributes };
        let set = wanted::Set {
            name: set.into(),
            list: None,
            key_type: 7,
            key_length: 4,
            data_type: 0,
            flags: 0,
            size: 2,
            userdata: userdata(2),
            entries: 2,
            keys: Keys::new(4, false),
            attributes: Vec::new(),
        };
        let chain = wanted::Chain {
            name: "input".into(),
            hook: Hook::Input,
            priority: Some(-10),
            is_target: false,
            rules: vec![rule],
            attributes: Vec::new(),
        };
        let counter = wanted::Counter { name: "hits".into(), attributes: Vec::new() };
        Wanted { counters: vec![counter], sets: vec![set], chains: vec![chain] }
    }

    fn wanted() -> Wanted {
        wanted_of("hosts")
    }

    fn name(text: &str) -> Name {
        Name(text.into())
    }

    fn live_set(set: &str) -> dump::Set {
        dump::Set {
            name: name(set),
            flags: 0,
            key_type: 7,
            key_length: 4,
            data_type: 0,
            size: 2,
            more: false,
            userdata: userdata(2),
            elements: Elements::Read(Keys::new(4, false)),
        }
    }

    /// Returns what is in the kernel after `wanted_of` was put in force.
    fn live_of(set: &str) -> Live {
        let rule = dump::Rule { expressions: lookup(set), userdata: Vec::new(), compat: false };
        let chain = dump::Chain {
            name: name("input"),
            hook: Some((1, -10)),
            more_hook: false,
            kind: name("filter"),
            policy: Some(libc::NF_ACCEPT as u32),
            flags: uapi::chain::FLAG_BASE,
            userdata: Vec::new(),
            rules: vec![rule],
        };
        let counter = dump::Object { name: name("hits"), kind: object::COUNTER, packets: 9, bytes: 900 };
        Live {
            table: dump::Table::default(),
            chains: vec![chain],
            sets: vec![live_set(set)],
            objects: vec![counter],
            flowtables: Vec::new(),
        }
    }

    fn live() -> Live {
        live_of("hosts")
    }

    /// Returns the operations of each transaction.
    fn steps_to(live: Option<&Live>, wanted: &Wanted, filled: &BTreeSet<String>) -> Vec<String> {
        let plan = plan(live, wanted, filled);
        let steps = plan.transactions().into_iter().filter(|step| !step.is_empty());
        steps.map(|step| step.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")).collect()
    }

    fn steps(live: &Live) -> Vec<String> {
        steps_to(Some(live), &wanted(), &BTreeSet::new())
    }

    const RULES: &str = "flush chain input, add rule to chain input";

    #[test]
    fn nothing_is_done_where_all_is_as_wanted() {
        assert_eq!(steps(&live()), [""; 0]);
    }

    #[test]
    fn everything_is_added_where_nothing_is_there() {
        let added = "add counter hits, add chain input, add rule to chain input";
        assert_eq!(
            steps_to(None, &wanted(), &BTreeSet::new()),
            ["add table inet dockfw, add set hosts", added]
        );
    }

    #[test]
    fn a_set_comes_before_the_rules_that_ask_it_and_goes_after_those_that_did() {
        let steps = |filled: &[&str], live: &Live| {
            let filled = filled.iter().map(ToString::to_string).collect();
            steps_to(Some(live), &wanted_of("others"), &filled)
        };
        assert_eq!(steps(&[], &live()), ["add set others", RULES, "delete set hosts"]);
        let mut half_done = live();
        half_done.sets.push(live_set("others"));
        assert_eq!(
            steps(&[], &half_done),
            [RULES, "delete set hosts"],
            "it was read, and holds what it should"
        );
        half_done.sets[1].elements = Elements::Unread;
        assert_eq!(
            steps(&[], &half_done),
            ["delete set others, add set others", RULES, "delete set hosts"],
            "nobody knows how full it is"
        );
        assert_eq!(steps(&["others"], &half_done), [RULES, "delete set hosts"]);
        assert_eq!(steps_to(Some(&half_done), &wanted(), &BTreeSet::new()), ["delete set others"]);
    }

    #[test]
    fn a_set_that_rules_ask_is_never_changed() {
        let change = |change: fn(&mut dump::Set)| {
            let mut live = live();
            change(&mut live.sets[0]);
            let (wanted, filled) = (wanted(), BTreeSet::new());
            let plan = plan(Some(&live), &wanted, &filled);
            assert!(plan.fill.is_empty() && plan.clear.concat().is_empty());
            plan.taken == ["hosts"]
        };
        assert!(change(|set| set.userdata = vec![2]));
        assert!(change(|set| set.more = true));
        assert!(change(|set| set.elements = Elements::Foreign));
    }

    #[test]
    fn what_changed_is_replaced_in_the_order_of_use() {
        let change = |change: fn(&mut Live)| {
            let mut live = live();
            change(&mut live);
            steps(&live)
        };
        let chain = "flush chain input, delete chain input, add chain input, add rule to chain input";
        assert_eq!(change(|live| live.chains[0].policy = Some(0)), [chain]);
        assert_eq!(change(|live| live.chains[0].hook = Some((1, 0))), [chain]);
        assert_eq!(change(|live| live.chains[0].kind = name("nat")), [chain]);
        assert_eq!(change(|live| live.chains[0].flags |= 2), [chain]);
        assert_eq!(change(|live| live.chains[0].more_hook = true), [chain]);
        let counter = ["flush chain input, add counter hits, add rule to chain input", "delete object hits"];
        assert_eq!(change(|live| live.objects[0].kind = 2), counter);
        let flowtable = change(|live| live.flowtables.push(name("fast")));
        assert_eq!(flowtable, [RULES, "delete flowtable fast"]);
    }

    #[test]
    fn a_dormant_table_wakes_with_the_new_rules_alone() {
        let mut live = live();
        live.table.flags = 1;
        assert_eq!(
            steps(&live),
            ["flush chain input", "flush chain input, wake table inet dockfw, add rule to chain input"]
        );
    }

    #[test]
    fn what_is_left_of_an_apply_is_known() {
        let left = |live: &Live| leftovers(live).concat().iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut live = live();
        assert_eq!(left(&live), [""; 0]);
        live.sets.push(live_set("others"));
        live.sets.push(dump::Set { userdata: Vec::new(), ..live_set("foreign") });
        assert_eq!(left(&live), ["delete set others"]);
        live.chains.clear();
        assert_eq!(left(&live), ["delete table inet dockfw"]);
    }

    #[test]
    fn elements_are_read_up_to_the_limit_and_of_sets_that_look_right() {
        let mut set = live_set("hosts");
        let wanted = wanted();
        let sought = Sought::of(&wanted);
        let is_read = |set: &dump::Set, to_verify, to_name| {
            is_worth_reading(set, &sought, Limits { to_verify, to_name })
        };
        assert!(is_read(&set, 2, 0) && !is_read(&set, 1, 9));
        set.userdata = userdata(5);
        assert!(is_read(&set, 0, 5) && !is_read(&set, 9, 4));
        set.name = name("hosts_0123456789");
        assert!(is_read(&set, 0, 5), "it held the same list");
        set.key_type = 8;
        assert!(!is_read(&set, 9, 9));
    }
}
