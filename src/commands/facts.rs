//! What this host is and runs, and what of it is unknown.

use std::io;

use crate::exposure::Facts;
use crate::filters;
use crate::filters::live::{self, Others};
use crate::host::docker::{self, Membership, Presence, Published};
use crate::host::{links, listeners, processes};

/// What only Docker knows.
const LOST: &str = "which containers are on macvlan or ipvlan networks, and their names";

/// Facts, and the words for what could not be read.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) facts: Facts,
    pub(super) unknown: Vec<String>,
    /// Whether all ports are known at which processes listen, and which containers publish.
    pub(super) knows_ports: bool,
}

/// Reads all of it.
pub(super) fn gather() -> io::Result<Gathered> {
    let facts = Facts { links: links::read()?, ..Facts::default() };
    let mut gathered = Gathered { facts, unknown: Vec::new(), knows_ports: true };
    match listeners::read() {
        Ok(listeners) => gathered.facts.listeners = listeners,
        Err(error) => gathered.lacks_ports(format!("which processes listen: {error}")),
    }
    gathered.facts.others = live::read();
    gathered.unknown.extend(unknown_of(&gathered.facts.others));
    match docker::presence() {
        Presence::Answers => gathered.ask_docker(),
        Presence::Absent if processes::is_any_in_a_container() => {
            gathered.lacks_ports(format!("{LOST}: Docker is stopped, but containers are running"));
        }
        Presence::Absent => {}
        Presence::Unreadable(reason) => {
            gathered.lacks_ports(format!("{LOST}: Docker does not answer: {reason}"));
        }
    }
    Ok(gathered)
}

/// Returns what is unknown of the rules of others, in words.
fn unknown_of(others: &Others) -> Vec<String> {
    let unreadable = others.unreadable.iter().map(|why| format!("what other rules do to packets: {why}"));
    let unseen = others.unseen.iter().map(|chain| {
        format!("what {chain} does to packets: dockfw does not read chains outside of the IP hooks")
    });
    unreadable.chain(unseen).collect()
}

impl Gathered {
    fn lacks_ports(&mut self, what: String) {
        self.knows_ports = false;
        self.unknown.push(what);
    }

    fn ask_docker(&mut self) {
        let (containers, meshed) = (docker::containers(), meshed());
        self.knows_ports &= containers.is_some() && meshed.is_some();
        self.facts.containers = self.or_unknown(containers, "containers and their published ports");
        let networks = docker::networks();
        self.facts.networks = self.or_unknown(networks, "Docker's networks");
        self.facts.published = docker::published_by(&self.facts.containers);
        self.facts.docker = filters::docker::behaviour();
        let meshed = self.or_unknown(meshed, "published ports of Swarm services");
        self.facts.published.extend(meshed);
    }

    fn or_unknown<T: Default>(&mut self, answer: Option<T>, what: &str) -> T {
        answer.unwrap_or_else(|| {
            self.unknown.push(format!("{what}: Docker did not answer"));
            T::default()
        })
    }
}

/// Returns the ports of Swarm's routing mesh: a manager knows them with their services; on a worker, only the rules do.
fn meshed() -> Option<Vec<Published>> {
    match docker::membership()? {
        Membership::Node(swarm) if swarm.is_manager => docker::meshed(),
        Membership::Node(_) | Membership::None => Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_others_is_said() {
        let unreadable = vec!["no rights".to_owned()];
        let unseen = ["chain early of table netdev guard".to_owned()].into();
        let said = unknown_of(&Others { unreadable, unseen, ..Others::default() });
        assert_eq!(said.len(), 2);
        assert_eq!(said.first().unwrap(), "what other rules do to packets: no rights");
        assert!(
            said.last().unwrap().starts_with("what chain early of table netdev guard does to packets"),
            "{said:?}"
        );
    }
}
