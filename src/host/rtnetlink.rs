//! Messages of rtnetlink, as they are: who asks takes out of an answer what he needs. netlink-packet-route reads all attributes,
//! and has nothing at all where one of them is not as it expects it, such as an interface's alias that is not UTF-8.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink;
use crate::nftables::attributes::Attributes;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its kind, one of libc's `RTM_*`.
    pub(super) kind: u16,
    /// The struct that its kind begins with, and the attributes.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The struct of this size, and the attributes.
    pub(super) fn parts(&self, size: usize) -> Option<(&[u8], Attributes<'_>)> {
        self.body.split_at_checked(size).map(|(head, attributes)| (head, Attributes(attributes)))
    }
}

/// All that the kernel has of what this message asks for.
pub(super) fn dump(question: &Message) -> io::Result<Vec<Message>> {
    netlink::dump(NETLINK_ROUTE, question)
}

/// The one answer to a question.
pub(super) fn ask(question: Message) -> io::Result<Message> {
    netlink::ask(NETLINK_ROUTE, question)
}

/// A number of rtnetlink, in this machine's byte order. (Those of nf_tables are in the network's.)
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, body: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, body: body.to_vec() })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}
