//! The tables of others with their rules, as [`foreign`](crate::foreign) walks them.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;
use nix::libc;

use super::{ATTEMPTS, foreign_table, name};
use crate::foreign::nft::{self, Element, Set};
use crate::foreign::{Chain, Hook, Hooked, Rule, Table};
use crate::netlink::attributes::{Attributes, put_text};
use crate::netlink::message::{DUMP, Message};
use crate::netlink::netfilter::{NFTABLES, RequestError, Socket};
use crate::netlink::uapi::{NFTA_OBJECT_TABLE, chain, element, msg, rule, set, table};
use crate::nftables::dump::{generation, refused};
use crate::nftables::userdata::rule_comment;

/// The size of a set above which its elements are not read. The kernel's listing of an interval set takes time that
/// grows with the square of its size, and a list of bans is not worth that.
const MOST_ELEMENTS: usize = 20_000;

/// What iptables-nft calls its tables.
const OF_IPTABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

/// The kernel's number of a family, and the name of a table of it.
type Key = (u8, Vec<u8>);

/// Reads all tables that IP packets meet, except dockfw's own and those that are not wanted, by names as in `ip
/// filter`. They are as they were at one moment.
pub(crate) fn read_tables(is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Table>, EngineError> {
    let mut socket = Socket::open()?;
    for _ in 0..ATTEMPTS {
        match try_read(&mut socket, &is_wanted) {
            Ok(Some(tables)) => return Ok(tables),
            Ok(None) | Err(RequestError::Interrupted) => {}
            Err(RequestError::Refused(reply)) => return Err(refused(&reply)),
            Err(RequestError::Engine(error)) => return Err(error),
        }
    }
    Err(EngineError::Raced)
}

/// Returns nothing if they have changed meanwhile.
fn try_read(
    socket: &mut Socket,
    is_wanted: &impl Fn(&str) -> bool,
) -> Result<Option<Vec<Table>>, RequestError> {
    let before = generation(socket)?;
    let mut tables = named_tables(socket, is_wanted)?;
    if tables.is_empty() {
        return Ok(Some(vec![]));
    }
    add_chains(socket, &mut tables)?;
    add_rules(socket, &mut tables)?;
    add_sets(socket, &mut tables)?;
    Ok((generation(socket)? == before).then(|| tables.into_values().collect()))
}

fn named_tables(
    socket: &mut Socket,
    is_wanted: &impl Fn(&str) -> bool,
) -> Result<BTreeMap<Key, Table>, RequestError> {
    let mut tables = BTreeMap::new();
    each(socket, msg::GETTABLE, |message| {
        let name = foreign_table(message).filter(|name| is_wanted(name));
        let is_dormant = message.attributes().number(table::FLAGS).unwrap_or(0) & table::FLAG_DORMANT != 0;
        let Some((key, name)) = key(message).zip(name).filter(|_| !is_dormant) else { return };
        let family = match libc::c_int::from(key.0) {
            libc::NFPROTO_IPV4 => Some(Family::Ipv4),
            libc::NFPROTO_IPV6 => Some(Family::Ipv6),
            _ => None,
        };
        // Even if iptables has not listed it, it is one of iptables' tables.
        let of_iptables = family.and(name.split_once(' ')).map(|(_, name)| name.to_owned());
        let of_iptables = of_iptables.filter(|name| OF_IPTABLES.contains(&name.as_str()));
        let name = format!("table {name}");
        tables.insert(key, Table { name, of_iptables, family, ..Table::default() });
    })?;
    Ok(tables)
}

fn add_chains(socket: &mut Socket, tables: &mut BTreeMap<Key, Table>) -> Result<(), RequestError> {
    each(socket, msg::GETCHAIN, |message| {
        let table = key(message).and_then(|key| tables.get_mut(&key));
        if let Some((table, name)) = table.zip(name(message.attributes())) {
            table.chains.insert(name, Chain { hooked: hooked(message.attributes()), rules: Vec::new() });
        }
    })
}

fn hooked(attributes: Attributes<'_>) -> Option<Hooked> {
    let hook = Attributes(attributes.value(chain::HOOK));
    Some(Hooked {
        hook: hook_of(hook.number(chain::HOOK_NUMBER)?)?,
        priority: hook.number(chain::HOOK_PRIORITY)?.cast_signed(),
        translates: attributes.find(chain::TYPE)?.text() == b"nat",
        drops: attributes.number(chain::POLICY) == Some(libc::NF_DROP as u32),
    })
}

/// Returns the hook, if packets that arrive or are forwarded meet it; those of [`unseen`](super::unseen()) excepted.
fn hook_of(number: u32) -> Option<Hook> {
    match number.cast_signed() {
        libc::NF_INET_PRE_ROUTING => Some(Hook::Prerouting),
        libc::NF_INET_LOCAL_IN => Some(Hook::Input),
        libc::NF_INET_FORWARD => Some(Hook::Forward),
        libc::NF_INET_POST_ROUTING => Some(Hook::Postrouting),
        _ => None,
    }
}

fn add_rules(socket: &mut Socket, tables: &mut BTreeMap<Key, Table>) -> Result<(), RequestError> {
    each(socket, msg::GETRULE, |message| {
        let attributes = message.attributes();
        let Some(table) = key(message).and_then(|key| tables.get_mut(&key)) else { return };
        let name =
            attributes.find(rule::CHAIN).map(|chain| String::from_utf8_lossy(chain.text()).into_owned());
        if let Some(chain) = name.and_then(|name| table.chains.get_mut(&name)) {
            let comment = rule_comment(attributes.value(rule::USERDATA));
            let rule = nft::rule(table.family, attributes.value(rule::EXPRESSIONS), comment.as_deref());
            chain.rules.push(Rule::Nft(rule));
        }
    })
}

/// Adds the sets that rules ask.
fn add_sets(socket: &mut Socket, tables: &mut BTreeMap<Key, Table>) -> Result<(), RequestError> {
    let mut sets = Vec::new();
    each(socket, msg::GETSET, |message| {
        let attributes = message.attributes();
        let Some((table, key)) = key(message).and_then(|key| Some((tables.get(&key)?, key))) else { return };
        let Some(name) = attributes.find(set::NAME).map(|name| name.text()) else { return };
        if asks(table, &String::from_utf8_lossy(name)) {
            let has_intervals = attributes.number(set::FLAGS).unwrap_or(0) & set::FLAG_INTERVAL != 0;
            sets.push((key, name.to_vec(), has_intervals, fields(attributes)));
        }
    })?;
    for (key, name, has_intervals, fields) in sets {
        let Some(elements) = elements(&key, &name, &fields)? else { continue };
        if let Some(table) = tables.get_mut(&key) {
            let name = String::from_utf8_lossy(&name).into_owned();
            table.sets.insert(name, Set::new(elements, has_intervals));
        }
    }
    Ok(())
}

fn asks(table: &Table, set: &str) -> bool {
    let rules = table.chains.values().flat_map(|chain| &chain.rules);
    rules.into_iter().any(|rule| match rule {
        Rule::Nft(rule) => rule.sets().any(|name| name == set),
        Rule::Iptables(_) => false,
    })
}

/// Returns the lengths of the fields of a key, if it has several.
fn fields(attributes: Attributes<'_>) -> Vec<usize> {
    let description = Attributes(attributes.value(set::DESC));
    let fields = Attributes(description.value(set::DESC_CONCAT));
    fields.filter_map(|field| Some(Attributes(field.value).number(set::FIELD_LEN)? as usize)).collect()
}

/// Returns what a set holds; nothing if that is too much. It uses a socket of its own: what is no longer wanted is
/// dropped with it.
fn elements(key: &Key, name: &[u8], fields: &[usize]) -> Result<Option<Vec<Element>>, RequestError> {
    let mut found = Vec::new();
    let fill = |buffer: &mut Vec<u8>| {
        put_text(buffer, NFTA_OBJECT_TABLE, &key.1);
        put_text(buffer, element::SET, name);
    };
    let take = |message: Message<'_>| {
        found.extend(nft::elements(message.attributes().value(element::ELEMENTS), fields));
        found.len() <= MOST_ELEMENTS
    };
    Socket::open()?.request_while(key.0, NFTABLES | msg::GETSETELEM, DUMP, fill, take)?;
    Ok(Some(found).filter(|found| found.len() <= MOST_ELEMENTS))
}

fn each(socket: &mut Socket, kind: u16, take: impl FnMut(&Message<'_>)) -> Result<(), RequestError> {
    let mut take = take;
    socket.request_of(libc::NFPROTO_UNSPEC as u8, NFTABLES | kind, DUMP, |_| (), |message| take(&message))
}

/// Returns the table that an object is in.
fn key(message: &Message<'_>) -> Option<Key> {
    Some((message.family()?, message.attributes().find(NFTA_OBJECT_TABLE)?.text().to_vec()))
}
