//! What others have in nf_tables that bears on what dockfw promises. Read over netlink, as our own table is: listings of
//! `nft` are no interface.

use std::collections::BTreeSet;

use dockfw_policy::engine::EngineError;
use dockfw_policy::nft::TABLE;
use nix::libc;

use super::attributes::Attributes;
use super::dump::{Name, refused};
use super::message::{DUMP, Message, NFTABLES};
use super::socket::{RequestError, Socket};
use super::uapi::{NFTA_OBJECT_TABLE, chain, expr, msg, rule};

/// The expression that takes packets out of connection tracking.
const NOTRACK: &[u8] = b"notrack";
/// The type of chains that may drop.
const FILTER: &[u8] = b"filter";
/// How often a list is read anew that changed meanwhile.
const ATTEMPTS: usize = 10;

/// What others have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The base chains that drop what none of their rules accepts.
    pub(crate) dropping: BTreeSet<BaseChain>,
    /// The tables with a rule that takes packets out of connection tracking, as in `inet filter`.
    pub(crate) untracking: BTreeSet<String>,
}

/// A chain that is hooked in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BaseChain {
    /// Its table, with its family, as in `ip filter`.
    pub(crate) table: String,
    /// Its name.
    pub(crate) chain: String,
    /// Its hook: `NF_INET_*`.
    pub(crate) hook: u32,
}

/// Reads it.
pub(crate) fn read() -> Result<Foreign, EngineError> {
    let mut socket = Socket::open()?;
    let dropping = list(&mut socket, msg::GETCHAIN, dropping_chain)?;
    let untracking = list(&mut socket, msg::GETRULE, untracking_table)?;
    Ok(Foreign { dropping, untracking })
}

/// The tables of others, as in `ip filter`.
pub(crate) fn tables() -> Result<BTreeSet<String>, EngineError> {
    list(&mut Socket::open()?, msg::GETTABLE, |table, _| Some(table.to_owned()))
}

/// The names of all chains that iptables-nft could have.
pub(crate) fn chains_of_iptables() -> Result<BTreeSet<String>, EngineError> {
    list(&mut Socket::open()?, msg::GETCHAIN, |table, attributes| {
        let is_of_iptables = ["ip ", "ip6 "].iter().any(|family| table.starts_with(family));
        is_of_iptables.then(|| name(attributes)).flatten()
    })
}

fn list<T: Ord>(
    socket: &mut Socket,
    kind: u16,
    parse: impl Fn(&str, Attributes<'_>) -> Option<T>,
) -> Result<BTreeSet<T>, EngineError> {
    for _ in 0..ATTEMPTS {
        let mut found = BTreeSet::new();
        let take = |message: Message<'_>| {
            let table = foreign_table(&message);
            found.extend(table.and_then(|table| parse(&table, message.attributes())));
        };
        match socket.request_of(libc::NFPROTO_UNSPEC as u8, NFTABLES | kind, DUMP, |_| (), take) {
            Ok(()) => return Ok(found),
            Err(RequestError::Interrupted) => {}
            Err(RequestError::Refused(reply)) => return Err(refused(&reply)),
            Err(RequestError::Engine(error)) => return Err(error),
        }
    }
    Err(EngineError::Raced)
}

/// The table of an object that IP packets meet and that is not ours.
fn foreign_table(message: &Message<'_>) -> Option<String> {
    let family = match libc::c_int::from(message.family()?) {
        libc::NFPROTO_INET => "inet",
        libc::NFPROTO_IPV4 => "ip",
        libc::NFPROTO_IPV6 => "ip6",
        _ => return None,
    };
    let name = message.attributes().find(NFTA_OBJECT_TABLE)?.text();
    let is_ours = family == "inet" && name == TABLE.as_bytes();
    (!is_ours).then(|| format!("{family} {}", Name(name.to_vec())))
}

fn dropping_chain(table: &str, attributes: Attributes<'_>) -> Option<BaseChain> {
    let drops = attributes.number(chain::POLICY)? == libc::NF_DROP as u32;
    let is_filter = attributes.find(chain::TYPE)?.text() == FILTER;
    let hook = Attributes(attributes.value(chain::HOOK)).number(chain::HOOK_NUMBER)?;
    let chain = name(attributes)?;
    (drops && is_filter).then(|| BaseChain { table: table.to_owned(), chain, hook })
}

/// The name of a chain.
fn name(attributes: Attributes<'_>) -> Option<String> {
    Some(Name(attributes.find(chain::NAME)?.text().to_vec()).to_string())
}

fn untracking_table(table: &str, attributes: Attributes<'_>) -> Option<String> {
    let mut expressions = Attributes(attributes.value(rule::EXPRESSIONS));
    let is_there = expressions
        .any(|one| Attributes(one.value).find(expr::NAME).is_some_and(|name| name.text() == NOTRACK));
    is_there.then(|| table.to_owned())
}
