//! What the role makes of its variables, and of those that are not set.

use std::collections::BTreeMap;

use dockfw_policy::address::AddressRange;
use dockfw_policy::resolve::advice;
use dockfw_policy::service::{PortRange, Service, Transport};

use super::Parts;
use crate::findings::{Fault, Findings, Place, Placed, quoted};
use crate::kind::PREFIX;
use crate::sets;
use crate::variables::{Variable, Variables};

/// Variables for how the role works, which let nobody in.
const SILENT: [&str; 13] = [
    "check_problem_service",
    "check_problem_service_managed",
    "copy_ipset_force",
    "copy_iptables_force",
    "ipset_config_dir",
    "ipset_maxelem",
    "iptables_config",
    "iptables_config_save",
    "managed",
    "managed_pkg",
    "packages",
    "show_config",
    "start",
];

/// The port that the role opens on hosts whose variables name none: SSH.
const DEFAULT_PORT: u16 = 22;
/// The networks that the role treats as Docker's.
const DEFAULT_NETWORKS: [&str; 2] = ["172.17.0.0/16", "172.18.0.0/16"];

/// The variables of all files.
struct Role<'a> {
    variables: BTreeMap<String, Variable>,
    findings: &'a mut Findings,
}

impl Parts {
    /// Adds the contents of variables. With `alone`, no rules of a host were read, and the role's defaults count.
    pub(crate) fn take_variables(&mut self, texts: Vec<Variables>, alone: bool, findings: &mut Findings) {
        let mut role = Role { variables: merged(texts, findings), findings };
        role.take_addresses(self);
        role.take_ports(self, alone);
        role.take_interfaces(self, alone);
        role.note_others();
    }
}

/// Merges variables. The last file that sets a variable decides, as Ansible's more specific ones do.
fn merged(texts: Vec<Variables>, findings: &mut Findings) -> BTreeMap<String, Variable> {
    let mut all: BTreeMap<String, Variable> = BTreeMap::new();
    for (name, variable) in texts.into_iter().flat_map(|text| text.0) {
        let place = variable.place.clone();
        if let Some(before) = all.insert(name.clone(), variable) {
            findings.note(format!("{PREFIX}{name}: {place} counts, and not {}", before.place));
        }
    }
    all
}

impl Role<'_> {
    /// Returns the values of a variable; nothing if it is not set, or can't be read, which is then reported.
    fn take(&mut self, name: &str) -> Option<(Place, Vec<Placed<String>>)> {
        let variable = self.variables.remove(name)?;
        let place = variable.place.clone();
        if let Some(template) = variable.template() {
            self.findings.note(format!(
                "{}: {PREFIX}{name} is not carried over: only Ansible can evaluate the template {}",
                template.place,
                quoted(&template.value)
            ));
            return None;
        }
        if variable.is_odd {
            let what = format!("{PREFIX}{name} is not a list of strings");
            self.findings.unreadable(Fault::new(
                &place,
                what,
                "write each value on a line of its own, behind a hyphen",
            ));
            return None;
        }
        let mut values = variable.values;
        values.retain(|value| !matches!(value.value.as_str(), "" | "~" | "null"));
        Some((place, values))
    }

    fn take_addresses(&mut self, parts: &mut Parts) {
        if !self.variables.contains_key("server_ip_allow_set") {
            self.findings.note(format!(
                "{PREFIX}server_ip_allow_set is not set: the role took the servers' addresses from the inventory, and they \
                 are not trusted here; import the ip_allow.set of a host as well"
            ));
        }
        for name in ["server_ip_allow_set", "ip_allow_set"] {
            let values = self.take(name).map(|(_, values)| values).unwrap_or_default();
            let ranges: Vec<_> = values.into_iter().filter_map(|value| self.range(&value)).collect();
            parts.layout.trusted.extend(ranges);
        }
    }

    fn range(&mut self, value: &Placed<String>) -> Option<Placed<AddressRange>> {
        match sets::range(&value.value) {
            Ok(range) => Some(Placed::new(range, &value.place)),
            Err(error) => {
                let what = format!("{}: {error}", quoted(&value.value));
                self.findings.unreadable(Fault::new(
                    &value.place,
                    what,
                    advice::address(&value.value, &error),
                ));
                None
            }
        }
    }

    fn take_ports(&mut self, parts: &mut Parts, alone: bool) {
        let is_default = alone && !self.variables.contains_key("global_ports_allow_tcp");
        let tcp = self.ports("global_ports_allow_tcp", Transport::Tcp);
        let udp = self.ports("global_ports_allow_udp", Transport::Udp);
        parts.layout.host.extend(tcp.into_iter().chain(udp));
        let ssh = PortRange::single(DEFAULT_PORT).filter(|_| is_default);
        let place = Place::default_of_role();
        parts.layout.host.extend(ssh.map(|port| Placed::new(Service::Ports(Transport::Tcp, port), &place)));
        let tcp = self.ports("swarm_ports_allow_tcp", Transport::Tcp);
        let udp = self.ports("swarm_ports_allow_udp", Transport::Udp);
        parts.layout.containers.extend(tcp.into_iter().chain(udp));
    }

    fn ports(&mut self, name: &str, transport: Transport) -> Vec<Placed<Service>> {
        let values = self.take(name).map(|(_, values)| values).unwrap_or_default();
        values.into_iter().filter_map(|value| self.port(&value, transport)).collect()
    }

    fn port(&mut self, value: &Placed<String>, transport: Transport) -> Option<Placed<Service>> {
        let (first, last) = value.value.split_once(':').unwrap_or((&value.value, &value.value));
        let range =
            first.parse().ok().zip(last.parse().ok()).and_then(|(first, last)| PortRange::new(first, last));
        if range.is_none() {
            let what = format!("{} is not a port", quoted(&value.value));
            self.findings.unreadable(Fault::new(
                &value.place,
                what,
                "ports go from 1 to 65535; a range is 8000:8010",
            ));
        }
        range.map(|range| Placed::new(Service::Ports(transport, range), &value.place))
    }

    fn take_interfaces(&mut self, parts: &mut Parts, alone: bool) {
        if let Some(docker) = self.variables.get("swarm_network_adapter")
            && docker.values.iter().any(|value| is_same_as_external(&value.value))
        {
            self.variables.remove("swarm_network_adapter");
        }
        let docker = self.adapters("swarm_network_adapter");
        let host = self.adapters("external_network_adapter");
        if alone || host.is_some() || docker.is_some() {
            let everywhere = || vec![Placed::new(None, &Place::default_of_role())];
            let host = host.unwrap_or_else(everywhere);
            let [host_gates, docker_gates] = &mut parts.gates;
            docker_gates.extend(docker.unwrap_or_else(|| host.clone()));
            host_gates.extend(host);
        }
        for name in ["bridge_name", "swarm_bridge_name"] {
            parts.interfaces.extend(self.take(name).map(|(_, values)| values).unwrap_or_default());
        }
        self.take_networks(parts, alone);
    }

    /// Returns the interfaces that a variable names; nothing for one that does not filter by interface. If it can't be
    /// read, it filters all.
    fn adapters(&mut self, name: &str) -> Option<Vec<Placed<Option<String>>>> {
        let place = self.variables.get(name)?.place.clone();
        let values = self.take(name).map(|(_, values)| values).unwrap_or_default();
        let names = values.into_iter().map(|value| Placed { value: Some(value.value), place: value.place });
        let names: Vec<_> = names.collect();
        let is_any = names.is_empty() || names.iter().any(|name| name.value.as_deref() == Some("+"));
        Some(if is_any { vec![Placed::new(None, &place)] } else { names })
    }

    fn take_networks(&mut self, parts: &mut Parts, alone: bool) {
        for (name, default) in ["bridge_ips", "swarm_bridge_ips"].into_iter().zip(DEFAULT_NETWORKS) {
            let place = Place::default_of_role();
            let default = alone.then(|| Placed::new(default.to_owned(), &place));
            let values = self.take(name).map_or_else(|| default.into_iter().collect(), |(_, values)| values);
            let networks = values
                .into_iter()
                .filter_map(|value| Some(Placed::new(value.value.parse().ok()?, &value.place)));
            parts.networks.extend(networks);
        }
    }

    fn note_others(&mut self) {
        for (name, variable) in std::mem::take(&mut self.variables) {
            if !SILENT.contains(&name.as_str()) {
                self.findings.note(format!(
                    "{}: {} is not a variable that the role had",
                    variable.place,
                    quoted(&format!("{PREFIX}{name}"))
                ));
            }
        }
    }
}

/// Returns whether a value is the role's own default for the adapters of Docker's rules.
fn is_same_as_external(value: &str) -> bool {
    let inner = value.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim() == "iptables_docker_external_network_adapter")
}
