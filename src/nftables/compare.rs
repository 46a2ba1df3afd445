//! How the table in the kernel differs from the one that is wanted. Pure code.

use dockfw_policy::difference::compare::{self, ChainOf, RuleText};
use dockfw_policy::difference::{Difference, DifferenceKind, ElementChanges, Part};
use dockfw_policy::nft::TABLE;
use nix::libc;

use super::attributes::same_expressions;
use super::dump::{self, Live};
use super::uapi::{self, object};
use super::userdata::{rule_comment, set_loaded};
use super::wanted::{self, Wanted};
use super::words;

/// Whether the elements of a set in the kernel can be compared with those that are wanted.
pub(crate) fn is_of_same_type(live: &dump::Set, wanted: &wanted::Set) -> bool {
    !live.more
        && live.flags == wanted.flags
        && (live.key_type, live.key_length) == (wanted.key_type, wanted.key_length)
}

/// Whether a set is declared as wanted, and was loaded with the elements that are wanted.
pub(crate) fn same_definition(live: &dump::Set, wanted: &wanted::Set) -> bool {
    is_of_same_type(live, wanted) && live.size == wanted.size && live.userdata == wanted.userdata
}

pub(crate) fn same_set(live: &dump::Set, wanted: &wanted::Set) -> bool {
    let same_keys = live.keys.as_ref().is_none_or(|keys| keys.as_ref() == Some(&wanted.keys));
    same_definition(live, wanted) && same_keys
}

/// Whether a chain is hooked in as wanted, whatever its rules.
pub(crate) fn same_base(live: &dump::Chain, wanted: &wanted::Chain) -> bool {
    live.hook == Some((wanted.hook_number(), wanted.priority))
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

pub(crate) fn is_counter(live: &dump::Object, wanted: &wanted::Counter) -> bool {
    live.kind == object::COUNTER && live.name.is(&wanted.name)
}

/// The kernel deletes a set that a rule has for itself with the rule.
pub(crate) fn is_anonymous(set: &dump::Set) -> bool {
    set.flags & uapi::set::FLAG_ANONYMOUS != 0
}

pub(crate) fn is_stale_object(live: &dump::Object, wanted: &Wanted) -> bool {
    !wanted.counters.iter().any(|counter| is_counter(live, counter))
}

/// The table as a whole, which is missing or is odd in itself.
pub(crate) fn whole_table(kind: DifferenceKind, wanted: &Wanted) -> Difference {
    let rules = wanted.chains.iter().map(|chain| chain.rules.len()).sum();
    Difference::new(kind, Part::Table { name: format!("inet {TABLE}"), rules, sets: wanted.sets.len() })
}

/// Everything in which the two differ.
pub(crate) fn differences(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let flowtables = live.flowtables.iter().map(|name| foreign_object("flowtable", name));
    counters(live, wanted)
        .into_iter()
        .chain(sets(live, wanted))
        .chain(chains(live, wanted))
        .chain(flowtables)
        .collect()
}

fn foreign_object(kind: &str, name: &dump::Name) -> Difference {
    Difference::new(DifferenceKind::Foreign, Part::Object { name: format!("{kind} {name}") })
}

fn counters(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let is_there = |counter: &wanted::Counter| live.objects.iter().any(|object| is_counter(object, counter));
    let missing = wanted.counters.iter().filter(|counter| !is_there(counter)).map(|counter| {
        Difference::new(DifferenceKind::Missing, Part::Counter { name: counter.name.clone() })
    });
    let foreign = live.objects.iter().filter(|object| is_stale_object(object, wanted)).map(|own| {
        if own.kind != object::COUNTER {
            return foreign_object("object", &own.name);
        }
        Difference::new(DifferenceKind::Foreign, Part::Counter { name: own.name.to_string() })
    });
    missing.chain(foreign).collect()
}

fn sets(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let compared =
        wanted.sets.iter().filter_map(|set| match live.sets.iter().find(|own| own.name.is(&set.name)) {
            Some(own) if same_set(own, set) => None,
            own => Some(set_difference(own, set)),
        });
    let is_wanted = |own: &dump::Set| wanted.sets.iter().any(|set| own.name.is(&set.name));
    let foreign = live.sets.iter().filter(|own| !is_anonymous(own) && !is_wanted(own)).map(|own| {
        let part = Part::Set { set: None, name: own.name.to_string(), holds: None };
        Difference::new(DifferenceKind::Foreign, part)
    });
    compared.chain(foreign).collect()
}

fn set_difference(live: Option<&dump::Set>, wanted: &wanted::Set) -> Difference {
    let kind = if live.is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
    let part = Part::Set { set: wanted.list.clone(), name: wanted.name.clone(), holds: Some(wanted.holds()) };
    Difference { elements: Some(element_changes(live, wanted)), ..Difference::new(kind, part) }
}

/// How the elements change, one by one where they were read.
fn element_changes(live: Option<&dump::Set>, wanted: &wanted::Set) -> ElementChanges {
    let name = |element: &(u128, u128)| wanted.element_name(*element);
    let before = match live {
        None => Some(Vec::new()),
        Some(live) => {
            let keys = live.keys.as_ref().and_then(Option::as_ref);
            keys.map(|keys| keys.elements(wanted.is_interval()).collect())
        }
    };
    match before {
        Some(before) => compare::elements(before, wanted.keys.elements(wanted.is_interval()), name),
        None => ElementChanges {
            live: live.and_then(|live| set_loaded(&live.userdata)).map(|loaded| loaded.entries),
            wanted: wanted.loaded.entries,
            added: None,
            removed: None,
        },
    }
}

fn chains(live: &Live, wanted: &Wanted) -> Vec<Difference> {
    let compared = wanted.chains.iter().flat_map(|chain| {
        let part = Part::Chain { chain: chain.name.into(), rules: chain.rules.len() };
        match live.chains.iter().find(|own| own.name.is(chain.name)) {
            None => vec![Difference::new(DifferenceKind::Missing, part)],
            Some(own) if !same_base(own, chain) => vec![Difference::new(DifferenceKind::Changed, part)],
            Some(own) => rules(own, chain),
        }
    });
    let is_wanted = |own: &dump::Chain| wanted.chains.iter().any(|chain| own.name.is(chain.name));
    let foreign = live.chains.iter().filter(|own| !is_wanted(own)).map(|own| {
        let part = Part::Chain { chain: own.name.to_string(), rules: 0 };
        Difference::new(DifferenceKind::Foreign, part)
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
    let chain = ChainOf { hook: wanted.hook, chain: wanted.name };
    // The same rule has the same comment.
    let keys =
        (|rule: &'a dump::Rule| rule.userdata.as_slice(), |rule: &'a wanted::Rule| rule.userdata.as_slice());
    compare::rules(chain, (&live.rules, &wanted.rules), keys, same_rule, (show_live, show_wanted))
}
