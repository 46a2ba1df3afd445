#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use dockfw_policy::compile::compile;
use dockfw_policy::policy::Policy;
use dockfw_policy::{Files, Strictness};

use super::*;
use crate::host::docker::{Container, Driver, Network, Published};
use crate::host::links::Link;
use crate::host::listeners::Listener;

const OUTSIDE: u32 = 2;
const DOCKER0: u32 = 3;
const OTHER: u32 = 4;

/// What is looked at where it matters.
#[derive(Default)]
struct Looks {
    version: u32,
    forward_drops: bool,
    raw_drops: bool,
    on_nftables: bool,
}

impl Others for Looks {
    fn forward_drops(&self, _: Family) -> Option<bool> {
        Some(self.forward_drops)
    }

    fn direct_is_dropped(&self, _: IpAddr) -> Option<bool> {
        Some(self.raw_drops)
    }

    fn docker_version(&self) -> Option<Vec<u32>> {
        Some(vec![self.version])
    }

    fn docker_uses_nftables(&self) -> bool {
        self.on_nftables
    }

    fn route(&self, to: IpAddr, _: Option<u32>) -> Option<Route> {
        let (interface, source) = match to.to_string().as_str() {
            text if text.starts_with("172.17.") => (DOCKER0, [172, 17, 0, 1]),
            text if text.starts_with("172.18.") => (OTHER, [172, 18, 0, 1]),
            _ => (OUTSIDE, [192, 0, 2, 1]),
        };
        Some(Route { is_local: to == IpAddr::from(source), interface, source: Some(source.into()) })
    }
}

struct Nowhere;

impl Files for Nowhere {
    fn read(&self, _: &std::path::Path, _: u64) -> std::io::Result<Vec<u8>> {
        Ok(b"trusted = [\"192.0.2.10\"]\n".to_vec())
    }

    fn list(&self, _: &std::path::Path) -> std::io::Result<Vec<std::path::PathBuf>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn policy() -> Policy {
    dockfw_policy::load(std::path::Path::new("/p.toml"), &Nowhere, Strictness::Strict).unwrap().policy
}

fn link(index: u32, name: &str, kind: &str) -> Link {
    let (controller, networks) = (None, vec![]);
    Link {
        index,
        name: name.into(),
        kind: Some(kind.into()),
        controller,
        is_up: true,
        networks,
        addresses: vec![],
        has_default_route: false,
    }
}

fn network(name: &str, bridge: &str) -> Network {
    Network {
        name: name.into(),
        driver: Driver::Bridge(bridge.into()),
        is_internal: false,
        subnets: vec![],
        gateway_modes: [None, None],
        trusted_interfaces: vec![],
    }
}

/// A container at 172.17.0.2, whose port 80 is published as 8080.
fn facts() -> Facts {
    let published = Published {
        transport: dockfw_policy::service::Transport::Tcp,
        port: 8080,
        address: [0, 0, 0, 0].into(),
        container_port: 80,
        container: "web".into(),
        targets: vec![[172, 17, 0, 2].into()],
        is_meshed: false,
    };
    let web = Container {
        id: "ab".into(),
        name: "web".into(),
        on_host_network: false,
        addresses: vec![("bridge".into(), [172, 17, 0, 2].into())],
        published: vec![published.clone()],
    };
    Facts {
        links: vec![
            link(OUTSIDE, "eth0", "veth"),
            link(DOCKER0, "docker0", "bridge"),
            link(OTHER, "br-1", "bridge"),
        ],
        containers: vec![web],
        published: vec![published],
        networks: vec![network("bridge", "docker0"), network("other", "br-1")],
        ..Facts::default()
    }
}

/// Explains what becomes of a connection of the trusted source, or of a container at br-1.
fn explained(facts: &Facts, looks: &Looks, to: [u8; 4], port: &str, incoming: &str) -> Explanation {
    let ruleset = compile(&policy());
    let rules = Rules { ruleset: &ruleset, by_name_alone: false };
    let question = Question {
        from: [192, 0, 2, 10].into(),
        service: port.parse().unwrap(),
        incoming: Some(incoming.into()),
        to: Some(to.into()),
    };
    explain(rules, facts, looks, &question).unwrap()
}

/// The only objection to a packet for the container's own address.
fn objection(facts: &Facts, looks: &Looks, port: &str, incoming: &str) -> Option<String> {
    let explained = explained(facts, looks, [172, 17, 0, 2], port, incoming);
    assert_eq!((explained.verdict, explained.target.kind), (Verdict::Pass, Kind::Container));
    assert!(explained.others.len() < 2);
    explained.others.first().map(|one| one.why.clone())
}

#[test]
fn a_published_port_leads_to_its_container() {
    let to_host = explained(&facts(), &Looks::default(), [192, 0, 2, 1], "8080/tcp", "eth0");
    assert_eq!((to_host.target.kind, to_host.target.container.as_deref()), (Kind::Published, Some("web")));
    assert_eq!(
        (to_host.target.address, to_host.target.container_port),
        (Some([172, 17, 0, 2].into()), Some(80))
    );
    assert_eq!(to_host.packet.outgoing.as_deref(), Some("docker0"));
    let other = explained(&facts(), &Looks::default(), [192, 0, 2, 1], "8080/udp", "eth0");
    assert_eq!((other.target.kind, other.packet.outgoing), (Kind::Nothing, None));
}

/// With rules in iptables, docker-proxy answers all of Docker's bridges; with nftables, the container's own.
#[test]
fn docker_proxy_answers_containers_by_dockers_backend() {
    let proxy = Listener {
        transport: dockfw_policy::service::Transport::Tcp,
        address: [0, 0, 0, 0].into(),
        port: 8080,
        takes_ipv4: false,
        interface: None,
        holder: None,
    };
    let facts = Facts { listeners: vec![proxy], ..facts() };
    let leads_on = |on_nftables, incoming| {
        let looks = Looks { on_nftables, ..Looks::default() };
        explained(&facts, &looks, [192, 0, 2, 1], "8080/tcp", incoming).packet.outgoing.is_some()
    };
    assert_eq!(["br-1", "docker0", "eth0"].map(|incoming| leads_on(false, incoming)), [false, false, true]);
    assert_eq!(["br-1", "docker0", "eth0"].map(|incoming| leads_on(true, incoming)), [true, false, true]);
}

#[test]
fn old_dockers_leave_containers_open_but_for_the_policy_of_forward() {
    let open = Looks { version: 20, ..Looks::default() };
    assert_eq!(objection(&facts(), &open, "90/tcp", "eth0"), None);
    let closed = Looks { version: 20, forward_drops: true, ..Looks::default() };
    assert!(objection(&facts(), &closed, "90/tcp", "eth0").unwrap().contains("policy of FORWARD"));
    assert_eq!(objection(&facts(), &closed, "80/tcp", "eth0"), None, "Docker accepts what it publishes");
}

#[test]
fn new_dockers_close_containers_unless_told_otherwise() {
    let new = Looks { version: 28, ..Looks::default() };
    assert!(objection(&facts(), &new, "90/tcp", "eth0").unwrap().contains("from 28 on"));
    assert_eq!(objection(&facts(), &new, "90/tcp", "docker0"), None);
    let raw = Looks { version: 28, raw_drops: true, ..Looks::default() };
    assert!(objection(&facts(), &raw, "80/tcp", "eth0").unwrap().contains("straight to a container"));
    let mut trusting = facts();
    trusting.networks[0].trusted_interfaces = vec!["eth0".into()];
    assert_eq!(objection(&trusting, &raw, "90/tcp", "eth0"), None);
    let mut unprotected = facts();
    unprotected.networks[0].gateway_modes = [Some("nat-unprotected".into()), None];
    assert_eq!(objection(&unprotected, &new, "90/tcp", "eth0"), None);
}

#[test]
fn networks_are_apart_and_internal_ones_closed() {
    let looks = Looks { version: 20, ..Looks::default() };
    assert!(objection(&facts(), &looks, "80/tcp", "br-1").unwrap().contains("apart"));
    let mut internal = facts();
    internal.networks[0].is_internal = true;
    assert!(objection(&internal, &looks, "80/tcp", "eth0").unwrap().contains("internal"));
    assert_eq!(objection(&internal, &looks, "80/tcp", "docker0"), None);
}

#[test]
fn what_is_dropped_by_dockfw_has_no_other_objections() {
    let looks = Looks { version: 28, forward_drops: true, raw_drops: true, on_nftables: false };
    let question = Question {
        from: [192, 0, 2, 20].into(),
        service: "80/tcp".parse().unwrap(),
        incoming: None,
        to: Some([172, 17, 0, 2].into()),
    };
    let ruleset = compile(&policy());
    let rules = Rules { ruleset: &ruleset, by_name_alone: false };
    let explained = explain(rules, &facts(), &looks, &question).unwrap();
    assert_eq!((explained.verdict, explained.packet.incoming.as_str()), (Verdict::Drop, "eth0"));
    assert_eq!(explained.others, []);
}
