//! Docker's networks.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use dockfw_policy::printable;
use serde::Deserialize;

/// The option that names a bridge.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// The options for how a network is reached from outside (since Docker 27).
const GATEWAY_MODES: [&str; 2] =
    ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"];
/// The option that names interfaces by which containers may be reached directly, separated by colons (since Docker
/// 28.2).
const TRUSTED_INTERFACES: &str = "com.docker.network.bridge.trusted_host_interfaces";
/// The option of ipvlan networks for how packets reach them.
const IPVLAN_MODE: &str = "ipvlan_mode";
/// How much of a network's ID is in the name of its bridge.
const SHORT: usize = 12;

/// A network of Docker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Its name.
    pub(crate) name: String,
    /// How it is made.
    pub(crate) driver: Driver,
    /// Whether it has no route out, nor in from outside.
    pub(crate) is_internal: bool,
    /// Its subnets, of either family, as Docker writes them.
    pub(crate) subnets: Vec<String>,
    /// How it is reached from outside, over IPv4 and IPv6, if that was chosen: `nat`, `nat-unprotected`, `routed`…
    pub(crate) gateway_modes: [Option<String>; 2],
    /// The interfaces by which its containers may be reached directly.
    pub(crate) trusted_interfaces: Vec<String>,
}

impl Network {
    /// Returns how it is reached from outside over a family, if that was chosen.
    pub(crate) fn gateway_mode(&self, family: Family) -> Option<&str> {
        let [v4, v6] = &self.gateway_modes;
        let mode = if family == Family::Ipv4 { v4 } else { v6 };
        mode.as_deref()
    }
}

/// How a network is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A bridge of the host, of this name.
    Bridge(String),
    /// Interfaces beside the host's own, which no firewall of the host sees.
    Beside {
        /// `macvlan` or `ipvlan`.
        driver: String,
        /// The host's interface that they share; nothing for a network without a route out.
        parent: Option<String>,
        /// Whether what is sent to its containers passes the host's input hook all the same (ipvlan of mode `l3s`).
        is_at_input: bool,
    },
    /// Anything else, by its name: `overlay`, `host`, `null`, a plugin's.
    Other(String),
}

/// A network, as Docker lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
    #[serde(rename = "IPAM")]
    addresses: Option<Addresses>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Addresses {
    #[serde(default)]
    config: Option<Vec<Subnet>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subnet {
    #[serde(default)]
    subnet: String,
}

impl From<Answer> for Network {
    fn from(answer: Answer) -> Self {
        let subnets = answer.addresses.as_ref().and_then(|addresses| addresses.config.as_ref());
        let subnets = subnets.into_iter().flatten().map(|config| printable(&config.subnet)).collect();
        let trusted = option(&answer, TRUSTED_INTERFACES).unwrap_or_default();
        Self {
            driver: driver(&answer),
            name: printable(&answer.name),
            is_internal: answer.internal,
            subnets,
            gateway_modes: GATEWAY_MODES.map(|key| option(&answer, key)),
            trusted_interfaces: trusted
                .split(':')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}

fn option(answer: &Answer, key: &str) -> Option<String> {
    let value = answer.options.as_ref()?.get(key)?;
    (!value.is_empty()).then(|| printable(value))
}

fn driver(answer: &Answer) -> Driver {
    match answer.driver.as_str() {
        "bridge" => {
            let usual = || format!("br-{}", printable(&answer.id.chars().take(SHORT).collect::<String>()));
            Driver::Bridge(option(answer, BRIDGE_NAME).unwrap_or_else(usual))
        }
        driver @ ("macvlan" | "ipvlan") => Driver::Beside {
            driver: driver.into(),
            parent: option(answer, "parent").filter(|_| !answer.internal),
            is_at_input: driver == "ipvlan" && option(answer, IPVLAN_MODE).as_deref() == Some("l3s"),
        },
        other => Driver::Other(printable(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(json: &str) -> Network {
        serde_json::from_str::<Answer>(json).unwrap().into()
    }

    #[test]
    fn a_bridge_has_the_name_that_was_chosen_or_that_of_its_network() {
        let named = network(
            r#"{"Name":"bridge","Id":"x","Driver":"bridge","Options":{"com.docker.network.bridge.name":"docker0"},
                "IPAM":{"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]}}"#,
        );
        assert_eq!(named.driver, Driver::Bridge("docker0".into()));
        assert_eq!(named.subnets, ["172.17.0.0/16"]);
        let unnamed = network(
            r#"{"Name":"a","Id":"0123456789abcdef","Driver":"bridge","Internal":true,"Options":null}"#,
        );
        assert_eq!(unnamed.driver, Driver::Bridge("br-0123456789ab".into()));
        assert!(unnamed.is_internal && !named.is_internal);
    }

    #[test]
    fn how_a_network_is_reached_is_read() {
        let open = network(
            r#"{"Name":"a","Driver":"bridge","Options":{
                "com.docker.network.bridge.gateway_mode_ipv4":"nat-unprotected",
                "com.docker.network.bridge.trusted_host_interfaces":"wg0:eth1"}}"#,
        );
        assert_eq!(open.gateway_mode(Family::Ipv4), Some("nat-unprotected"));
        assert_eq!(open.gateway_mode(Family::Ipv6), None);
        assert_eq!(open.trusted_interfaces, ["wg0", "eth1"]);
        assert_eq!(network(r#"{"Name":"a","Driver":"bridge"}"#).trusted_interfaces, [""; 0]);
    }

    #[test]
    fn networks_beside_the_host_are_told_with_what_they_share() {
        let beside = network(r#"{"Name":"lan","Driver":"macvlan","Options":{"parent":"eth0.5"}}"#);
        let parent = Some("eth0.5".to_owned());
        assert_eq!(beside.driver, Driver::Beside { driver: "macvlan".into(), parent, is_at_input: false });
        let closed = network(r#"{"Name":"lan","Driver":"ipvlan","Options":{},"IPAM":{"Config":null}}"#);
        assert_eq!(
            closed.driver,
            Driver::Beside { driver: "ipvlan".into(), parent: None, is_at_input: false }
        );
        let l3s =
            network(r#"{"Name":"l","Driver":"ipvlan","Options":{"parent":"eth0","ipvlan_mode":"l3s"}}"#);
        assert!(matches!(l3s.driver, Driver::Beside { is_at_input: true, .. }));
        assert_eq!(network(r#"{"Name":"i","Driver":"overlay"}"#).driver, Driver::Other("overlay".into()));
    }
}
