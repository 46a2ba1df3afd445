//! Chains of others at hooks that are not walked: packets meet them as frames, or when they arrive on an interface,
//! before all the hooks of IP.

use std::collections::BTreeSet;

use dockfw_policy::engine::EngineError;
use nix::libc;

use super::{list, name};
use crate::netlink::attributes::Attributes;
use crate::netlink::message::Message;
use crate::netlink::netfilter::Socket;
use crate::netlink::uapi::{NFTA_OBJECT_TABLE, chain, msg, rule, table};
use crate::nftables::dump::Name;

/// `NF_INET_INGRESS` (linux/netfilter.h): since Linux 5.10.
const INGRESS: u32 = 5;

/// The table of a chain, by its family and its name, and the chain's name.
type Key = (u8, Vec<u8>, Vec<u8>);

/// Returns the chains that can do anything to a packet: they have a rule, or drop what no rule decides about. Their
/// names are as in `chain early of table netdev guard`.
pub(crate) fn unseen() -> Result<BTreeSet<String>, EngineError> {
    let mut socket = Socket::open()?;
    let asleep = list(&mut socket, msg::GETTABLE, |message| {
        let flags = message.attributes().number(table::FLAGS).unwrap_or(0);
        let name = message.attributes().find(table::NAME)?.text().to_vec();
        (flags & table::FLAG_DORMANT != 0).then_some((message.family()?, name))
    })?;
    let chains = list(&mut socket, msg::GETCHAIN, |message| {
        let key = key(message, chain::NAME)
            .filter(|(family, table, _)| !asleep.contains(&(*family, table.clone())))?;
        let drops = message.attributes().number(chain::POLICY) == Some(libc::NF_DROP as u32);
        is_unseen(message).then(|| Some((in_words(message, &key)?, drops, key))).flatten()
    })?;
    if chains.is_empty() {
        // The kernel takes time to list rules that grows with the square of their number.
        return Ok(BTreeSet::new());
    }
    let ruled = list(&mut socket, msg::GETRULE, |message| key(message, rule::CHAIN))?;
    let acting = chains.into_iter().filter(|(_, drops, key)| *drops || ruled.contains(key));
    Ok(acting.map(|(words, ..)| words).collect())
}

fn key(message: &Message<'_>, chain: u16) -> Option<Key> {
    let attributes = message.attributes();
    let text = |kind| Some(attributes.find(kind)?.text().to_vec());
    Some((message.family()?, text(NFTA_OBJECT_TABLE)?, text(chain)?))
}

fn is_unseen(message: &Message<'_>) -> bool {
    let hook = Attributes(message.attributes().value(chain::HOOK)).number(chain::HOOK_NUMBER);
    match (message.family().map(libc::c_int::from), hook) {
        (Some(libc::NFPROTO_BRIDGE | libc::NFPROTO_NETDEV), Some(_)) => true,
        (Some(libc::NFPROTO_INET), Some(hook)) => hook == INGRESS,
        _ => false,
    }
}

fn in_words(message: &Message<'_>, (family, table, _): &Key) -> Option<String> {
    let family = match libc::c_int::from(*family) {
        libc::NFPROTO_BRIDGE => "bridge",
        libc::NFPROTO_NETDEV => "netdev",
        _ => "inet",
    };
    Some(format!("chain {} of table {family} {}", name(message.attributes())?, Name(table.clone())))
}
