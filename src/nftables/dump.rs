//! What is in the kernel, read back: our table with everything in it, whoever added it.

use std::collections::{BTreeSet, HashMap, HashSet};

use dockfw_policy::engine::EngineError;
use dockfw_policy::nft::{TABLE, title};
use nix::errno::Errno;

use super::elements::Keys;
use super::transaction::{Generation, reason};
use crate::netlink::attributes::{Attribute, Attributes, put_text};
use crate::netlink::message::{DUMP, Message, REQUEST};
use crate::netlink::netfilter::{RequestError, Socket};
use crate::netlink::uapi::{
    NFTA_FLOWTABLE_NAME, NFTA_GEN_ID, NFTA_OBJECT_TABLE, SET_OF_EXPRESSION, chain, element, expr, msg,
    object, rule, set, table,
};

/// A name in the kernel. It need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) Vec<u8>);

impl Name {
    /// Returns whether it is this string.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }

    /// Returns the title that it begins with, as a set's name does.
    pub(crate) fn title(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok().map(title)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A foreign name may contain anything, and is shown on terminals.
        String::from_utf8_lossy(&self.0).escape_debug().fmt(f)
    }
}

/// Everything that is in our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// The table; its comment and its other flags make no difference.
    pub(crate) table: Table,
    pub(crate) chains: Vec<Chain>,
    pub(crate) sets: Vec<Set>,
    pub(crate) objects: Vec<Object>,
    pub(crate) flowtables: Vec<Name>,
}

impl Live {
    /// Returns the sets by their names.
    pub(crate) fn sets_by_name(&self) -> HashMap<&[u8], &Set> {
        self.sets.iter().map(|set| (set.name.0.as_slice(), set)).collect()
    }

    /// Returns the names of the counters.
    pub(crate) fn counter_names(&self) -> HashSet<&[u8]> {
        let counters = self.objects.iter().filter(|object| object.kind == object::COUNTER);
        counters.map(|counter| counter.name.0.as_slice()).collect()
    }

    /// Returns the names of the sets that rules ask.
    pub(crate) fn referenced_sets(&self) -> BTreeSet<&[u8]> {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        rules.flat_map(|rule| Attributes(&rule.expressions)).filter_map(referenced_set).collect()
    }
}

/// Returns the name of the set that an expression asks, if it asks one.
fn referenced_set(expression: Attribute<'_>) -> Option<&[u8]> {
    let expression = Attributes(expression.value);
    let name = expression.find(expr::NAME)?.text();
    let (_, attribute) = SET_OF_EXPRESSION.iter().find(|(asking, _)| *asking == name)?;
    Some(Attributes(expression.value(expr::DATA)).find(*attribute)?.text())
}

/// The table itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// `NFT_TABLE_F_*`.
    pub(crate) flags: u32,
}

impl Table {
    /// Returns whether its chains are not hooked in.
    pub(crate) fn is_dormant(&self) -> bool {
        self.flags & table::FLAG_DORMANT != 0
    }
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: Name,
    /// The hook's number and the priority, of a base chain.
    pub(crate) hook: Option<(u32, i32)>,
    /// Whether the hook has more attributes than number and priority, such as a list of devices.
    pub(crate) more_hook: bool,
    pub(crate) kind: Name,
    pub(crate) policy: Option<u32>,
    pub(crate) flags: u32,
    pub(crate) userdata: Vec<u8>,
    pub(crate) rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) expressions: Vec<u8>,
    pub(crate) userdata: Vec<u8>,
    /// Whether it was created by `iptables` and its like.
    pub(crate) compat: bool,
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: Name,
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    pub(crate) key_length: u32,
    /// `NFT_DATA_VERDICT` of a map like ours, or 0.
    pub(crate) data_type: u32,
    /// The declared size; 0 if there is none.
    pub(crate) size: u32,
    /// Whether it has more attributes than keys: a map's other data, lifetimes, expressions.
    pub(crate) more: bool,
    pub(crate) userdata: Vec<u8>,
    pub(crate) elements: Elements,
}

/// What is known of a set's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// They were not read.
    Unread,
    /// They are of no kind of ours.
    Foreign,
    /// All of them.
    Read(Keys),
}

/// A named object; dockfw has counters only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) name: Name,
    pub(crate) kind: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What is to be read of our table, beside the declarations of all that is in it.
pub(crate) struct Wants<E> {
    /// Whether the rules are.
    pub(crate) rules: bool,
    /// Whether the elements of a set are.
    pub(crate) elements: E,
}

/// Reads our table as it was at one moment. Nothing: there is none.
pub(crate) fn read(
    socket: &mut Socket,
    wants: &Wants<impl Fn(&Set) -> bool>,
) -> Result<(Generation, Option<Live>), RequestError> {
    let before = generation(socket)?;
    let live = read_table(socket, wants)?;
    if generation(socket)? == before { Ok((before, live)) } else { Err(RequestError::Interrupted) }
}

fn read_table(
    socket: &mut Socket,
    wants: &Wants<impl Fn(&Set) -> bool>,
) -> Result<Option<Live>, RequestError> {
    let tables = dump(socket, msg::GETTABLE, None, |attributes| {
        (attributes.find(table::NAME)?.text() == TABLE.as_bytes())
            .then(|| Table { flags: attributes.number(table::FLAGS).unwrap_or(0) })
    })?;
    let Some(table) = tables.into_iter().next() else { return Ok(None) };
    let mut chains = dump(socket, msg::GETCHAIN, None, parse_chain)?;
    for chain in chains.iter_mut().filter(|_| wants.rules) {
        chain.rules = read_rules(socket, &chain.name)?;
    }
    let mut sets = dump(socket, msg::GETSET, None, parse_set)?;
    for set in sets.iter_mut().filter(|set| (wants.elements)(set)) {
        set.elements = read_elements(socket, set)?;
    }
    let objects = dump(socket, msg::GETOBJ, None, parse_object)?;
    let flowtables = read_flowtables(socket)?;
    Ok(Some(Live { table, chains, sets, objects, flowtables }))
}

/// Kernels before 4.16 have no flowtables, and none to list.
fn read_flowtables(socket: &mut Socket) -> Result<Vec<Name>, RequestError> {
    let name = |attributes: Attributes<'_>| Some(Name(attributes.find(NFTA_FLOWTABLE_NAME)?.text().to_vec()));
    match dump(socket, msg::GETFLOWTABLE, None, name) {
        Err(RequestError::Refused(reply)) if reply.errno == Errno::EINVAL as i32 => Ok(Vec::new()),
        result => result,
    }
}

/// Lists what is in our table, or in a part of it. Not every kernel honours the names in the question.
fn dump<T>(
    socket: &mut Socket,
    kind: u16,
    part: Option<(u16, &Name)>,
    parse: impl Fn(Attributes<'_>) -> Option<T>,
) -> Result<Vec<T>, RequestError> {
    let mut objects = Vec::new();
    let fill = |buffer: &mut Vec<u8>| {
        if kind != msg::GETTABLE {
            put_text(buffer, NFTA_OBJECT_TABLE, TABLE.as_bytes());
        }
        if let Some((attribute, name)) = part {
            put_text(buffer, attribute, &name.0);
        }
    };
    socket.request(kind, DUMP, fill, |message: Message<'_>| {
        let ours = message.inet_attributes().filter(|attributes| {
            attributes.find(NFTA_OBJECT_TABLE).is_some_and(|t| t.text() == TABLE.as_bytes())
        });
        objects.extend(ours.and_then(&parse));
    })?;
    Ok(objects)
}

fn parse_chain(attributes: Attributes<'_>) -> Option<Chain> {
    let hook = attributes.find(chain::HOOK).map(|hook| Attributes(hook.value));
    let number = |hook: Attributes<'_>| {
        Some((hook.number(chain::HOOK_NUMBER)?, hook.number(chain::HOOK_PRIORITY)?.cast_signed()))
    };
    let is_more = |kind| kind != chain::HOOK_NUMBER && kind != chain::HOOK_PRIORITY;
    Some(Chain {
        name: Name(attributes.find(chain::NAME)?.text().to_vec()),
        hook: hook.and_then(number),
        more_hook: hook.is_some_and(|mut hook| hook.any(|attribute| is_more(attribute.kind))),
        kind: Name(attributes.find(chain::TYPE).map(|kind| kind.text().to_vec()).unwrap_or_default()),
        policy: attributes.number(chain::POLICY),
        flags: attributes.number(chain::FLAGS).unwrap_or(0),
        userdata: attributes.value(chain::USERDATA).to_vec(),
        rules: Vec::new(),
    })
}

/// Reads the rules of a chain. For a list, the kernel goes through the rules again for each datagram: with thousands of
/// them, one chain at a time takes a part of the time.
fn read_rules(socket: &mut Socket, chain: &Name) -> Result<Vec<Rule>, RequestError> {
    let of_chain = |attributes: Attributes<'_>| parse_rule(attributes).filter(|(own, _)| own == chain);
    let rules = dump(socket, msg::GETRULE, Some((rule::CHAIN, chain)), of_chain)?;
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
}

fn parse_rule(attributes: Attributes<'_>) -> Option<(Name, Rule)> {
    let rule = Rule {
        expressions: attributes.value(rule::EXPRESSIONS).to_vec(),
        userdata: attributes.value(rule::USERDATA).to_vec(),
        compat: attributes.find(rule::COMPAT).is_some(),
    };
    Some((Name(attributes.find(rule::CHAIN)?.text().to_vec()), rule))
}

fn parse_set(attributes: Attributes<'_>) -> Option<Set> {
    let is_there = |kind| attributes.find(kind).is_some();
    let description = Attributes(attributes.value(set::DESC));
    let data_type = attributes.number(set::DATA_TYPE).unwrap_or(0);
    let more = [set::TIMEOUT, set::OBJ_TYPE, set::EXPR, set::EXPRESSIONS];
    Some(Set {
        name: Name(attributes.find(set::NAME)?.text().to_vec()),
        flags: attributes.number(set::FLAGS).unwrap_or(0),
        key_type: attributes.number(set::KEY_TYPE).unwrap_or(0),
        key_length: attributes.number(set::KEY_LEN).unwrap_or(0),
        size: description.number(set::DESC_SIZE).unwrap_or(0),
        data_type,
        more: ![0, set::DATA_VERDICT].contains(&data_type) || more.into_iter().any(is_there) || {
            description
        }
        .any(|part| part.kind != set::DESC_SIZE),
        userdata: attributes.value(set::USERDATA).to_vec(),
        elements: Elements::Unread,
    })
}

fn parse_object(attributes: Attributes<'_>) -> Option<Object> {
    let data = Attributes(attributes.value(object::DATA));
    let count = |kind| data.find(kind).and_then(|count| count.long_number()).unwrap_or(0);
    Some(Object {
        name: Name(attributes.find(object::NAME)?.text().to_vec()),
        kind: attributes.number(object::TYPE).unwrap_or(0),
        packets: count(object::COUNTER_PACKETS),
        bytes: count(object::COUNTER_BYTES),
    })
}

/// Reads the elements of a set, in order.
fn read_elements(socket: &mut Socket, set: &Set) -> Result<Elements, RequestError> {
    let mut keys = Keys::new(set.key_length as usize, set.data_type == set::DATA_VERDICT);
    let lists = dump(socket, msg::GETSETELEM, Some((element::SET, &set.name)), |attributes| {
        Some(attributes.value(element::ELEMENTS).to_vec())
    })?;
    let all_ours = lists.iter().all(|list| keys.add_list(list));
    keys.sort();
    Ok(if all_ours { Elements::Read(keys) } else { Elements::Foreign })
}

/// Returns the kernel's count of transactions.
pub(crate) fn generation(socket: &mut Socket) -> Result<Generation, RequestError> {
    let mut generation = None;
    socket.request(
        msg::GETGEN,
        REQUEST,
        |_| {},
        |message| {
            generation = message.attributes().number(NFTA_GEN_ID).map(Generation);
        },
    )?;
    generation.ok_or_else(|| {
        RequestError::Engine(EngineError::Protocol {
            doing: "can't read the generation of the ruleset".into(),
            answer: "no generation".into(),
        })
    })
}

/// Returns an error of reading that is not a race with someone else.
pub(crate) fn refused(reply: &crate::netlink::message::Reply) -> EngineError {
    match Errno::from_raw(reply.errno) {
        Errno::EPERM => EngineError::NotPermitted,
        // No part of the kernel answers messages for nf_tables.
        Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT => {
            EngineError::Unsupported(format!("the kernel has no nf_tables: {}", reason(reply)))
        }
        errno => EngineError::Io { doing: "can't read the rules in the kernel".into(), source: errno.into() },
    }
}
