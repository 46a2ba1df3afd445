//! Operations as messages of a transaction.

use dockfw_policy::nft::TABLE;
use dockfw_policy::ruleset::Origin;

use super::dump::Name;
use super::plan::Operation;
use super::transaction::Transaction;
use crate::netlink::attributes::{NESTED, put, put_number, put_text};
use crate::netlink::message::{APPEND, CREATE, REQUEST};
use crate::netlink::netfilter::Socket;
use crate::netlink::uapi::{self, NFTA_FLOWTABLE_NAME, NFTA_OBJECT_TABLE, element, msg};

/// `NFT_MSG_DELFLOWTABLE`.
const DELFLOWTABLE: u16 = 24;

impl Operation<'_> {
    /// Adds the operation's message to a transaction.
    pub(crate) fn push(&self, transaction: &mut Transaction, socket: &mut Socket) {
        transaction.push(socket, self.kind(), (self.to_string(), self.origin()), |buffer| self.write(buffer));
    }

    /// Returns the kind of message, and its flags.
    fn kind(&self) -> (u16, u16) {
        match self {
            Self::AddTable | Self::WakeTable => (msg::NEWTABLE, CREATE),
            Self::DeleteTable => (msg::DELTABLE, REQUEST),
            Self::FlushChain(_) => (msg::DELRULE, REQUEST),
            Self::DeleteChain(_) => (msg::DELCHAIN, REQUEST),
            Self::DeleteSet(_) => (msg::DELSET, REQUEST),
            Self::DeleteObject(_) => (msg::DELOBJ, REQUEST),
            Self::DeleteFlowtable(_) => (DELFLOWTABLE, REQUEST),
            Self::AddCounter(_) => (msg::NEWOBJ, CREATE),
            Self::AddSet(_) => (msg::NEWSET, CREATE),
            Self::AddElements(..) => (msg::NEWSETELEM, CREATE),
            Self::AddChain(_) => (msg::NEWCHAIN, CREATE),
            Self::AddRule(..) => (msg::NEWRULE, APPEND),
        }
    }

    fn origin(&self) -> Option<Origin> {
        match self {
            Self::AddRule(_, rule) => Some(rule.origin.clone()),
            _ => None,
        }
    }

    fn write(&self, buffer: &mut Vec<u8>) {
        let named = |buffer: &mut Vec<u8>, attribute, name: &Name| {
            put_text(buffer, NFTA_OBJECT_TABLE, TABLE.as_bytes());
            put_text(buffer, attribute, &name.0);
        };
        match self {
            Self::AddTable | Self::DeleteTable => put_text(buffer, uapi::table::NAME, TABLE.as_bytes()),
            Self::WakeTable => {
                put_text(buffer, uapi::table::NAME, TABLE.as_bytes());
                put_number(buffer, uapi::table::FLAGS, 0);
            }
            // A delete message for a rule without the rule's handle deletes every rule of the chain.
            Self::FlushChain(name) => named(buffer, uapi::rule::CHAIN, name),
            Self::DeleteChain(name) => named(buffer, uapi::chain::NAME, name),
            Self::DeleteSet(name) => named(buffer, uapi::set::NAME, name),
            Self::DeleteFlowtable(name) => named(buffer, NFTA_FLOWTABLE_NAME, name),
            Self::DeleteObject(object) => {
                named(buffer, uapi::object::NAME, &object.name);
                put_number(buffer, uapi::object::TYPE, object.kind);
            }
            Self::AddCounter(counter) => buffer.extend_from_slice(&counter.attributes),
            Self::AddSet(set) => buffer.extend_from_slice(&set.attributes),
            Self::AddElements(set, list) => {
                put_text(buffer, NFTA_OBJECT_TABLE, TABLE.as_bytes());
                put_text(buffer, element::SET, set.name.as_bytes());
                put(buffer, element::ELEMENTS | NESTED, &set.keys.list(*list));
            }
            Self::AddChain(chain) => buffer.extend_from_slice(&chain.attributes),
            Self::AddRule(_, rule) => buffer.extend_from_slice(&rule.attributes),
        }
    }
}

impl std::fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AddTable => write!(f, "add table inet {TABLE}"),
            Self::WakeTable => write!(f, "wake table inet {TABLE}"),
            Self::DeleteTable => write!(f, "delete table inet {TABLE}"),
            Self::FlushChain(name) => write!(f, "flush chain {name}"),
            Self::DeleteChain(name) => write!(f, "delete chain {name}"),
            Self::DeleteSet(name) => write!(f, "delete set {name}"),
            Self::DeleteObject(object) => write!(f, "delete object {}", object.name),
            Self::DeleteFlowtable(name) => write!(f, "delete flowtable {name}"),
            Self::AddCounter(counter) => write!(f, "add counter {}", counter.name),
            Self::AddSet(set) => write!(f, "add set {}", set.name),
            Self::AddElements(set, _) => write!(f, "add elements to set {}", set.name),
            Self::AddChain(chain) => write!(f, "add chain {}", chain.name),
            Self::AddRule(chain, _) => write!(f, "add rule to chain {}", chain.name),
        }
    }
}
