//! What one sender has sent and nobody knows the fate of yet. Pure.
//!
//! The packets of a stream are heard in the order in which they were sent. So one that is heard settles all before it: what was not
//! heard by then was dropped.

use std::collections::VecDeque;
use std::time::Instant;

use crate::verdicts::Source;

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) source: Source,
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// The number of the epoch that it was sent under.
    pub(crate) epoch: u32,
    pub(crate) at: Instant,
}

/// The packets of a sender, stream by stream.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    streams: Vec<Stream>,
    /// How many packets nobody knows the fate of.
    pub(crate) open: usize,
    /// How many it knows the fate of.
    pub(crate) settled: u64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    open: VecDeque<Sent>,
    /// The number of the first that is open.
    first: u32,
    /// The epoch of the last that was heard.
    epoch: Option<u32>,
}

/// A packet that was heard after one that was sent later, or twice: the order is not kept, and so nothing can be said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Ledger {
    pub(crate) fn new(streams: usize) -> Self {
        Self { streams: vec![Stream::default(); streams], ..Self::default() }
    }

    /// Notes a packet that is about to be sent, and gives its number.
    pub(crate) fn note(&mut self, stream: usize, sent: Sent) -> u32 {
        self.open += 1;
        let stream = &mut self.streams[stream];
        stream.open.push_back(sent);
        stream.first.wrapping_add(stream.open.len() as u32 - 1)
    }

    /// Settles a packet that was heard and all before it: says of each whether it arrived.
    pub(crate) fn hear(
        &mut self,
        stream: usize,
        number: u32,
        mut settle: impl FnMut(&Sent, bool),
    ) -> Result<(), OutOfOrder> {
        let stream = &mut self.streams[stream];
        let place = number.wrapping_sub(stream.first) as usize;
        if place >= stream.open.len() {
            return Err(OutOfOrder);
        }
        for (index, sent) in stream.open.drain(..=place).enumerate() {
            settle(&sent, index == place);
            stream.epoch = Some(sent.epoch);
        }
        stream.first = number.wrapping_add(1);
        self.open -= place + 1;
        self.settled += place as u64 + 1;
        Ok(())
    }

    /// The first stream of which nothing was heard that was sent under this number or a later one.
    pub(crate) fn behind(&self, epoch: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.epoch.is_none_or(|heard| heard < epoch))
    }

    /// The stream of which nothing was heard for the longest time.
    pub(crate) fn furthest_behind(&self) -> Option<usize> {
        let streams = self.streams.iter().enumerate();
        streams.min_by_key(|(_, stream)| stream.epoch).map(|(number, _)| number)
    }

    /// Whether a stream has packets that nobody knows the fate of.
    pub(crate) fn is_open(&self, stream: usize) -> bool {
        !self.streams[stream].open.is_empty()
    }
}

trials![
    what_is_heard_settles_what_was_sent_before,
    streams_know_nothing_of_each_other,
    order_is_not_taken_for_granted,
];

fn sent(epoch: u32) -> Sent {
    let source = Source { address: [10, 0, 0, 1].into(), lists: 0 };
    Sent { source, from: 1, to: 2, epoch, at: Instant::now() }
}

fn fates(ledger: &mut Ledger, stream: usize, number: u32) -> Result<Vec<(u32, bool)>, OutOfOrder> {
    let mut fates = Vec::new();
    ledger.hear(stream, number, |sent, arrived| fates.push((sent.epoch, arrived)))?;
    Ok(fates)
}

fn what_is_heard_settles_what_was_sent_before() {
    let mut ledger = Ledger::new(1);
    assert_eq!([0, 1, 2, 3].map(|epoch| ledger.note(0, sent(epoch))), [0, 1, 2, 3]);
    assert_eq!(ledger.behind(0), Some(0));
    assert_eq!(fates(&mut ledger, 0, 2), Ok(vec![(0, false), (1, false), (2, true)]));
    assert_eq!((ledger.open, ledger.settled, ledger.behind(2), ledger.behind(3)), (1, 3, None, Some(0)));
    assert_eq!(fates(&mut ledger, 0, 3), Ok(vec![(3, true)]));
    assert!(!ledger.is_open(0));
}

fn streams_know_nothing_of_each_other() {
    let mut ledger = Ledger::new(2);
    ledger.note(0, sent(0));
    ledger.note(1, sent(0));
    assert_eq!(fates(&mut ledger, 1, 0), Ok(vec![(0, true)]));
    assert_eq!((ledger.is_open(0), ledger.is_open(1), ledger.behind(0)), (true, false, Some(0)));
}

fn order_is_not_taken_for_granted() {
    let mut ledger = Ledger::new(1);
    ledger.note(0, sent(0));
    ledger.note(0, sent(0));
    assert!(fates(&mut ledger, 0, 1).is_ok());
    assert_eq!(fates(&mut ledger, 0, 0), Err(OutOfOrder));
    assert_eq!(fates(&mut ledger, 0, 1), Err(OutOfOrder));
    assert_eq!(fates(&mut ledger, 0, 2), Err(OutOfOrder));
}
