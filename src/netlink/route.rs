//! The questions to rtnetlink. Messages stay as they are: the caller takes from an answer what it needs.

use std::io;

use mnl::Bus;

use super::attributes::{Attributes, put};
use super::message;
use super::socket;

/// A message: a question, or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its kind, one of libc's `RTM_*`.
    pub(crate) kind: u16,
    /// The struct that its kind begins with.
    pub(crate) head: Vec<u8>,
    attributes: Vec<u8>,
}

impl Message {
    /// Returns a question that begins with this struct. The answers begin with one of the same size.
    pub(crate) fn asking(kind: u16, head: Vec<u8>) -> Self {
        Self { kind, head, attributes: Vec::new() }
    }

    /// Returns the same with an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.attributes, kind, value);
        self
    }

    /// Returns the attributes.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.attributes)
    }

    fn write(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.head);
        buffer.extend_from_slice(&self.attributes);
    }

    /// Returns the answer in a message; nothing if it is too short for the struct.
    fn answer(&self, message: message::Message<'_>) -> Option<Self> {
        let (head, attributes) = message.body.split_at_checked(self.head.len())?;
        Some(Self { kind: message.kind, head: head.to_vec(), attributes: attributes.to_vec() })
    }
}

/// Returns all that the kernel has of what this message asks for.
pub(crate) fn dump(question: &Message) -> io::Result<Vec<Message>> {
    socket::dump(Bus::Route, question.kind, |body| question.write(body), |answer| question.answer(answer))
}

/// Returns the one answer to a question.
pub(crate) fn ask(question: &Message) -> io::Result<Message> {
    socket::ask(Bus::Route, question.kind, |body| question.write(body), |answer| question.answer(answer))
}

/// Reads a number of rtnetlink, in this machine's byte order. (Those of nf_tables are in network byte order.)
pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use nix::libc;
    use proptest::prelude::*;

    use super::super::message::{Head, Messages, write};
    use super::*;

    fn question() -> Message {
        Message::asking(libc::RTM_GETLINK, vec![0; 16]).with(libc::IFLA_IFNAME, b"eth0\0")
    }

    /// Returns what is read from a message with this body.
    fn read(body: &[u8]) -> Option<Message> {
        let mut bytes = Vec::new();
        let head = Head { kind: libc::RTM_NEWLINK, flags: 0, sequence: 1 };
        write(&mut bytes, head, |buffer| buffer.extend_from_slice(body));
        question().answer(Messages(&bytes).next().unwrap())
    }

    #[test]
    fn what_is_too_short_for_its_struct_is_no_answer() {
        let mut body = Vec::new();
        question().write(&mut body);
        let answer = read(&body).unwrap();
        assert_eq!(answer.head, vec![0; 16]);
        assert_eq!(answer.attributes().find(libc::IFLA_IFNAME).unwrap().text(), b"eth0");
        for length in 0..16 {
            assert_eq!(read(&body[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&body).map(|answer| answer.attributes().filter_map(|one| one.address()).count());
        }
    }
}
