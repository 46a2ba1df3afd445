//! Things that go on in the background while a test does something to the firewall: downloads and conversations that
//! must live on, and knocking that must never be answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::netns::Netns;
use crate::port::Proto;
use crate::probe::{Outcome, Probe, TIMEOUT};
use crate::wait::{patience, respite, wait_until};

/// The bytes of a stream from `position` on. The period is prime, so that a lost piece of any usual size shows.
pub(crate) fn pattern(position: u64, length: usize) -> Vec<u8> {
    (position..).take(length).map(|index| u8::try_from(index % 251).expect("below 251")).collect()
}

/// A download from a streaming service, received and checked in the background.
#[derive(Debug)]
pub struct Transfer {
    stream: TcpStream,
    state: Arc<Progress>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    fault: Mutex<Option<String>>,
    finishing: AtomicBool,
}

impl Netns {
    /// Starts a download from a [streaming service](Netns::serve_stream).
    pub fn download(&self, from: impl Into<SocketAddr>) -> Result<Transfer> {
        let probe = Probe::new(self, Proto::Tcp, from);
        let stream = self.run(|| probe.connect()).with_context(|| format!("no download, {probe}"))?;
        // A stall is for the test to notice, by asking whether bytes flow.
        stream.set_read_timeout(None)?;
        let state = Arc::new(Progress::default());
        let (received, progress) = (stream.try_clone()?, state.clone());
        let receiver = thread::spawn(move || progress.receive(received));
        Ok(Transfer { stream, state, receiver: Some(receiver) })
    }

    /// Opens a conversation with an [echo service](Netns::serve_echo).
    pub fn converse(&self, proto: Proto, with: impl Into<SocketAddr>) -> Result<Conversation> {
        let probe = Probe::new(self, proto, with);
        let open = || match proto {
            Proto::Tcp => greet(probe.connect()?),
            Proto::Udp => Ok(Line::Udp(probe.connect_udp()?)),
        };
        let line = self.run(open).with_context(|| format!("no conversation, {probe}"))?;
        Ok(Conversation { line })
    }

    /// Knocks on a port again and again, in the background, each time by a new connection.
    #[must_use]
    pub fn knock(&self, proto: Proto, on: impl Into<SocketAddr>) -> Knocker {
        // Several at once, for each waits for an answer that is not to come: together some 400 knocks a second. On a slow
        // machine, where all that they may notice takes longer, fewer: they must leave it the time to do anything else.
        let count = (8 / patience()).max(1);
        let probe = Probe::knock(self, proto, on);
        let state = Arc::new(Knocks::default());
        let workers = (0..count).map(|_| {
            let (probe, state, netns) = (probe.clone(), state.clone(), self.clone());
            thread::spawn(move || {
                netns.enter();
                state.go_on(&probe);
            })
        });
        let workers = workers.collect();
        Knocker { state, workers }
    }
}

impl Progress {
    fn receive(&self, stream: TcpStream) {
        if let Err(error) = self.check(stream)
            && !self.finishing.load(Ordering::SeqCst)
        {
            *self.fault.lock().expect("never poisoned") = Some(format!("{error:#}"));
        }
    }

    fn check(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut String::new())?;
        let mut buffer = [0; 4096];
        loop {
            let length = reader.read(&mut buffer)?;
            ensure!(length > 0, "the service closed the connection");
            let position = self.bytes.load(Ordering::SeqCst);
            let expected = pattern(position, length);
            ensure!(buffer.get(..length) == Some(&expected), "wrong bytes after {position} right ones");
            self.bytes.fetch_add(length as u64, Ordering::SeqCst);
        }
    }
}

impl Transfer {
    /// The bytes received so far.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.state.bytes.load(Ordering::SeqCst)
    }

    /// Waits for more bytes than there are now; an error if none come, or if the connection broke.
    pub fn assert_flowing(&self) -> Result<()> {
        let before = self.progress();
        // Long enough for a TCP retransmission or two, so that a packet lost at the switch is not taken for the end.
        wait_until(Duration::from_secs(3), "for a download to go on", || {
            (self.progress() > before || self.fault().is_some()).then_some(())
        })?;
        self.fault().map_or(Ok(()), |fault| bail!("a download broke: {fault}"))
    }

    /// Waits until nothing has arrived for `period`. Not at once after a drop of the acknowledgements: the service
    /// still sends what its congestion window allows.
    pub fn assert_stalls(&self, period: Duration) -> Result<()> {
        let mut last = (self.progress(), Instant::now());
        wait_until(period * 10, "for a download to stall", || {
            let now = self.progress();
            if now > last.0 {
                last = (now, Instant::now());
            }
            (last.1.elapsed() >= period).then_some(())
        })
    }

    /// Ends the download: the bytes received, or what went wrong on the way.
    pub fn finish(mut self) -> Result<u64> {
        let fault = self.fault();
        self.end();
        fault.map_or_else(|| Ok(self.progress()), |fault| bail!("a download broke: {fault}"))
    }

    fn fault(&self) -> Option<String> {
        self.state.fault.lock().expect("never poisoned").clone()
    }

    fn end(&mut self) {
        self.state.finishing.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Both);
        self.receiver.take().map(JoinHandle::join);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end();
    }
}

/// An open connection, or pair of UDP ports, over which a test speaks when it wants to.
#[derive(Debug)]
pub struct Conversation {
    line: Line,
}

#[derive(Debug)]
enum Line {
    Tcp(BufReader<TcpStream>),
    Udp(UdpSocket),
}

fn greet(stream: TcpStream) -> Result<Line> {
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut String::new())?;
    Ok(Line::Tcp(reader))
}

impl Conversation {
    /// Says a word (without a line break) and waits for its echo.
    pub fn say(&mut self, word: &str) -> Result<()> {
        let heard = match &mut self.line {
            Line::Tcp(reader) => speak(reader, word),
            Line::Udp(socket) => exchange(socket, word),
        };
        let heard = heard.with_context(|| format!("no echo of {word:?}"))?;
        ensure!(heard == word, "said {word:?} and heard {heard:?}");
        Ok(())
    }

    /// Says a word without waiting for its echo.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        match &mut self.line {
            Line::Tcp(reader) => writeln!(reader.get_mut(), "{word}")?,
            Line::Udp(socket) => drop(socket.send(word.as_bytes())?),
        }
        Ok(())
    }
}

fn speak(reader: &mut BufReader<TcpStream>, word: &str) -> std::io::Result<String> {
    writeln!(reader.get_mut(), "{word}")?;
    let mut heard = String::new();
    reader.read_line(&mut heard)?;
    Ok(heard.trim_end().to_owned())
}

fn exchange(socket: &UdpSocket, word: &str) -> std::io::Result<String> {
    socket.send(word.as_bytes())?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// Knocks in the background. Dropped, it stops.
#[derive(Debug)]
pub struct Knocker {
    state: Arc<Knocks>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Knocks {
    stop: AtomicBool,
    tried: AtomicU64,
    heard: AtomicU64,
    last: Mutex<Option<Outcome>>,
}

impl Knocks {
    fn go_on(&self, probe: &Probe) {
        while !self.stop.load(Ordering::SeqCst) {
            let outcome = probe.run_here();
            self.tried.fetch_add(1, Ordering::SeqCst);
            thread::sleep(respite());
            if !outcome.is_silent() {
                self.heard.fetch_add(1, Ordering::SeqCst);
                *self.last.lock().expect("never poisoned") = Some(outcome);
                // An open port answers at once; without a pause the knocks would fill the machine.
                thread::sleep(TIMEOUT / 20);
            }
        }
    }
}

impl Knocker {
    /// How often it has knocked so far.
    #[must_use]
    pub fn tried(&self) -> u64 {
        self.state.tried.load(Ordering::SeqCst)
    }

    /// How often anything at all came back.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.state.heard.load(Ordering::SeqCst)
    }

    /// Waits until it has knocked this many times more, so that what a test did was certainly knocked at.
    pub fn wait_for_more(&self, knocks: u64) -> Result<()> {
        let goal = self.tried() + knocks;
        wait_until(Duration::from_secs(10), "for knocks", || (self.tried() >= goal).then_some(()))
    }

    /// Stops, and gives the number of knocks if none was answered, else what came back.
    pub fn finish(mut self) -> Result<u64> {
        self.end();
        let last = self.state.last.lock().map_err(|_| anyhow!("a knocker panicked"))?.clone();
        match last {
            None => Ok(self.tried()),
            Some(outcome) => bail!("{} of {} knocks: last one {outcome}", self.answers(), self.tried()),
        }
    }

    fn end(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.workers.drain(..).for_each(|worker| drop(worker.join()));
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_piece_shows() {
        assert_eq!(pattern(0, 3), [0, 1, 2]);
        assert_eq!(pattern(250, 2), [250, 0]);
        assert_ne!(pattern(0, 512), pattern(512, 512));
    }
}
