//! Netlink messages: written into a buffer, and read from one with every length checked.
//!
//! `mnl` has an iterator for the latter, which panics on a message whose padding is cut off: a test documents that.

use nix::libc;

use super::attributes::{Attributes, align};

/// The size of a message's head: `struct nlmsghdr` (linux/netlink.h).
const HEAD: usize = 16;
/// `NLMSGERR_ATTR_MSG` (linux/netlink.h): the kernel's message for an error.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The flag of every request.
pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// A request for all objects of a kind.
pub(crate) const DUMP: u16 = REQUEST | libc::NLM_F_DUMP as u16;
/// A request to add something.
pub(crate) const CREATE: u16 = REQUEST | libc::NLM_F_CREATE as u16;
/// A request to add a rule after the others.
pub(crate) const APPEND: u16 = CREATE | libc::NLM_F_APPEND as u16;

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// What it asks for.
    pub(crate) kind: u16,
    /// The flags, `NLM_F_*`.
    pub(crate) flags: u16,
    /// Its number, which the answers to it carry.
    pub(crate) sequence: u32,
}

/// Appends a message; `fill` writes what follows its head.
pub(crate) fn write(buffer: &mut Vec<u8>, head: Head, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&head.kind.to_ne_bytes());
    buffer.extend_from_slice(&head.flags.to_ne_bytes());
    buffer.extend_from_slice(&head.sequence.to_ne_bytes());
    buffer.extend_from_slice(&[0; 4]);
    fill(buffer);
    let length = (buffer.len() - start) as u32;
    if let Some(field) = buffer.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

/// One message from the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// The kind of message.
    pub(crate) kind: u16,
    flags: u16,
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    /// What follows its head: most often a struct, and attributes.
    pub(crate) body: &'a [u8],
}

/// The kernel's reply to a request, whether it failed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The request's number.
    pub(crate) sequence: u32,
    /// The error's number; 0 if there is none.
    pub(crate) errno: i32,
    /// The kernel's message, if there is one.
    pub(crate) words: Option<String>,
}

impl Message<'_> {
    /// Returns whether what was asked for changed while it was being read.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.flags & libc::NLM_F_DUMP_INTR as u16 != 0
    }

    /// Returns what the message reports about the request, if it does: an error, or the end of a list.
    pub(crate) fn reply(&self) -> Option<Reply> {
        let is_error = self.kind == libc::NLMSG_ERROR as u16;
        if !is_error && self.kind != libc::NLMSG_DONE as u16 {
            return None;
        }
        let (errno, rest) = self.body.split_first_chunk().map_or((0, self.body), |(errno, rest)| {
            (i32::from_ne_bytes(*errno).checked_neg().unwrap_or(i32::MAX), rest)
        });
        let words = is_error.then(|| self.words(rest)).flatten();
        Some(Reply { sequence: self.sequence, errno, words })
    }

    /// Returns the string after the request that an error quotes.
    fn words(&self, quoted: &[u8]) -> Option<String> {
        if self.flags & libc::NLM_F_ACK_TLVS as u16 == 0 {
            return None;
        }
        let quoted_length = u32::from_ne_bytes(*quoted.first_chunk()?) as usize;
        let is_capped = self.flags & libc::NLM_F_CAPPED as u16 != 0;
        let skipped = if is_capped { HEAD } else { quoted_length.min(quoted.len()) };
        let attribute = Attributes(quoted.get(align(skipped)..)?).find(NLMSGERR_ATTR_MSG)?;
        Some(String::from_utf8_lossy(attribute.text()).into_owned())
    }
}

/// An iterator over the messages of a datagram. It ends if the rest is none; [`Messages::is_at_end`] then returns
/// whether there was a rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl Messages<'_> {
    /// Returns whether all of the datagram was messages.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        let length = u32::from_ne_bytes(*length) as usize;
        let body = self.0.get(HEAD..length)?;
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes(*kind),
            flags: u16::from_ne_bytes(*flags),
            sequence: u32::from_ne_bytes(*sequence),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::attributes::put_text;

    const HEAD_OF_ERROR: Head = Head { kind: libc::NLMSG_ERROR as u16, flags: 0x300, sequence: 9 };

    /// Returns an error as the kernel sends it with `NETLINK_CAP_ACK` and `NETLINK_EXT_ACK`: flags 0x300.
    fn error(errno: i32, words: &str) -> Vec<u8> {
        let mut buffer = Vec::new();
        write(&mut buffer, HEAD_OF_ERROR, |buffer| {
            buffer.extend_from_slice(&(-errno).to_ne_bytes());
            buffer.extend_from_slice(&[0; HEAD]);
            put_text(buffer, NLMSGERR_ATTR_MSG, words.as_bytes());
        });
        buffer
    }

    #[test]
    fn errors_carry_the_kernels_words() {
        let buffer = [error(libc::ENOENT, "no such chain"), error(libc::EBUSY, "busy")].concat();
        let mut messages = Messages(&buffer);
        let replies: Vec<_> = messages.by_ref().filter_map(|message| message.reply()).collect();
        let reply = |errno, words: &str| Reply { sequence: 9, errno, words: Some(words.into()) };
        assert_eq!(replies, [reply(libc::ENOENT, "no such chain"), reply(libc::EBUSY, "busy")]);
        assert!(messages.is_at_end());
    }

    #[test]
    fn a_last_message_without_padding_is_read() {
        let mut buffer = error(libc::ENOENT, "no");
        buffer.truncate(buffer.len() - 1);
        let length = buffer.len() as u32;
        buffer[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(Messages(&buffer).count(), 1);
    }

    /// Why messages are not read by `mnl`. If this fails, that has changed.
    #[test]
    fn mnl_panics_on_a_last_message_without_padding() {
        #[repr(align(4))]
        struct Aligned([u8; 20]);
        let mut buffer = Aligned([0; 20]);
        buffer.0[..4].copy_from_slice(&17_u32.to_ne_bytes());
        let read = |bytes: &[u8]| std::panic::catch_unwind(|| mnl::NlMessages::new(bytes).count());
        assert_eq!(read(&buffer.0).unwrap(), 1);
        assert!(read(&buffer.0[..17]).is_err());
        assert_eq!(Messages(&buffer.0[..17]).count(), 1);
    }

    /// Reads everything that can be read in a datagram.
    fn look_at_everything(buffer: &[u8]) -> usize {
        let mut messages = Messages(buffer);
        let seen = messages.by_ref().map(|message| {
            let reply = message.reply().and_then(|reply| reply.words).map_or(0, |words| words.len());
            reply + Attributes(message.body).map(|attribute| attribute.text().len()).sum::<usize>()
        });
        seen.sum::<usize>() + messages.0.len()
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            look_at_everything(&bytes);
        }

        #[test]
        fn no_broken_error_makes_it_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut buffer = [error(2, "a"), error(16, "some words")].concat();
            for (at, byte) in changes {
                let at = at.index(buffer.len());
                buffer[at] = byte;
            }
            buffer.truncate(cut.index(buffer.len()));
            look_at_everything(&buffer);
        }
    }
}
