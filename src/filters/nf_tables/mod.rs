//! What others have in nf_tables. Read over netlink, as our own table is: listings of `nft` are no interface.

mod tables;
#[cfg(test)]
mod tests;
mod unseen;

use std::collections::BTreeSet;

use dockfw_policy::engine::EngineError;
use dockfw_policy::nft::TABLE;
use nix::libc;

use crate::netlink::attributes::Attributes;
use crate::netlink::message::{DUMP, Message};
use crate::netlink::netfilter::{NFTABLES, RequestError, Socket};
use crate::netlink::uapi::{NFTA_OBJECT_TABLE, chain, msg};
use crate::nftables::dump::{Name, refused};

pub(crate) use tables::read_tables;
pub(crate) use unseen::unseen;

/// How often a list is read again if it changed meanwhile.
const ATTEMPTS: usize = 10;

/// Returns the tables of others, as in `ip filter`.
pub(crate) fn tables() -> Result<BTreeSet<String>, EngineError> {
    list(&mut Socket::open()?, msg::GETTABLE, foreign_table)
}

/// Returns the names of all chains that iptables-nft could have.
pub(crate) fn chains_of_iptables() -> Result<BTreeSet<String>, EngineError> {
    list(&mut Socket::open()?, msg::GETCHAIN, |message| {
        let table = foreign_table(message)?;
        let is_of_iptables = ["ip ", "ip6 "].iter().any(|family| table.starts_with(family));
        is_of_iptables.then(|| name(message.attributes())).flatten()
    })
}

fn list<T: Ord>(
    socket: &mut Socket,
    kind: u16,
    parse: impl Fn(&Message<'_>) -> Option<T>,
) -> Result<BTreeSet<T>, EngineError> {
    for _ in 0..ATTEMPTS {
        let mut found = BTreeSet::new();
        let take = |message: Message<'_>| found.extend(parse(&message));
        match socket.request_of(libc::NFPROTO_UNSPEC as u8, NFTABLES | kind, DUMP, |_| (), take) {
            Ok(()) => return Ok(found),
            Err(RequestError::Interrupted) => {}
            Err(RequestError::Refused(reply)) => return Err(refused(&reply)),
            Err(RequestError::Engine(error)) => return Err(error),
        }
    }
    Err(EngineError::Raced)
}

/// Returns the table of an object, if IP packets meet it and it is not ours.
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

/// Returns the name of a chain.
fn name(attributes: Attributes<'_>) -> Option<String> {
    Some(Name(attributes.find(chain::NAME)?.text().to_vec()).to_string())
}
