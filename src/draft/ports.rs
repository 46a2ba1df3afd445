//! The rule for what everyone reaches, with all that answers on this host as comments.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::service::Transport;

use super::document::{Entry, comment, list};
use crate::exposure::{Exposed, Kind, Port};

/// How many lines of ports the file has room for.
const MOST: usize = 200;

/// Ports that answers of DHCP come to, which are open in any case (RFC 2131, RFC 8415).
const DHCP_CLIENTS: [u16; 2] = [68, 546];
/// Ports at which the nodes of a Swarm reach one another; `[swarm] peers` opens them.
const SWARM: [u16; 3] = [2377, 4789, 7946];

/// Ports that follow one another, and what answers at all of them.
struct Run {
    transport: Transport,
    first: u16,
    last: u16,
    answers: String,
}

impl Run {
    fn of(port: Port, answers: String) -> Self {
        Self { transport: port.transport, first: port.number, last: port.number, answers }
    }

    fn ports(&self) -> String {
        let Self { transport, first, last, .. } = self;
        if first == last {
            return format!("{first}/{}", transport.name());
        }
        format!("{first}-{last}/{}", transport.name())
    }
}

/// Returns the rules: one that opens SSH and suggests the rest; and, as a comment, one for what rules of others lead
/// elsewhere.
pub(super) fn text(exposed: &[Exposed], ssh: &BTreeSet<u16>, is_in_swarm: bool) -> String {
    let ssh: BTreeSet<_> =
        ssh.iter().map(|number| Port { number: *number, transport: Transport::Tcp }).collect();
    let own = exposed.iter().filter(|one| one.kind != Kind::Translated && !is_open_anyway(one, is_in_swarm));
    let answers = answers(own);
    let mut entries: Vec<_> = ssh
        .iter()
        .map(|port| {
            let who = answers.get(port).map_or("no process listens now".to_owned(), words);
            Entry::on(port, format!("SSH: {who}"))
        })
        .collect();
    let others = runs(answers.iter().filter(|(port, _)| !ssh.contains(*port)));
    let omitted = others.len().saturating_sub(MOST);
    entries.extend(others.iter().take(MOST).map(|run| Entry::off(run.ports(), run.answers.clone())));
    let more = match omitted {
        0 => String::new(),
        more => format!("# {more} more lines are left out; all ports: dockfw status\n"),
    };
    format!(
        "\n# What everyone reaches: processes of the host, and ports that Docker publishes.\n{more}[[allow]]\nname  = \"public\"\n{}{}",
        list("ports", entries),
        translated(exposed)
    )
}

/// Returns what answers at each port.
fn answers<'a>(exposed: impl Iterator<Item = &'a Exposed>) -> BTreeMap<Port, BTreeSet<String>> {
    let mut all: BTreeMap<Port, BTreeSet<String>> = BTreeMap::new();
    for one in exposed {
        all.entry(one.port).or_default().insert(comment(&one.holder()));
    }
    all
}

fn words(answers: &BTreeSet<String>) -> String {
    answers.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Joins neighbouring ports of one protocol at which the same answers.
fn runs<'a>(ports: impl Iterator<Item = (&'a Port, &'a BTreeSet<String>)>) -> Vec<Run> {
    let mut ports: Vec<_> = ports.map(|(port, answers)| Run::of(*port, words(answers))).collect();
    ports.sort_by_key(|run| (run.transport, run.first));
    let mut runs: Vec<Run> = Vec::new();
    for port in ports {
        let follows = |run: &&mut Run| {
            (run.transport, run.last.checked_add(1)) == (port.transport, Some(port.first))
                && run.answers == port.answers
        };
        match runs.last_mut().filter(follows) {
            Some(run) => run.last = port.last,
            None => runs.push(port),
        }
    }
    runs.sort_by_key(|run| (run.first, run.transport));
    runs
}

/// Returns whether a rule for everyone is of no use for a port.
fn is_open_anyway(one: &Exposed, is_in_swarm: bool) -> bool {
    let Port { number, transport } = one.port;
    let by_docker = one.answers.process.as_deref().is_none_or(|process| process == "dockerd");
    transport == Transport::Udp && DHCP_CLIENTS.contains(&number)
        || is_in_swarm && one.kind == Kind::Process && by_docker && SWARM.contains(&number)
}

fn translated(exposed: &[Exposed]) -> String {
    let ports = answers(exposed.iter().filter(|one| one.kind == Kind::Translated));
    let runs = runs(ports.iter());
    if runs.is_empty() {
        return String::new();
    }
    let quoted: Vec<_> = runs.iter().take(MOST).map(|run| format!("\"{}\"", run.ports())).collect();
    let lines = runs.iter().take(MOST).map(|run| format!("#   {}  {}\n", run.ports(), run.answers));
    format!(
        "\n# What rules of others lead to other machines:\n{}#\n# [[allow]]\n# name  = \"translated by others\"\n\
         # ports = [{}]\n# to    = \"forward\"\n",
        lines.collect::<String>(),
        quoted.join(", ")
    )
}
