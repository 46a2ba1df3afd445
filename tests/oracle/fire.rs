//! The senders: a thread on each of two processors, which send as fast as what they sent is settled.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Dice, Sender, patience, wait_until};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::aim::{Aim, Shot};
use crate::epochs::Mask;
use crate::field::Field;
use crate::fixture::OracleFixture;
use crate::frames::{Headers, Tag, frame};
use crate::ledger::Sent;
use crate::sources::Sources;
use crate::verdicts::Source;

/// How many packets of a sender may be on the way: fewer than wait in a processor's queue (net.core.netdev_max_backlog is 1000),
/// with those that they beget when they are forwarded.
const ON_THE_WAY: usize = 240;
/// How many packets are sent on a stream before the next one's turn, at most, beside the one that always arrives.
const SALVO: usize = 8;
/// Of how many packets that are thought of the best one is sent.
const TRIES: usize = 4;
/// How long a sender waits for packets to be settled before it sends some that always arrive, the first time.
const WAIT: Duration = Duration::from_millis(5);
/// And the last time: longer than it takes until all that is on the way has arrived.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The source ports are used one after the other. Connection tracking forgets a packet within two seconds.
const FORGOTTEN: Duration = Duration::from_secs(4);
const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 65_536 - FIRST_PORT;

/// The processors that senders have to themselves: two at most, so that something is left to who applies.
pub(crate) fn processors() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let numbers = (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap_or_default());
    Ok(numbers.take(2).collect())
}

/// A sender.
pub(crate) struct Flood<'a> {
    field: &'a Field<'a>,
    number: usize,
    processor: usize,
    /// One for each link.
    senders: Vec<Sender>,
    sources: Sources<'a>,
    aim: Aim<'a>,
    /// What the container sends as.
    own: Vec<Option<Source>>,
    /// The source ports of each stream.
    ports: Vec<Ports>,
    tracking: Tracking,
    dice: Dice,
}

impl<'a> Flood<'a> {
    pub(crate) fn new(
        field: &'a Field<'a>,
        (number, processor): (usize, usize),
        peculiar: &[&[IpAddr]],
        mut dice: Dice,
    ) -> Result<Self> {
        let fixture = field.fixture;
        let sources = Sources::new(field.policies, peculiar, &mut dice);
        let own = |own: Option<IpAddr>| own.map(|address| field.policies.source(address));
        Ok(Self {
            field,
            number,
            processor,
            senders: fixture.links.iter().map(|link| link.sender(&fixture.host)).collect::<Result<_>>()?,
            sources,
            aim: Aim::new(field.policies),
            own: field.streams.iter().map(|stream| own(stream.own_source)).collect(),
            ports: vec![Ports::new(); field.streams.len()],
            tracking: Tracking::of(fixture)?,
            dice,
        })
    }

    /// Sends until the flood is over.
    pub(crate) fn run(mut self) -> Result<()> {
        let mut own = CpuSet::new();
        own.set(self.processor)?;
        sched_setaffinity(Pid::from_raw(0), &own).context("cannot stay on one processor")?;
        while !self.field.is_over() {
            self.tracking.wait_for_room()?;
            self.sources.refresh(&mut self.dice);
            let (first, all) = (self.dice.roll(self.field.streams.len()), self.field.streams.len());
            for stream in (first..all).chain(0..first) {
                self.wait_for_room()?;
                self.salvo(stream)?;
            }
        }
        Ok(())
    }

    /// Packets at random, and one that arrives under every policy. While policies change, no more than one that would show nothing.
    fn salvo(&mut self, stream: usize) -> Result<()> {
        let candidates = self.field.candidates();
        let is_changing = candidates.count_ones() > 1;
        for _ in 0..self.dice.roll(SALVO) {
            let shots: Vec<_> = (0..TRIES).map(|_| self.random(stream, candidates)).collect();
            let best = self.aim.best(candidates, (stream, &self.field.streams[stream]), &shots);
            let best = best.filter(|_| is_changing);
            self.shoot(stream, best.unwrap_or(shots[0]))?;
            if is_changing && best.is_none() {
                break;
            }
        }
        self.shoot_trusted(stream)
    }

    fn random(&mut self, number: usize, candidates: Mask) -> Shot {
        let stream = &self.field.streams[number];
        let source = match self.own[number] {
            Some(own) if self.dice.one_in(2) => own,
            _ => self.sources.pick(&mut self.dice, stream.family as usize, candidates),
        };
        (source, self.dice.pick(&stream.ports))
    }

    fn shoot_trusted(&mut self, stream: usize) -> Result<()> {
        let source = self.sources.trusted[self.field.streams[stream].family as usize];
        let to = self.dice.pick(&self.field.streams[stream].ports);
        self.shoot(stream, (source, to))
    }

    fn shoot(&mut self, number: usize, (source, to): Shot) -> Result<()> {
        let stream = &self.field.streams[number];
        let from = self.ports[number].next(self.number)?;
        let sent = |epoch| Sent { source, from, to, epoch, at: Instant::now() };
        let tag = Tag {
            sender: self.number as u8,
            stream: number as u8,
            number: self.field.note(self.number, number, sent),
        };
        let (source, destination, transport) = (source.address, stream.destination, stream.transport);
        let headers = Headers { source, destination, transport, from, to };
        let sender = &self.senders[stream.link];
        sender.send_frame(&frame(sender.hardware_addresses(), &headers, tag)).context("cannot send")
    }

    /// Waits until few packets are on the way. Where nobody can tell what became of them, packets that arrive settle that: each time
    /// after twice as long, or a slow host would get them faster than it takes them.
    fn wait_for_room(&mut self) -> Result<()> {
        let mut wait = WAIT;
        loop {
            let open = self.field.wait_for_room(self.number, ON_THE_WAY, wait);
            if open.is_empty() || self.field.is_over() {
                return Ok(());
            }
            ensure!(wait < LONGEST_WAIT * patience(), "{}", self.field.silence(&open));
            for stream in open {
                self.shoot_trusted(stream)?;
            }
            wait *= 2;
        }
    }
}

/// The source ports of a stream, no two of one sender's packets from the same one within the memory of connection tracking.
#[derive(Clone)]
struct Ports {
    used: u32,
    lap: Instant,
}

impl Ports {
    fn new() -> Self {
        Self { used: 0, lap: Instant::now() }
    }

    /// The next one; of two senders one has the even ones, and one the odd ones.
    fn next(&mut self, sender: usize) -> Result<u16> {
        if self.used == PORTS / 2 {
            let forgotten = || (self.lap.elapsed() >= FORGOTTEN).then_some(());
            wait_until(FORGOTTEN, "for connections to be forgotten", forgotten)?;
            *self = Self::new();
        }
        self.used += 1;
        Ok((FIRST_PORT + 2 * (self.used - 1) + sender as u32) as u16)
    }
}

/// How full connection tracking is.
struct Tracking {
    count: File,
    most: u64,
    path: String,
}

impl Tracking {
    fn of(fixture: &OracleFixture) -> Result<Self> {
        let path = "/proc/sys/net/netfilter/nf_conntrack_count".to_owned();
        let most = fixture.host.sysctl("net.netfilter.nf_conntrack_max")?;
        let count = fixture.host.run(|| File::open(&path)).with_context(|| format!("cannot open {path}"))?;
        Ok(Self { count, most: most.parse()?, path })
    }

    /// Waits until it has room for as many connections again: what does not fit is dropped, and not by a firewall.
    fn wait_for_room(&mut self) -> Result<()> {
        wait_until(Duration::from_secs(60), "for room in connection tracking", || {
            self.count().ok().filter(|count| count * 2 < self.most)
        })
        .with_context(|| self.path.clone())
        .map(drop)
    }

    fn count(&mut self) -> Result<u64> {
        let mut text = [0; 32];
        let length = self.count.read_at(&mut text, 0)?;
        Ok(String::from_utf8_lossy(&text[..length]).trim().parse()?)
    }
}
