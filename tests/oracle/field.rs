//! What the driver, the senders and the listener share.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use dockfw_lab::patience;

use crate::epochs::{Epoch, Mask};
use crate::fixture::OracleFixture;
use crate::frames::Tag;
use crate::judge::{Judge, Tally};
use crate::ledger::{Ledger, OutOfOrder, Sent};
use crate::streams::Stream;
use crate::verdicts::Policies;

/// How long it takes at most until a packet that must arrive has arrived. A millisecond is usual.
const HEARD: Duration = Duration::from_secs(20);

/// The field under fire.
pub(crate) struct Field<'a> {
    pub(crate) fixture: &'a OracleFixture,
    pub(crate) policies: &'a Policies,
    pub(crate) streams: &'a [Stream],
    senders: Vec<SharedLedger>,
    judge: Mutex<Judge<'a>>,
    epoch: AtomicU32,
    /// The policies that may be in force.
    candidates: AtomicU32,
    over: AtomicBool,
}

/// A sender's ledger, and a bell that rings when packets of it were settled.
struct SharedLedger {
    ledger: Mutex<Ledger>,
    settled: Condvar,
}

impl<'a> Field<'a> {
    /// A field with so many senders.
    pub(crate) fn new(
        fixture: &'a OracleFixture,
        policies: &'a Policies,
        streams: &'a [Stream],
        first: Epoch,
        senders: usize,
    ) -> Self {
        let shared =
            || SharedLedger { ledger: Mutex::new(Ledger::new(streams.len())), settled: Condvar::new() };
        Self {
            fixture,
            policies,
            streams,
            senders: (0..senders).map(|_| shared()).collect(),
            judge: Mutex::new(Judge::new(policies, streams, first)),
            epoch: AtomicU32::new(0),
            candidates: AtomicU32::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Opens an epoch: from here on senders send under its number.
    pub(crate) fn open(&self, epoch: Epoch) -> u32 {
        let [v4, v6] = epoch.candidates;
        self.candidates.store(v4 | v6, Ordering::Relaxed);
        let number = lock(&self.judge).open(epoch);
        self.epoch.store(number, Ordering::SeqCst);
        number
    }

    /// The policies that may be in force, for those who want to send what these treat differently.
    pub(crate) fn candidates(&self) -> Mask {
        self.candidates.load(Ordering::Relaxed)
    }

    /// Waits until all that was sent under earlier numbers has been judged by the host.
    pub(crate) fn pass(&self, epoch: u32) -> Result<()> {
        for shared in &self.senders {
            let held = shared.wait(|ledger| self.is_over() || ledger.behind(epoch).is_none());
            ensure!(!self.is_over(), "the flood has ended");
            if let (false, Some(stream)) = held {
                bail!(self.silence(&[stream]));
            }
        }
        Ok(())
    }

    /// Waits until so many more packets were settled.
    pub(crate) fn linger(&self, packets: u64) -> Result<()> {
        let each = packets.div_ceil(self.senders.len() as u64);
        for shared in &self.senders {
            let enough = lock(&shared.ledger).settled + each;
            let (held, _) = shared.wait(|ledger| self.is_over() || ledger.settled >= enough);
            ensure!(held && !self.is_over(), "the flood has ended");
        }
        Ok(())
    }

    /// Notes what a sender is about to send, under the number of the epoch that it is.
    pub(crate) fn note(&self, sender: usize, stream: usize, sent: impl FnOnce(u32) -> Sent) -> u32 {
        let mut ledger = lock(&self.senders[sender].ledger);
        ledger.note(stream, sent(self.epoch.load(Ordering::SeqCst)))
    }

    /// Waits while a sender has so many packets open, but not for long; gives the streams that have any, where that was in vain.
    pub(crate) fn wait_for_room(&self, sender: usize, limit: usize, time: Duration) -> Vec<usize> {
        let shared = &self.senders[sender];
        let ledger = lock(&shared.ledger);
        if ledger.open < limit {
            return Vec::new();
        }
        // Once it waits, for more than a packet's worth of room: else it would wait again at once.
        let full = |ledger: &mut Ledger| ledger.open >= limit / 2;
        let (ledger, waited) =
            shared.settled.wait_timeout_while(ledger, time, full).unwrap_or_else(PoisonError::into_inner);
        let open = (0..self.streams.len()).filter(|stream| ledger.is_open(*stream));
        if waited.timed_out() { open.collect() } else { Vec::new() }
    }

    /// What it means if nothing is heard of these streams, in words.
    pub(crate) fn silence(&self, streams: &[usize]) -> String {
        let named: Vec<_> = streams.iter().map(|stream| self.streams[*stream].to_string()).collect();
        format!("nothing arrives any more of what a trusted source sends: {}", named.join("; "))
    }

    /// Settles packets that were heard.
    pub(crate) fn hear(&self, tags: &[Tag]) -> Result<()> {
        let mut judge = lock(&self.judge);
        for tag in tags {
            let (stream, Some(shared)) = (usize::from(tag.stream), self.senders.get(usize::from(tag.sender)))
            else {
                continue;
            };
            let settled = lock(&shared.ledger)
                .hear(stream, tag.number, |sent, arrived| judge.hold(stream, sent, arrived));
            if let Err(OutOfOrder) = settled {
                bail!(
                    "packets were heard twice, or in another order than they were sent: {}",
                    self.streams[stream]
                );
            }
        }
        self.senders.iter().for_each(|shared| shared.settled.notify_all());
        Ok(())
    }

    /// What may be in force, as far as was seen.
    pub(crate) fn left(&self) -> [Mask; 2] {
        lock(&self.judge).left()
    }

    /// What came of all packets so far.
    pub(crate) fn tally(&self) -> Tally {
        lock(&self.judge).tally.clone()
    }

    /// How many packets were held against the walk, and how many of these came out wrong.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let judge = lock(&self.judge);
        (judge.tally.packets(), judge.tally.wrong())
    }

    /// Ends the flood.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.senders.iter().for_each(|shared| shared.settled.notify_all());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

impl SharedLedger {
    /// Waits until something holds of the ledger: whether it does, and the stream that is furthest behind.
    fn wait(&self, holds: impl Fn(&Ledger) -> bool) -> (bool, Option<usize>) {
        let deadline = Instant::now() + HEARD * patience();
        let mut ledger = lock(&self.ledger);
        while !holds(&ledger) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (false, ledger.furthest_behind());
            }
            ledger = self.settled.wait_timeout(ledger, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (true, None)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
