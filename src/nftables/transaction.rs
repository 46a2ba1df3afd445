//! A transaction: operations that the kernel commits all at once, or not at all.

use dockfw_policy::engine::{EngineError, Refusal};
use dockfw_policy::ruleset::Origin;
use nix::errno::Errno;
use nix::libc;

use crate::netlink::attributes::put_number;
use crate::netlink::message::{self, Reply};
use crate::netlink::netfilter::{self, Head, Replies, Socket};
use crate::netlink::uapi::{NFNL_BATCH_GENID, msg};

/// The size at which a page of messages is full; with the largest message, 64 KiB, it ends below 256 KiB.
const FULL_PAGE: usize = 192 * 1024;
/// The buffer of a page.
const PAGE: usize = 256 * 1024;

/// The most bytes of a transaction that may as well be several. The kernel has a copy of each while it judges it.
const MOST_OF_MANY: usize = 16 * 1024 * 1024;

/// The kernel's count of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(pub(crate) u32);

impl Generation {
    /// Returns the generation after a transaction: the kernel skips 0 (`nf_tables_commit`, nf_tables_api.c).
    pub(crate) fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

/// Messages that begin, fill and end a transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    pages: Vec<Vec<u8>>,
    begin: u32,
    labels: Vec<Label>,
}

/// What a message does, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// The number of the message.
    sequence: u32,
    /// The kind of message.
    kind: u16,
    /// What it does, as in `add rule to chain input`.
    pub(crate) operation: String,
    /// The part of the policy that it is for.
    pub(crate) origin: Option<Origin>,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Someone else's was committed in between.
    Raced,
    /// The kernel's answer was lost: the transaction may have been committed after all.
    Unknown,
    /// The kernel refused these messages.
    Refused(Vec<(Label, Reply)>),
    /// Anything else.
    Engine(EngineError),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Raced => Self::Raced,
            Failure::Unknown => Self::Io {
                doing: "can't read the kernel's answer to a transaction".into(),
                source: Errno::ENOBUFS.into(),
            },
            Failure::Refused(refusals) => {
                Self::Refused(refusals.into_iter().map(|(label, reply)| refusal(label, &reply)).collect())
            }
            Failure::Engine(error) => error,
        }
    }
}

fn refusal(label: Label, reply: &Reply) -> Refusal {
    Refusal { operation: label.operation, origin: label.origin, reason: reason(reply) }
}

/// Returns the kernel's reason: its message if there is one, and the error.
pub(crate) fn reason(reply: &Reply) -> String {
    let error = Errno::from_raw(reply.errno).desc();
    reply.words.as_ref().map_or_else(|| error.to_string(), |words| format!("{error} ({words})"))
}

impl Transaction {
    /// Begins a transaction that fails if the kernel's ruleset is no longer of this generation.
    pub(crate) fn begin(socket: &mut Socket, expected: Option<Generation>) -> Self {
        let begin = socket.next_sequence();
        let mut transaction = Self { pages: vec![Vec::with_capacity(PAGE)], begin, labels: Vec::new() };
        transaction.write(batch(libc::NFNL_MSG_BATCH_BEGIN, begin), |buffer| {
            if let Some(Generation(generation)) = expected {
                put_number(buffer, NFNL_BATCH_GENID, generation);
            }
        });
        transaction
    }

    fn write(&mut self, head: Head, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.pages.last().is_none_or(|page| page.len() >= FULL_PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            netfilter::write(page, head, fill);
        }
    }

    /// Adds a message. It asks for no acknowledgement: the kernel would send one for each message, more than there is room
    /// for.
    pub(crate) fn push(
        &mut self,
        socket: &mut Socket,
        (kind, flags): (u16, u16),
        label: (String, Option<Origin>),
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let sequence = socket.next_sequence();
        let (operation, origin) = label;
        self.labels.push(Label { sequence, kind, operation, origin });
        let message = message::Head { kind: netfilter::NFTABLES | kind, flags, sequence };
        self.write(Head { message, family: netfilter::INET, resource: 0 }, fill);
    }

    /// Returns whether there is room for one more message in what is sent at once, if it need not be.
    pub(crate) fn has_room(&self, socket: &Socket) -> bool {
        self.bytes() + PAGE - FULL_PAGE < socket.max_datagram().min(MOST_OF_MANY)
    }

    /// Returns whether the kernel accepts it at once.
    pub(crate) fn fits(&self, socket: &Socket) -> bool {
        self.bytes() <= socket.max_datagram()
    }

    fn bytes(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    /// Lets the kernel commit it.
    pub(crate) fn commit(mut self, socket: &mut Socket) -> Result<(), Failure> {
        let sequence = socket.next_sequence();
        self.write(batch(libc::NFNL_MSG_BATCH_END, sequence), |_| {});
        self.send(socket)
    }

    /// Lets the kernel judge it: without its end, a transaction is discarded after all messages were checked.
    pub(crate) fn check(self, socket: &mut Socket) -> Result<(), Failure> {
        self.send(socket)
    }

    fn send(self, socket: &mut Socket) -> Result<(), Failure> {
        let replies = socket.transact(&self.pages)?;
        self.judge(replies)
    }

    fn judge(self, replies: Replies) -> Result<(), Failure> {
        let (of_all, of_messages): (Vec<_>, Vec<_>) =
            replies.errors.into_iter().partition(|reply| reply.sequence == self.begin);
        if let Some(reply) = of_all.first() {
            return Err(judge_begin(reply, self.begin));
        }
        if of_messages.is_empty() {
            return if replies.incomplete { Err(Failure::Unknown) } else { Ok(()) };
        }
        let unsupported = of_messages.iter().find(|reply| self.is_unsupported(reply));
        if let Some(reply) = unsupported {
            let reason = format!("the kernel has no nftables tables of the family inet: {}", reason(reply));
            return Err(EngineError::Unsupported(reason).into());
        }
        Err(Failure::Refused(of_messages.into_iter().map(|reply| (self.label(&reply), reply)).collect()))
    }

    /// Returns whether it was the table itself that the kernel can't create.
    fn is_unsupported(&self, reply: &Reply) -> bool {
        self.label(reply).kind == msg::NEWTABLE
            && matches!(Errno::from_raw(reply.errno), Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)
    }

    fn label(&self, reply: &Reply) -> Label {
        let label = self.labels.binary_search_by_key(&reply.sequence, |label| label.sequence).ok();
        label.and_then(|index| self.labels.get(index)).cloned().unwrap_or_else(|| whole(reply.sequence))
    }
}

/// Returns the label of the transaction as a whole.
fn whole(sequence: u32) -> Label {
    Label { sequence, kind: u16::MAX, operation: "commit the transaction".into(), origin: None }
}

fn batch(kind: i32, sequence: u32) -> Head {
    let resource = libc::NFNL_SUBSYS_NFTABLES as u16;
    let message = message::Head { kind: kind as u16, flags: message::REQUEST, sequence };
    Head { message, family: 0, resource }
}

/// Returns what an error about the transaction's beginning means: it concerns all of it.
fn judge_begin(reply: &Reply, begin: u32) -> Failure {
    match Errno::from_raw(reply.errno) {
        Errno::ERESTART => Failure::Raced,
        Errno::EPERM => Failure::Engine(EngineError::NotPermitted),
        Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT => {
            Failure::Engine(EngineError::Unsupported("the kernel has no nf_tables".into()))
        }
        _ => Failure::Refused(vec![(whole(begin), reply.clone())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction() -> Transaction {
        let label = |sequence, kind, operation: &str| Label {
            sequence,
            kind,
            operation: operation.into(),
            origin: None,
        };
        let labels = vec![label(2, msg::NEWTABLE, "add table"), label(3, msg::NEWRULE, "add rule")];
        Transaction { pages: Vec::new(), begin: 1, labels }
    }

    fn judge(errors: &[(u32, Errno)], incomplete: bool) -> Result<(), EngineError> {
        let reply = |(sequence, errno): &(u32, Errno)| Reply {
            sequence: *sequence,
            errno: *errno as i32,
            words: Some("why".into()),
        };
        let errors = errors.iter().map(reply).collect();
        transaction().judge(Replies { errors, incomplete }).map_err(EngineError::from)
    }

    #[test]
    fn an_error_of_the_beginning_is_one_of_all() {
        assert!(matches!(judge(&[(1, Errno::ERESTART)], false), Err(EngineError::Raced)));
        assert!(matches!(judge(&[(1, Errno::EPERM)], false), Err(EngineError::NotPermitted)));
        assert!(matches!(judge(&[(1, Errno::EOPNOTSUPP)], false), Err(EngineError::Unsupported(_))));
    }

    #[test]
    fn every_refused_message_is_named() {
        let Err(EngineError::Refused(refusals)) = judge(&[(2, Errno::EBUSY), (3, Errno::ENOENT)], false)
        else {
            panic!("not refused")
        };
        let shown: Vec<_> = refusals.iter().map(Refusal::to_string).collect();
        assert_eq!(
            shown,
            ["add table: Device or resource busy (why)", "add rule: No such file or directory (why)"]
        );
    }

    #[test]
    fn a_kernel_without_such_tables_is_not_supported() {
        let result = judge(&[(2, Errno::EAFNOSUPPORT), (3, Errno::ENOENT)], false);
        assert!(matches!(result, Err(EngineError::Unsupported(_))));
    }

    #[test]
    fn lost_answers_are_neither_success_nor_refusal() {
        assert!(judge(&[], false).is_ok());
        assert!(matches!(judge(&[], true), Err(EngineError::Io { .. })));
        assert!(matches!(judge(&[(3, Errno::ENOENT)], true), Err(EngineError::Refused(_))));
    }
}
