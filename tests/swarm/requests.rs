//! A client that goes on asking while a test does something to the firewall: each of its requests must be answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use dockfw_lab::{Netns, Proto, respite, wait_until};

/// Requests that go on in the background, by a new connection each.
pub(crate) struct Requests {
    client: Netns,
    state: Arc<State>,
    resent: u64,
    workers: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Requests {
    /// Asks at each of these places for the service of this name.
    pub(crate) fn start(client: &Netns, places: Vec<SocketAddr>, name: &'static str) -> Result<Self> {
        let state = Arc::new(State::default());
        let workers = places.into_iter().map(|place| {
            let (client, state) = (client.clone(), state.clone());
            thread::spawn(move || ask(&client, place, name, &state))
        });
        let workers = workers.collect();
        Ok(Self { client: client.clone(), state, resent: resent(client)?, workers })
    }

    /// Waits until so many more were answered.
    pub(crate) fn wait_for_more(&self, count: u64) -> Result<()> {
        let answered = || self.state.answered.load(Ordering::SeqCst);
        let goal = answered() + count;
        wait_until(Duration::from_secs(20), "for requests to be answered", || {
            (answered() >= goal).then_some(())
        })
    }

    /// Stops, and gives the number of requests if each was answered, and none had to knock twice.
    pub(crate) fn finish(self) -> Result<u64> {
        self.state.stop.store(true, Ordering::SeqCst);
        let workers =
            self.workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a client panicked")));
        let lost = workers.collect::<Result<Vec<_>>>()?.concat();
        let answered = self.state.answered.load(Ordering::SeqCst);
        ensure!(lost.is_empty(), "{} requests were lost, and {answered} answered: {lost:?}", lost.len());
        let resent = resent(&self.client)? - self.resent;
        ensure!(resent == 0, "of {answered} requests, {resent} SYNs were lost on the way");
        Ok(answered)
    }
}

/// Returns what came of those that were not answered.
fn ask(client: &Netns, place: SocketAddr, name: &str, state: &State) -> Vec<String> {
    let mut lost = Vec::new();
    while !state.stop.load(Ordering::SeqCst) {
        let outcome = client.probe(Proto::Tcp, place).run();
        if outcome.is(name) {
            state.answered.fetch_add(1, Ordering::SeqCst);
        } else {
            lost.push(format!("{place}: {outcome}"));
        }
        thread::sleep(respite());
    }
    lost
}

/// How often the kernel had to send a SYN again (`TCPSynRetrans`): where time-outs are long, a lost one would not show.
fn resent(client: &Netns) -> Result<u64> {
    let text = client.read("net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt")?;
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = pairs.find(|(name, _)| *name == "TCPSynRetrans").context("no TCPSynRetrans")?;
    Ok(value.parse()?)
}
