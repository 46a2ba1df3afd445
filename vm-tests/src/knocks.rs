//! Knocking on a machine from an untrusted address: on every port of interest, over both protocols and both families,
//! without a pause, and whether or not anybody is there. Anything that comes back is an answer: what the machine has not
//! dropped, it refuses at least.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dockfw_lab::{Body, Heard, Netns, Packet, Sender, Sniffer, TcpFlags, wait_until};

use crate::lock;
use crate::wire::{HARDWARE_ADDRESS, HOST, INTERFACE, UNTRUSTED};

/// Of the machine: sshd, nobody, its own service, and a published port whose number is another one in the container.
const PORTS: [u16; 4] = [SSH, 3000, 9000, 8080];
/// What the fail-safe leaves open.
pub(crate) const SSH: u16 = 22;
/// The first container on docker0, at the port that it listens on.
const CONTAINER: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2)), 80);
/// A round of knocks takes this long: some 50 knocks in a tenth of a second of a boot.
const ROUND: Duration = Duration::from_millis(40);
/// The knocks' own ports: below those of the kernel's choice (32768 to 60999), by which the same client uses what is open.
const OWN_PORTS: Range<u16> = 10_000..30_000;
/// Neighbour discovery, RFC 4861: 133 to 137. It always passes (S10).
const NEIGHBOUR_DISCOVERY: RangeInclusive<u8> = 133..=137;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The rounds of all knocking, each from a port of its own: a server repeats its answers, and none of them may be taken
/// for one to a later knock.
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// What answers: a protocol, an address and, of TCP, a port.
type Kind = (u8, IpAddr, u16);

/// An answer, and when the knock went out.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    asked: Instant,
    heard: Heard,
}

/// The knocking. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Knocking {
    state: Arc<State>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    sent: AtomicU64,
    /// When each port was last knocked from.
    asked: Mutex<BTreeMap<u16, Instant>>,
    answers: Mutex<Vec<Answer>>,
}

impl Knocking {
    /// Knocks on all ports but `open`, from now on.
    pub(crate) fn start(untrusted: &Netns, open: &'static [u16]) -> Result<Self> {
        let state = Arc::new(State::default());
        let sender = Sender::new(untrusted, INTERFACE, HARDWARE_ADDRESS)?;
        let sniffer = Sniffer::new(untrusted, INTERFACE, ROUND)?;
        let (speaking, listening) = (state.clone(), state.clone());
        let threads = vec![
            thread::spawn(move || speaking.knock(&sender, open)),
            thread::spawn(move || listening.listen(&sniffer)),
        ];
        Ok(Self { state, threads })
    }

    /// Waits until each port was knocked on a few times more.
    pub(crate) fn go_on(&self) -> Result<()> {
        let goal = self.sent() + 200;
        wait_until(Duration::from_secs(60), "for knocks", || (self.sent() >= goal).then_some(()))
    }

    /// Waits until knocks of every kind are answered, and ends: that there is silence later means something then. With
    /// `container`, those at its own address too.
    pub(crate) fn expect_answers(self, container: bool) -> Result<()> {
        let unanswered = || -> Vec<Kind> {
            let answered: BTreeSet<_> = self.answers().iter().map(|answer| kind_of(&answer.heard)).collect();
            kinds(container).difference(&answered).copied().collect()
        };
        wait_until(Duration::from_secs(60), "for answers to knocks", || {
            unanswered().is_empty().then_some(())
        })
        .with_context(|| format!("none as (protocol, address, port): {:?}", unanswered()))?;
        self.finish().map(drop)
    }

    /// Ends, and fails if anything was answered.
    pub(crate) fn expect_silence(self) -> Result<String> {
        let (sent, answers) = self.finish()?;
        match answers.first() {
            None => Ok(format!("{sent} knocks")),
            Some(first) => bail!("{} answers to {sent} knocks, the first: {}", answers.len(), first),
        }
    }

    /// Ends, and tells for how long knocks were answered; none may be that went out after `closed`. Of a connection that
    /// was begun before, a server repeats its answer for a minute.
    pub(crate) fn gap(self, closed: Instant) -> Result<Duration> {
        let (_, answers) = self.finish()?;
        gap(&answers, closed)
    }

    fn finish(mut self) -> Result<(u64, Vec<Answer>)> {
        self.state.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().ok().context("a thread that knocks panicked")??;
        }
        Ok((self.sent(), self.answers()))
    }

    fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    fn answers(&self) -> Vec<Answer> {
        lock(&self.state.answers).clone()
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn knock(&self, sender: &Sender, open: &[u16]) -> Result<()> {
        loop {
            // Of another port each round: a flow that was let through once is let through from then on (S9).
            let from = next_port();
            let round = Instant::now();
            lock(&self.asked).insert(from, round);
            for packet in round_of(from, open) {
                if self.stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                sender.send(&packet)?;
                self.sent.fetch_add(1, Ordering::SeqCst);
            }
            thread::sleep(ROUND.saturating_sub(round.elapsed()));
        }
    }

    fn listen(&self, sniffer: &Sniffer) -> Result<()> {
        while !self.stop.load(Ordering::SeqCst) {
            let answer = sniffer.next()?.and_then(|heard| self.answer(heard));
            lock(&self.answers).extend(answer);
        }
        Ok(())
    }

    /// What was heard as the answer to a knock, if it is one.
    fn answer(&self, heard: Heard) -> Option<Answer> {
        let asked = match heard.protocol {
            TCP | UDP => *lock(&self.asked).get(&port_at(&heard.payload, 2)?)?,
            _ => Instant::now(),
        };
        is_answer(&heard).then_some(Answer { asked, heard })
    }
}

fn next_port() -> u16 {
    let round = ROUNDS.fetch_add(1, Ordering::SeqCst) % u32::from(OWN_PORTS.end - OWN_PORTS.start);
    OWN_PORTS.start + round as u16
}

fn gap(answers: &[Answer], closed: Instant) -> Result<Duration> {
    let asked = || answers.iter().map(|answer| answer.asked);
    if let Some(late) = answers.iter().find(|answer| answer.asked >= closed) {
        bail!("still answered: {late}");
    }
    Ok(asked().max().zip(asked().min()).map(|(last, first)| last - first).unwrap_or_default())
}

fn round_of(from: u16, open: &[u16]) -> Vec<Packet> {
    let of_host = PORTS.iter().flat_map(|port| HOST.map(|address| (address, *port)));
    let targets = of_host.filter(|(_, port)| !open.contains(port)).chain([CONTAINER]);
    targets.flat_map(|(to, port)| [tcp(from, to, port), udp(from, to, port)]).collect()
}

/// All that answer where dockfw drops nothing. A datagram that nobody wants is answered with ICMP, of which the kernel sends
/// but a few in a second: it is all one for which port.
fn kinds(container: bool) -> BTreeSet<Kind> {
    let of_host = PORTS.iter().flat_map(|port| HOST.map(|address| (TCP, address, *port)));
    let refusals = HOST.map(|address| (icmp_of(address), address, 0));
    // Docker lets through there what is published, over TCP.
    let of_container = container.then_some((TCP, CONTAINER.0, CONTAINER.1));
    of_host.chain(refusals).chain(of_container).collect()
}

fn kind_of(heard: &Heard) -> Kind {
    let port = if heard.protocol == TCP { port_at(&heard.payload, 0).unwrap_or_default() } else { 0 };
    (heard.protocol, heard.source, port)
}

fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { ICMP } else { ICMPV6 }
}

fn tcp(from: u16, destination: IpAddr, to: u16) -> Packet {
    let body = Body::Tcp { from, to, flags: TcpFlags::SYN };
    Packet::of(source_to(destination), destination, from, body)
}

fn udp(from: u16, destination: IpAddr, to: u16) -> Packet {
    let body = Body::Udp { from, to, payload: b"knock".to_vec() };
    Packet::of(source_to(destination), destination, from, body)
}

fn source_to(destination: IpAddr) -> IpAddr {
    let [v4, v6] = UNTRUSTED;
    if destination.is_ipv4() { v4 } else { v6 }
}

fn is_answer(heard: &Heard) -> bool {
    let first = heard.payload.first().copied().unwrap_or_default();
    // While Docker's bridge is not there, routing has nowhere to send what is for the container, and says so before any
    // filter but prerouting sees the packet.
    let is_no_route =
        matches!((heard.protocol, heard.payload.get(..2)), (ICMP, Some([3, 0])) | (ICMPV6, Some([1, 0])));
    let is_discovery = heard.protocol == ICMPV6 && NEIGHBOUR_DISCOVERY.contains(&first);
    UNTRUSTED.contains(&heard.destination) && !is_discovery && !is_no_route
}

/// TCP and UDP begin with the ports, source first.
fn port_at(payload: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(payload.get(offset..offset + 2)?.try_into().ok()?))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heard { source, protocol, payload, .. } = &self.heard;
        let port = port_at(payload, 0).unwrap_or_default();
        match *protocol {
            TCP => write!(f, "TCP from port {port} of {source}"),
            UDP => write!(f, "UDP from port {port} of {source}"),
            other => write!(f, "protocol {other} from {source}, {:02x?}", payload.get(..2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(protocol: u8, payload: &[u8]) -> Heard {
        Heard { source: HOST[0], destination: UNTRUSTED[0], protocol, payload: payload.to_vec() }
    }

    fn to_port(port: u16) -> Heard {
        heard(TCP, &[&[0, 22], port.to_be_bytes().as_slice(), &[0x14]].concat())
    }

    fn knocked_from(port: u16) -> (State, Instant) {
        let (state, now) = (State::default(), Instant::now());
        lock(&state.asked).insert(port, now);
        (state, now)
    }

    #[test]
    fn refusals_are_answers() {
        let (state, asked) = knocked_from(OWN_PORTS.start);
        assert_eq!(state.answer(to_port(OWN_PORTS.start)).unwrap().asked, asked);
        assert!(state.answer(heard(ICMP, &[3, 3])).is_some(), "port unreachable");
        assert!(state.answer(heard(ICMP, &[3, 1])).is_some(), "host unreachable: it was forwarded");
    }

    #[test]
    fn kinds_are_told_by_what_answers() {
        assert!(kinds(false).contains(&kind_of(&to_port(OWN_PORTS.start))), "from port 22 of the host");
        assert!(kinds(false).contains(&kind_of(&heard(ICMP, &[3, 3]))));
        assert!(!kinds(false).contains(&kind_of(&heard(UDP, &[0, 22, 0, 1]))));
        assert_eq!([kinds(false).len(), kinds(true).len()], [10, 11]);
    }

    #[test]
    fn what_belongs_to_no_knock_is_none() {
        let (state, _) = knocked_from(OWN_PORTS.start);
        assert!(state.answer(to_port(40_000)).is_none());
        assert!(state.answer(to_port(OWN_PORTS.start + 1)).is_none(), "knocked from by another");
        assert!(state.answer(heard(TCP, &[0])).is_none());
        assert!(state.answer(heard(ICMPV6, &[135, 0])).is_none(), "neighbour solicitation");
        assert!(state.answer(Heard { destination: HOST[1], ..heard(ICMP, &[3, 3]) }).is_none());
        assert!(state.answer(heard(ICMP, &[3, 0])).is_none(), "no route");
    }

    #[test]
    fn a_gap_lasts_from_the_first_knock_that_was_answered_to_the_last() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let answers = |asked: &[u64]| -> Vec<_> {
            asked
                .iter()
                .map(|asked| Answer { asked: after(*asked), heard: to_port(OWN_PORTS.start) })
                .collect()
        };
        assert_eq!(gap(&[], after(100)).unwrap(), Duration::ZERO);
        // An answer that is repeated comes after those to later knocks.
        assert_eq!(gap(&answers(&[10, 40, 20]), after(100)).unwrap(), Duration::from_millis(30));
        assert!(gap(&answers(&[10, 100]), after(100)).is_err());
    }

    #[test]
    fn no_two_rounds_in_a_row_are_from_one_port() {
        let ports = [next_port(), next_port()];
        assert!(ports[0] != ports[1] && ports.iter().all(|port| OWN_PORTS.contains(port)));
    }

    #[test]
    fn nothing_open_is_knocked_on() {
        let ports = |open| round_of(OWN_PORTS.start, open).len();
        assert_eq!(ports(&[]), 2 * (PORTS.len() * 2 + 1));
        assert_eq!(ports(&[SSH]), ports(&[]) - 4);
    }
}
