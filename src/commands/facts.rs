//! What this host is and runs, and what of it can't be told.

use std::io;

use crate::exposure::Facts;
use crate::host::docker::{self, Presence, Published};
use crate::host::{links, listeners, nat};

/// Facts, and in words what could not be read.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) facts: Facts,
    pub(super) unknown: Vec<String>,
}

/// Reads all of it.
pub(super) fn gather() -> io::Result<Gathered> {
    let mut gathered = Gathered::default();
    gathered.facts.links = links::read()?;
    match listeners::read() {
        Ok(listeners) => gathered.facts.listeners = listeners,
        Err(error) => gathered.unknown.push(format!("which sockets wait for others: {error}")),
    }
    match docker::presence() {
        Presence::Answers => gathered.ask_docker(),
        // Its containers may have outlived it.
        Presence::Absent => gathered.facts.published = nat::published().unwrap_or_default(),
        Presence::Unreadable(reason) => {
            gathered.facts.published = nat::published().unwrap_or_default();
            let lost = "which containers are on macvlan or ipvlan networks, and names: Docker can't be asked";
            gathered.unknown.push(format!("{lost}: {reason}"));
        }
    }
    Ok(gathered)
}

impl Gathered {
    fn ask_docker(&mut self) {
        let containers = docker::containers();
        self.facts.containers = self.or_unknown(containers, "containers and the ports that they publish");
        let networks = docker::networks();
        self.facts.networks = self.or_unknown(networks, "networks of Docker");
        self.facts.published = docker::published_by(&self.facts.containers);
        // Docker's own tables can't be read everywhere: that nothing was found there says nothing.
        let translated = nat::published();
        if let Some(translated) = &translated
            && (!translated.is_empty() || !docker::uses_nftables())
        {
            aim(&mut self.facts.published, translated);
        }
        let meshed = meshed(translated);
        let meshed = self.or_unknown(meshed, "ports of Swarm's mesh");
        self.facts.published.extend(meshed);
    }

    fn or_unknown<T: Default>(&mut self, answer: Option<T>, what: &str) -> T {
        answer.unwrap_or_else(|| {
            self.unknown.push(format!("{what}: Docker does not say"));
            T::default()
        })
    }
}

/// Sends published ports where the live rules translate them to. Docker names all addresses of a container, of which some are
/// out of its bridges' reach; and where a rule is missing, docker-proxy answers.
fn aim(published: &mut [Published], translated: &[Published]) {
    let dialled = |one: &Published| (one.transport, one.port, one.address);
    for one in published {
        let rules = translated.iter().filter(|rule| !rule.is_meshed && dialled(rule) == dialled(one));
        one.targets = rules.flat_map(|rule| rule.targets.clone()).collect();
    }
}

/// The ports of Swarm's mesh: a manager knows them with their services; on a worker only the rules do.
fn meshed(translated: Option<Vec<Published>>) -> Option<Vec<Published>> {
    match docker::swarm()? {
        None => Some(Vec::new()),
        Some(swarm) if swarm.is_manager => docker::meshed(),
        Some(_) => Some(translated?.into_iter().filter(|published| published.is_meshed).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use dockfw_policy::service::Transport;

    use super::*;

    fn published(port: u16, address: &str, targets: &[&str]) -> Published {
        Published {
            transport: Transport::Tcp,
            port,
            address: address.parse().unwrap(),
            container_port: 80,
            container: "web".into(),
            targets: targets.iter().map(|target| target.parse().unwrap()).collect(),
            is_meshed: false,
        }
    }

    fn aimed(one: Published, rules: &[Published]) -> Vec<String> {
        let mut all = [one];
        aim(&mut all, rules);
        all[0].targets.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_container_on_macvlan_too_is_reached_by_its_bridge() {
        let web = published(8080, "0.0.0.0", &["192.0.2.77", "172.17.0.2"]);
        assert_eq!(aimed(web, &[published(8080, "0.0.0.0", &["172.17.0.2"])]), ["172.17.0.2"]);
    }

    #[test]
    fn a_container_on_an_overlay_alone_is_reached_by_docker_gwbridge() {
        let web = published(8080, "0.0.0.0", &["10.0.1.5"]);
        assert_eq!(aimed(web, &[published(8080, "0.0.0.0", &["172.18.0.3"])]), ["172.18.0.3"]);
    }

    #[test]
    fn without_a_rule_docker_proxy_answers() {
        let web = published(8080, "::", &["fd00::2"]);
        let rules = [
            published(8081, "::", &["fd00::3"]),
            published(8080, "2001:db8::1", &["fd00::4"]),
            Published { is_meshed: true, ..published(8080, "::", &["fd00::5"]) },
        ];
        assert_eq!(aimed(web, &rules), [""; 0]);
    }
}
