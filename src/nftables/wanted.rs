//! The wanted table, in the kernel's terms and still in the order of the policy.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::{Address, Range};
use dockfw_policy::nft::{self, Elements, TABLE};
use dockfw_policy::ruleset::{Hook, Origin};
use dockfw_policy::service::PortRange;
use nix::libc;

use super::dump::Name;
use super::elements::{Element, Keys, NotSingle, key_length};
use super::encode::expressions;
use super::userdata::{self, ByteOrder};
use crate::ffi::{self, BuildError, Value};
use crate::netlink::attributes::Attributes;
use crate::netlink::uapi::{self, datatype};

/// Why a table can't be translated into the kernel's terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    /// A set.
    #[error("set {set}: {source}")]
    Set {
        /// Its name.
        set: String,
        source: NotSingle,
    },
    /// Anything that is built with libnftnl.
    #[error("{what}: {source}")]
    Build {
        /// What could not be built.
        what: String,
        source: BuildError,
    },
}

/// The type of our base chains.
pub(crate) const BASE_TYPE: &str = "filter";
/// The policy of our base chains: packets pass unless a rule drops them.
pub(crate) const BASE_POLICY: u32 = libc::NF_ACCEPT as u32;

/// The whole table.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) counters: Vec<Counter>,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

/// A named counter.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) name: String,
    /// The attributes of the message that adds it; the same holds for the others.
    pub(crate) attributes: Vec<u8>,
}

/// A set with its elements.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    /// The list of the ruleset that its elements come from, if there is one.
    pub(crate) list: Option<String>,
    pub(crate) key_type: u32,
    pub(crate) key_length: u32,
    /// `NFT_DATA_VERDICT` of a map, or 0.
    pub(crate) data_type: u32,
    pub(crate) flags: u32,
    /// The declared size; 0 if there is none.
    pub(crate) size: u32,
    pub(crate) userdata: Vec<u8>,
    /// How many entries of the policy its elements are.
    pub(crate) entries: u64,
    pub(crate) keys: Keys,
    pub(crate) attributes: Vec<u8>,
}

/// A chain with its rules.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// The hook whose packets meet it.
    pub(crate) hook: Hook,
    /// Its priority there, of a base chain.
    pub(crate) priority: Option<i32>,
    /// Whether a map leads to it.
    pub(crate) is_target: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) attributes: Vec<u8>,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) comment: String,
    pub(crate) origin: Origin,
    pub(crate) userdata: Vec<u8>,
    pub(crate) attributes: Vec<u8>,
}

impl Chain {
    /// Returns the hook's number and the priority, of a base chain.
    pub(crate) fn place(&self) -> Option<(u32, i32)> {
        self.priority.map(|priority| (hook_number(self.hook), priority))
    }
}

impl Set {
    /// Returns whether its elements are intervals.
    pub(crate) fn is_interval(&self) -> bool {
        self.flags & uapi::set::FLAG_INTERVAL != 0
    }

    /// Returns its name in the policy, and what is in it.
    pub(crate) fn title(&self) -> &str {
        nft::title(&self.name)
    }

    /// Returns which elements of its list are in the set, in words.
    pub(crate) fn holds(&self) -> &'static str {
        match (self.key_type, self.is_interval()) {
            (datatype::IPV4_ADDRESS, false) => "IPv4 addresses",
            (datatype::IPV4_ADDRESS, true) => "IPv4 networks",
            (datatype::IPV6_ADDRESS, false) => "IPv6 addresses",
            (datatype::IPV6_ADDRESS, true) => "IPv6 networks",
            (datatype::INET_SERVICE, _) if self.data_type != 0 => "ports and their chains",
            (datatype::INET_SERVICE, _) => "ports",
            _ => "interfaces",
        }
    }

    /// Returns an element as a policy has it.
    pub(crate) fn element_name(&self, element: Element<'_>) -> String {
        let Element { first, last, chain } = element;
        if !chain.is_empty() {
            let ports = PortRange::new(first as u16, last as u16).map(|ports| ports.to_string());
            return format!(
                "{} : jump {}",
                ports.unwrap_or_default(),
                String::from_utf8_lossy(chain).escape_debug()
            );
        }
        match self.key_type {
            datatype::IPV4_ADDRESS => range_name::<Ipv4Addr>(first, last),
            datatype::IPV6_ADDRESS => range_name::<Ipv6Addr>(first, last),
            datatype::INET_SERVICE if first == last => first.to_string(),
            datatype::INET_SERVICE => format!("{first}-{last}"),
            _ => interface_name(first, last),
        }
    }
}

fn range_name<A: Address>(first: u128, last: u128) -> String {
    let range = Range::new(A::from_number(first), A::from_number(last));
    range.map(|range| range.to_string()).unwrap_or_default()
}

/// Returns a name for a number of 16 bytes, or a prefix for all numbers that begin like this.
fn interface_name(first: u128, last: u128) -> String {
    let bytes = first.to_be_bytes();
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).escape_debug().to_string();
    if first == last { name } else { format!("{name}*") }
}

impl Rule {
    /// Returns the rule's list of expressions.
    pub(crate) fn expressions(&self) -> &[u8] {
        Attributes(&self.attributes).value(uapi::rule::EXPRESSIONS)
    }
}

/// The wanted sets, found by their names, and by their titles in the order of the policy.
pub(crate) struct Sought<'a> {
    by_name: HashMap<&'a [u8], &'a Set>,
    by_title: HashMap<&'a str, Vec<&'a Set>>,
}

impl<'a> Sought<'a> {
    pub(crate) fn of(wanted: &'a Wanted) -> Self {
        let mut by_title: HashMap<_, Vec<_>> = HashMap::new();
        wanted.sets.iter().for_each(|set| by_title.entry(set.title()).or_default().push(set));
        let by_name = wanted.sets.iter().map(|set| (set.name.as_bytes(), set)).collect();
        Self { by_name, by_title }
    }

    /// Returns the set of this name.
    pub(crate) fn named(&self, name: &Name) -> Option<&'a Set> {
        self.by_name.get(name.0.as_slice()).copied()
    }

    /// Returns the sets whose names have the same title.
    pub(crate) fn titled(&self, name: &Name) -> impl Iterator<Item = &'a Set> {
        name.title().and_then(|title| self.by_title.get(title)).into_iter().flatten().copied()
    }
}

impl Wanted {
    /// Returns the names of the counters.
    pub(crate) fn counter_names(&self) -> HashSet<&[u8]> {
        self.counters.iter().map(|counter| counter.name.as_bytes()).collect()
    }

    /// Translates a table into the kernel's terms.
    pub(crate) fn new(table: &nft::Table) -> Result<Self, EncodeError> {
        let targets: HashSet<_> = table.sets.iter().flat_map(|set| set.elements.targets()).collect();
        // Numbers of sets are unique in a transaction; 0 means no number.
        let sets = table.sets.iter().zip(1..).map(|(set, id)| encode_set(set, id));
        Ok(Self {
            counters: table.counters.iter().map(encode_counter).collect::<Result<_, _>>()?,
            sets: sets.collect::<Result<_, _>>()?,
            chains: table
                .chains
                .iter()
                .map(|chain| encode_chain(chain, &targets))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Adds to an error what could not be built.
fn building<T>(result: Result<T, BuildError>, what: impl FnOnce() -> String) -> Result<T, EncodeError> {
    result.map_err(|source| EncodeError::Build { what: what(), source })
}

fn encode_counter(counter: &nft::Counter) -> Result<Counter, EncodeError> {
    let name = counter.name.to_string();
    let object = ffi::Counter::new(&[
        (ffi::Counter::TABLE, Value::Text(TABLE)),
        (ffi::Counter::NAME, Value::Text(&name)),
        (ffi::Counter::TYPE, Value::Number(uapi::object::COUNTER)),
    ]);
    let attributes = building(object, || format!("counter {name}"))?.attributes();
    Ok(Counter { name, attributes })
}

/// Returns the type of a set's keys, and the order of their bytes.
fn key_type(elements: &Elements) -> (u32, ByteOrder) {
    match elements {
        Elements::Ipv4(_) => (datatype::IPV4_ADDRESS, ByteOrder::Network),
        Elements::Ipv6(_) => (datatype::IPV6_ADDRESS, ByteOrder::Network),
        Elements::Ports(_) | Elements::Jumps(_) => (datatype::INET_SERVICE, ByteOrder::Network),
        Elements::Interfaces(_) => (datatype::INTERFACE_NAME, ByteOrder::Host),
    }
}

/// Returns the size of a hash set, for which the kernel allocates its table. Without a size, the table grows while it
/// is loaded, which takes a fifth of the time, and its look-ups are of a slower kind.
fn size(set: &nft::Set) -> u32 {
    if set.interval { 0 } else { u32::try_from(set.elements.len()).unwrap_or(0) }
}

fn encode_set(set: &nft::Set, id: u32) -> Result<Set, EncodeError> {
    let keys = Keys::of(set).map_err(|source| EncodeError::Set { set: set.name.clone(), source })?;
    let (key_type, order) = key_type(&set.elements);
    let key_length = key_length(&set.elements) as u32;
    let is_map = matches!(set.elements, Elements::Jumps(_));
    let data_type = if is_map { uapi::set::DATA_VERDICT } else { 0 };
    let flags = if set.interval { uapi::set::FLAG_INTERVAL } else { 0 }
        | if is_map { uapi::set::FLAG_MAP } else { 0 };
    let size = size(set);
    let entries = set.elements.len() as u64;
    let userdata = userdata::of_set(order, &set.comment, entries);
    let mut attributes = vec![
        (ffi::Set::TABLE, Value::Text(TABLE)),
        (ffi::Set::NAME, Value::Text(&set.name)),
        (ffi::Set::ID, Value::Number(id)),
        (ffi::Set::FLAGS, Value::Number(flags)),
        (ffi::Set::KEY_TYPE, Value::Number(key_type)),
        (ffi::Set::KEY_LEN, Value::Number(key_length)),
        (ffi::Set::SIZE, Value::Number(size)),
        (ffi::Set::USERDATA, Value::Bytes(&userdata)),
    ];
    attributes.extend(is_map.then_some((ffi::Set::DATA_TYPE, Value::Number(data_type))));
    let attributes = building(ffi::Set::new(&attributes), || format!("set {}", set.name))?.attributes();
    let (name, list) = (set.name.clone(), set.list.as_ref().map(ToString::to_string));
    Ok(Set { name, list, key_type, key_length, data_type, flags, size, userdata, entries, keys, attributes })
}

/// Returns the number of a hook (linux/netfilter.h).
fn hook_number(hook: Hook) -> u32 {
    let number = match hook {
        Hook::Prerouting | Hook::Tracked => libc::NF_INET_PRE_ROUTING,
        Hook::Input => libc::NF_INET_LOCAL_IN,
        Hook::Forward => libc::NF_INET_FORWARD,
    };
    number as u32
}

fn encode_chain(chain: &nft::Chain, targets: &HashSet<&str>) -> Result<Chain, EncodeError> {
    let mut attributes =
        vec![(ffi::Chain::TABLE, Value::Text(TABLE)), (ffi::Chain::NAME, Value::Text(&chain.name))];
    if let Some(priority) = chain.priority {
        attributes.extend([
            (ffi::Chain::TYPE, Value::Text(BASE_TYPE)),
            (ffi::Chain::HOOK, Value::Number(hook_number(chain.hook))),
            (ffi::Chain::PRIORITY, Value::Signed(priority)),
            (ffi::Chain::POLICY, Value::Number(BASE_POLICY)),
        ]);
    }
    let attributes = building(ffi::Chain::new(&attributes), || format!("chain {}", chain.name))?.attributes();
    let rules = chain.rules.iter().map(|rule| encode_rule(&chain.name, rule)).collect::<Result<_, _>>()?;
    let is_target = targets.contains(chain.name.as_str());
    Ok(Chain {
        name: chain.name.clone(),
        hook: chain.hook,
        priority: chain.priority,
        is_target,
        rules,
        attributes,
    })
}

fn encode_rule(chain: &str, rule: &nft::Rule) -> Result<Rule, EncodeError> {
    let userdata = userdata::of_rule(&rule.comment);
    let object = ffi::Rule::new(&[
        (ffi::Rule::TABLE, Value::Text(TABLE)),
        (ffi::Rule::CHAIN, Value::Text(chain)),
        (ffi::Rule::USERDATA, Value::Bytes(&userdata)),
    ]);
    let object = object.and_then(|object| object.with(expressions(&rule.statements)?));
    let attributes = building(object, || format!("rule \"{}\" of chain {chain}", rule.comment))?.attributes();
    Ok(Rule { comment: rule.comment.clone(), origin: rule.origin.clone(), userdata, attributes })
}
