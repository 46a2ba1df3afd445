//! What is expected of many probes at once.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use dockfw_lab::{Netns, Outcome, PROTOS, Probe, Proto, probe_all};

/// Probes, and what each must come to. They all run at once, over TCP and UDP alike.
#[derive(Default)]
pub(crate) struct Expectations {
    probes: Vec<Probe>,
    expected: Vec<Expected>,
}

#[derive(Clone)]
enum Expected {
    Answer(String),
    Silence,
    NoAnswer,
}

impl Expectations {
    /// From here, the service of this name answers at each address.
    pub(crate) fn answers(
        &mut self,
        from: &Netns,
        at: impl IntoIterator<Item = SocketAddr>,
        name: &str,
    ) -> &mut Self {
        self.add(from, at, &PROTOS, &Expected::Answer(name.to_owned()))
    }

    /// From here, nothing comes back from any of the addresses.
    pub(crate) fn silent(&mut self, from: &Netns, at: impl IntoIterator<Item = SocketAddr>) -> &mut Self {
        self.add(from, at, &PROTOS, &Expected::Silence)
    }

    /// From here, no answer comes from any of the addresses. A blocked neighbour may lose the way to the host: its
    /// neighbour discovery is dropped as well, and its own kernel then says that the host is unreachable.
    pub(crate) fn shut_out(&mut self, from: &Netns, at: impl IntoIterator<Item = SocketAddr>) -> &mut Self {
        self.add(from, at, &PROTOS, &Expected::NoAnswer)
    }

    /// As `answers`, over one protocol.
    pub(crate) fn answers_over(
        &mut self,
        proto: Proto,
        from: &Netns,
        at: impl IntoIterator<Item = SocketAddr>,
        name: &str,
    ) -> &mut Self {
        self.add(from, at, &[proto], &Expected::Answer(name.to_owned()))
    }

    /// As `silent`, over one protocol.
    pub(crate) fn silent_over(
        &mut self,
        proto: Proto,
        from: &Netns,
        at: impl IntoIterator<Item = SocketAddr>,
    ) -> &mut Self {
        self.add(from, at, &[proto], &Expected::Silence)
    }

    fn add(
        &mut self,
        from: &Netns,
        at: impl IntoIterator<Item = SocketAddr>,
        protos: &[Proto],
        expected: &Expected,
    ) -> &mut Self {
        for address in at {
            for proto in protos {
                self.probes.push(from.probe(*proto, address));
                self.expected.push(expected.clone());
            }
        }
        self
    }

    /// Sends all probes. The error names each that came out otherwise.
    pub(crate) fn verify(&self) -> Result<()> {
        ensure!(!self.probes.is_empty(), "nothing is expected");
        let outcomes = probe_all(&self.probes);
        let results = self.probes.iter().zip(&self.expected).zip(&outcomes);
        let wrong = results.filter(|((_, expected), outcome)| !expected.is_met_by(outcome));
        let wrong: Vec<_> =
            wrong.map(|((probe, expected), outcome)| expected.complain(probe, outcome)).collect();
        ensure!(
            wrong.is_empty(),
            "{} of {} probes came out wrong:\n  {}",
            wrong.len(),
            outcomes.len(),
            wrong.join("\n  ")
        );
        Ok(())
    }
}

impl Expected {
    fn is_met_by(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Answer(name) => outcome.is(name),
            Self::Silence => outcome.is_silent(),
            Self::NoAnswer => matches!(outcome, Outcome::Silent | Outcome::Unreachable),
        }
    }

    fn complain(&self, probe: &Probe, outcome: &Outcome) -> String {
        match self {
            Self::Answer(name) => format!("{probe}: {outcome}, expected an answer of {name}"),
            Self::Silence | Self::NoAnswer => format!("{probe}: {outcome}, expected silence"),
        }
    }
}
