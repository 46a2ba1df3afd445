//! The old layout as a policy for scripts: as JSON, with the keys of the policy file.

use std::fmt::Display;

use dockfw_policy::service::Service;
use serde::Serialize;

use super::findings::Placed;
use super::layout::{BRIDGES, Layout};
use super::policy::{ALL_PORTS, CONTAINERS_TO_HOST, IN_CONTAINERS, ON_HOST};

/// A policy. Keys with their default values are left out.
#[derive(Debug, Serialize)]
pub struct Document {
    trusted: Vec<String>,
    blocked: Vec<String>,
    allow: Vec<Rule>,
    #[serde(skip_serializing_if = "Interfaces::is_default")]
    interfaces: Interfaces,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<Icmp>,
}

#[derive(Debug, Serialize)]
struct Rule {
    name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<&'static str>,
    ports: Vec<String>,
    to: &'static str,
}

#[derive(Debug, Serialize)]
struct Interfaces {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filtered: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    docker: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Icmp {
    echo: &'static str,
}

impl Document {
    pub(crate) fn of(layout: &Layout) -> Self {
        Self {
            trusted: texts(&layout.trusted),
            blocked: texts(&layout.blocked),
            allow: rules(layout),
            interfaces: Interfaces::of(layout),
            icmp: layout.echo_trusted.then_some(Icmp { echo: "trusted" }),
        }
    }
}

impl Interfaces {
    fn of(layout: &Layout) -> Self {
        let own = texts(&layout.bridges);
        let known = BRIDGES.iter().filter(|_| !own.is_empty()).map(ToString::to_string);
        Self { filtered: texts(&layout.filtered), docker: known.chain(own.clone()).collect() }
    }

    fn is_default(&self) -> bool {
        self.filtered.is_empty() && self.docker.is_empty()
    }
}

fn rules(layout: &Layout) -> Vec<Rule> {
    let open = [(ON_HOST, &layout.host, "host"), (IN_CONTAINERS, &layout.containers, "container")];
    let open = open.into_iter().filter(|(_, services, _)| !services.is_empty());
    let open = open.map(|(name, services, to)| rule(name, services, to));
    let ports = || ALL_PORTS.map(String::from).to_vec();
    let by_containers = layout.open_to_containers.iter().map(|_| Rule {
        name: CONTAINERS_TO_HOST,
        from: vec!["containers"],
        ports: ports(),
        to: "host",
    });
    open.chain(by_containers).collect()
}

fn rule(name: &'static str, services: &[Placed<Service>], to: &'static str) -> Rule {
    Rule { name, from: vec![], ports: texts(services), to }
}

fn texts<T: Display>(values: &[Placed<T>]) -> Vec<String> {
    values.iter().map(|placed| placed.value.to_string()).collect()
}
