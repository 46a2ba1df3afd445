//! Docker networks.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::docker::{Docker, parse_list};

/// A network to be created.
#[derive(Clone, Debug)]
pub struct NetworkSpec<'docker> {
    docker: &'docker Docker<'docker>,
    name: String,
    ipv6: Option<String>,
    arguments: Vec<String>,
}

/// A network that exists.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The bridge on the host.
    pub bridge: String,
    /// Its IPv4 subnet.
    pub subnet_v4: String,
    /// Its IPv6 subnet, if it has one.
    pub subnet_v6: Option<String>,
}

impl<'docker> NetworkSpec<'docker> {
    pub(crate) fn new(docker: &'docker Docker<'_>, name: &str) -> Self {
        Self { docker, name: name.to_owned(), ipv6: None, arguments: Vec::new() }
    }

    /// With an IPv6 subnet of the lab's choice.
    #[must_use]
    pub fn ipv6(mut self, wanted: bool) -> Self {
        // From the name, so that networks created concurrently cannot choose the same one.
        let hash = self.name.bytes().fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.ipv6 = wanted.then(|| format!("fd00:d0c:{hash:x}:1::/64"));
        self
    }

    /// With this name for the bridge, instead of `br-` and the network's id.
    #[must_use]
    pub fn bridge(self, name: &str) -> Self {
        self.option(&format!("com.docker.network.bridge.name={name}"))
    }

    /// A driver option, `key=value`.
    #[must_use]
    pub fn option(self, option: &str) -> Self {
        self.argument("--opt").argument(option)
    }

    /// Any other argument of `docker network create`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Creates it.
    pub fn create(self) -> Result<Network> {
        let mut arguments = vec!["network", "create"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        if let Some(subnet) = &self.ipv6 {
            arguments.extend(["--ipv6", "--subnet", subnet]);
        }
        arguments.push(&self.name);
        self.docker.cli(&arguments)?;
        self.docker.inspect_network(&self.name)
    }
}

impl Docker<'_> {
    /// A network that is there already, `bridge` for docker0 among them.
    pub fn inspect_network(&self, name: &str) -> Result<Network> {
        let found = parse_list(&self.cli(&["network", "inspect", name])?)?;
        found.first().map(Network::of).with_context(|| format!("no network {name}"))
    }
}

impl Network {
    /// What `docker network inspect` says of one.
    pub(crate) fn of(network: &Value) -> Self {
        let text =
            |pointer: &str| network.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default();
        let bridge = match text("/Options/com.docker.network.bridge.name") {
            "" => format!("br-{}", text("/Id").get(..12).unwrap_or_default()),
            name => name.to_owned(),
        };
        let configs =
            network.pointer("/IPAM/Config").and_then(|list| list.as_array()).cloned().unwrap_or_default();
        let subnets: Vec<String> =
            configs.iter().filter_map(|config| config["Subnet"].as_str()).map(str::to_owned).collect();
        let (v6, v4): (Vec<_>, Vec<_>) = subnets.into_iter().partition(|subnet| subnet.contains(':'));
        Self {
            name: text("/Name").to_owned(),
            bridge,
            subnet_v4: v4.into_iter().next().unwrap_or_default(),
            subnet_v6: v6.into_iter().next(),
        }
    }
}
