//! How the table in the kernel differs from the wanted one. Pure code.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dockfw_policy::difference::compare::{self, ChainOf, RuleText};
use dockfw_policy::difference::{Difference, DifferenceKind, ElementChanges, Part};
use dockfw_policy::nft::{TABLE, title};

use super::chains::{Chains, is_leftover, same_base};
use super::dump::{self, Elements, Live};
use super::elements::Element;
use super::expressions::same_expressions;
use super::userdata::{rule_comment, set_entries};
use super::wanted::{self, Sought, Wanted};
use super::words;
use crate::netlink::uapi::{self, object};

/// Returns whether the elements of a set in the kernel can be compared with the wanted ones.
pub(crate) fn is_of_same_type(live: &dump::Set, wanted: &wanted::Set) -> bool {
    !live.more
        && live.flags == wanted.flags
        && (live.key_type, live.key_length, live.data_type)
            == (wanted.key_type, wanted.key_length, wanted.data_type)
}

/// Returns whether a set is declared as wanted, and was loaded with the wanted elements.
pub(crate) fn same_definition(live: &dump::Set, wanted: &wanted::Set) -> bool {
    is_of_same_type(live, wanted) && live.size == wanted.size && live.userdata == wanted.userdata
}

pub(crate) fn same_set(live: &dump::Set, wanted: &wanted::Set) -> bool {
    let same_elements = match &live.elements {
        Elements::Unread => true,
        Elements::Foreign => false,
        Elements::Read(keys) => *keys == wanted.keys,
    };
    same_definition(live, wanted) && same_elements
}

fn same_rule(live: &dump::Rule, wanted: &wanted::Rule) -> bool {
    !live.compat
        && live.userdata == wanted.userdata
        && same_expressions(wanted.expressions(), &live.expressions)
}

/// Returns whether dockfw loaded it.
pub(crate) fn is_own(set: &dump::Set) -> bool {
    set_entries(&set.userdata).is_some()
}

/// Returns whether a set belongs to a rule alone: the kernel deletes it with the rule.
pub(crate) fn is_anonymous(set: &dump::Set) -> bool {
    set.flags & uapi::set::FLAG_ANONYMOUS != 0
}

/// Returns the objects that are no wanted counters.
pub(crate) fn stale_objects<'a>(live: &'a Live, wanted: &Wanted) -> impl Iterator<Item = &'a dump::Object> {
    let names = wanted.counter_names();
    let is_wanted =
        move |own: &dump::Object| own.kind == object::COUNTER && names.contains(own.name.0.as_slice());
    live.objects.iter().filter(move |own| !is_wanted(own))
}

/// Returns the counters that are not there.
pub(crate) fn missing_counters<'a>(
    live: Option<&'a Live>,
    wanted: &'a Wanted,
) -> impl Iterator<Item = &'a wanted::Counter> {
    let names = live.map(Live::counter_names).unwrap_or_default();
    wanted.counters.iter().filter(move |counter| !names.contains(counter.name.as_bytes()))
}

/// Returns the difference of the table as a whole, if it is missing or unusual in itself.
pub(crate) fn whole_table(kind: DifferenceKind, wanted: &Wanted) -> Difference {
    let rules = wanted.chains.iter().map(|chain| chain.rules.len()).sum();
    Difference::new(kind, Part::Table { name: format!("inet {TABLE}"), rules, sets: wanted.sets.len() })
}

/// Returns everything in which the two differ.
pub(crate) fn differences(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let asked = live.referenced_sets();
    let pairs = pairs(live, wanted, &asked);
    let renamed: BTreeMap<_, _> = pairs.iter().filter_map(renaming).collect();
    let mut chains = chains(live, wanted);
    chains.retain(|difference| !compare::only_renames(difference, &renamed));
    let flowtables = live.flowtables.iter().map(|name| foreign_object("flowtable", name));
    counters(live, wanted)
        .into_iter()
        .chain(sets(live, &pairs, &asked))
        .chain(chains)
        .chain(flowtables)
        .collect()
}

/// A wanted set, and the one that has its place.
type Pair<'a> = (&'a wanted::Set, Option<&'a dump::Set>);

/// Pairs each wanted set with a set in the kernel. First choice is the one of its name that rules ask; then the one
/// that held the same list before its elements changed; then one of its name that no rule asks.
fn pairs<'a>(live: &'a Live, wanted: &'a Wanted, asked: &BTreeSet<&[u8]>) -> Vec<Pair<'a>> {
    let in_use = |own: &&dump::Set| asked.contains(own.name.0.as_slice());
    let (by_name, sought) = (live.sets_by_name(), Sought::of(wanted));
    let of_name = |set: &wanted::Set| by_name.get(set.name.as_bytes()).copied();
    let is_free = |own: &&dump::Set| is_own(own) && in_use(own) && sought.named(&own.name).is_none();
    let mut free: HashMap<_, Vec<_>> = HashMap::new();
    for own in live.sets.iter().filter(is_free) {
        free.entry(own.name.title()).or_default().push(own);
    }
    let mut older = |set: &'a wanted::Set| {
        let titled = free.get_mut(&Some(set.title()))?;
        let place = titled.iter().position(|own| is_of_same_type(own, set))?;
        Some(titled.remove(place))
    };
    let mut before =
        |set: &'a wanted::Set| of_name(set).filter(in_use).or_else(|| older(set)).or_else(|| of_name(set));
    wanted.sets.iter().map(|set| (set, before(set))).collect()
}

fn renaming<'a>((wanted, live): &Pair<'a>) -> Option<(&'a str, &'a str)> {
    Some((str::from_utf8(&(*live)?.name.0).ok()?, wanted.name.as_str()))
}

fn foreign_object(kind: &str, name: &dump::Name) -> Difference {
    Difference::new(DifferenceKind::Foreign, Part::Object { name: format!("{kind} {name}") })
}

fn counters(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let missing = missing_counters(Some(live), wanted).map(|counter| {
        Difference::new(DifferenceKind::Missing, Part::Counter { name: counter.name.clone() })
    });
    let foreign = stale_objects(live, wanted).map(|own| {
        if own.kind != object::COUNTER {
            return foreign_object("object", &own.name);
        }
        Difference::new(DifferenceKind::Foreign, Part::Counter { name: own.name.to_string() })
    });
    missing.chain(foreign).collect()
}

fn sets(live: &Live, pairs: &[Pair<'_>], asked: &BTreeSet<&[u8]>) -> Vec<Difference> {
    let is_as_wanted =
        |wanted: &wanted::Set, own: &dump::Set| own.name.is(&wanted.name) && same_set(own, wanted);
    let differ = pairs.iter().filter(|(set, own)| !own.is_some_and(|own| is_as_wanted(set, own)));
    let compared = differ.map(|(set, own)| set_difference(*own, set));
    let names = pairs.iter().map(|(set, _)| set.name.as_bytes());
    let paired = pairs.iter().filter_map(|(_, own)| Some(own.as_ref()?.name.0.as_slice()));
    let known: HashSet<_> = names.chain(paired).collect();
    let is_known = |own: &dump::Set| known.contains(own.name.0.as_slice());
    let useless = live.sets.iter().filter(|own| !is_anonymous(own) && !is_known(own)).map(|own| {
        let is_leftover = is_own(own) && !asked.contains(own.name.0.as_slice());
        let kind = if is_leftover { DifferenceKind::Leftover } else { DifferenceKind::Foreign };
        let name = own.name.to_string();
        let set = is_own(own).then(|| title(&name).to_owned());
        Difference::new(kind, Part::Set { set, name, holds: None })
    });
    compared.chain(useless).collect()
}

fn set_difference(live: Option<&dump::Set>, wanted: &wanted::Set) -> Difference {
    let kind = if live.is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
    let title = wanted.list.clone().unwrap_or_else(|| wanted.title().to_owned());
    let part = Part::Set { set: Some(title), name: wanted.name.clone(), holds: Some(wanted.holds()) };
    Difference { elements: Some(element_changes(live, wanted)), ..Difference::new(kind, part) }
}

/// Returns how the elements change, one by one if they were read.
fn element_changes(live: Option<&dump::Set>, wanted: &wanted::Set) -> ElementChanges {
    let name = |element: &Element<'_>| wanted.element_name(*element);
    let before = match live {
        None => Some(Vec::new()),
        Some(dump::Set { elements: Elements::Read(keys), .. }) => {
            Some(keys.elements(wanted.is_interval()).collect())
        }
        Some(_) => None,
    };
    match before {
        Some(before) => compare::elements(before, wanted.keys.elements(wanted.is_interval()), name),
        None => ElementChanges {
            live: live.and_then(|live| set_entries(&live.userdata)),
            wanted: wanted.entries,
            added: None,
            removed: None,
        },
    }
}

fn chains(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let chains = Chains::new(Some(live), wanted);
    let compared = chains.pairs().flat_map(|(chain, own)| {
        let part = Part::Chain { chain: chain.name.clone(), rules: chain.rules.len() };
        match own {
            None => vec![Difference::new(DifferenceKind::Missing, part)],
            Some(own) if !same_base(own, chain) => vec![Difference::new(DifferenceKind::Changed, part)],
            Some(own) => rules(own, chain),
        }
    });
    let foreign = chains.stale().map(|own| {
        let part = Part::Chain { chain: own.name.to_string(), rules: 0 };
        let kind = if is_leftover(own) { DifferenceKind::Leftover } else { DifferenceKind::Foreign };
        Difference::new(kind, part)
    });
    compared.chain(foreign).collect()
}

fn rules<'a>(live: &'a dump::Chain, wanted: &'a wanted::Chain) -> Vec<Difference> {
    let show_live = |rule: &dump::Rule| RuleText {
        origin: None,
        comment: rule_comment(&rule.userdata).map(|comment| comment.escape_debug().to_string()),
        text: words::of_rule(&rule.expressions, rule_comment(&rule.userdata).as_deref()),
    };
    let show_wanted = |rule: &wanted::Rule| RuleText {
        origin: Some(rule.origin.clone()),
        comment: Some(rule.comment.escape_debug().to_string()),
        text: words::of_rule(rule.expressions(), Some(&rule.comment)),
    };
    let chain = ChainOf { hook: wanted.hook, chain: &wanted.name };
    // The same rule has the same comment.
    let keys =
        (|rule: &'a dump::Rule| rule.userdata.as_slice(), |rule: &'a wanted::Rule| rule.userdata.as_slice());
    compare::rules(chain, (&live.rules, &wanted.rules), keys, same_rule, (show_live, show_wanted))
}
