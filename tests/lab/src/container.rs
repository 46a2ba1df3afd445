//! Docker containers. They only sleep: services are sockets that the lab opens in their network namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::docker::{Docker, IMAGE, parse_list};
use crate::netns::Netns;
use crate::wait::wait_until;

/// Duplicate address detection in a container takes up to two seconds.
const ADDRESS_USABLE: Duration = Duration::from_secs(10);

/// A container to be started.
#[derive(Clone, Debug)]
pub struct ContainerSpec<'docker> {
    docker: &'docker Docker<'docker>,
    name: String,
    arguments: Vec<String>,
}

/// A running container; dereferences to its network namespace, from which it can probe.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its first process.
    pub pid: u64,
    /// Its network namespace; the host's for a host-network container.
    pub netns: Netns,
    /// Its addresses, by network; empty for a host-network container.
    pub addresses: Vec<IpAddr>,
}

impl<'docker> ContainerSpec<'docker> {
    pub(crate) fn new(docker: &'docker Docker<'_>, name: &str) -> Self {
        // SIGKILL to stop it: the first process of a container ignores SIGTERM unless it handles it, and each stop
        // would take Docker's ten seconds.
        Self { docker, name: name.to_owned(), arguments: vec!["--stop-signal=KILL".to_owned()] }
    }

    /// On this network; docker0 if never called. `host` makes a host-network container.
    #[must_use]
    pub fn network(self, name: &str) -> Self {
        self.argument("--network").argument(name)
    }

    /// Publishes a port, in Docker's notation: `8080:80/tcp`, `192.0.2.2:8080:80/udp`, `[::1]:8080:80`.
    ///
    /// With [`Variant::Legacy`](crate::Variant::Legacy), publish no more than one port of a protocol from a container
    /// that is to be reached over IPv6: `ip6tables-legacy -C` of iptables 1.8.9 does not look at ports, so that
    /// dockerd takes the second port's rules for present and never makes them.
    #[must_use]
    pub fn publish(self, port: &str) -> Self {
        self.argument("--publish").argument(port)
    }

    /// Any other argument of `docker run`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it and waits until its addresses can be used.
    pub fn start(self) -> Result<Container> {
        let docker = self.docker;
        self.run()?;
        docker.inspect_container(&self.name)
    }

    fn run(&self) -> Result<()> {
        let mut arguments = vec!["run", "--detach", "--name", &self.name];
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.extend([IMAGE, "/bin/busybox", "sleep", "1000000"]);
        self.docker.cli(&arguments).map(drop)
    }
}

impl Container {
    /// Its first address of the family, of which tests know that it is there.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        let found = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        found.unwrap_or_else(|| panic!("container {} has no IPv4 address", self.name))
    }

    /// As [`v4`](Self::v4), for IPv6.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        let found = self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        });
        found.unwrap_or_else(|| panic!("container {} has no IPv6 address", self.name))
    }
}

impl Deref for Container {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.netns
    }
}

impl Docker<'_> {
    /// Starts containers concurrently, and gives them in the order of the specs.
    pub fn start_all<'docker>(
        &'docker self,
        specs: impl IntoIterator<Item = ContainerSpec<'docker>>,
    ) -> Result<Vec<Container>> {
        let specs: Vec<ContainerSpec<'docker>> = specs.into_iter().collect();
        thread::scope(|scope| {
            let runs: Vec<_> = specs.iter().map(|spec| scope.spawn(|| spec.run())).collect();
            runs.into_iter()
                .try_for_each(|run| run.join().map_err(|_| anyhow!("a starting thread panicked"))?)
        })?;
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        self.inspect_containers(&names)
    }

    /// A running container as it is now, after a restart for instance.
    pub fn inspect_container(&self, name: &str) -> Result<Container> {
        let found = self.inspect_containers(&[name])?;
        found.into_iter().next().with_context(|| format!("no container {name}"))
    }

    fn inspect_containers(&self, names: &[&str]) -> Result<Vec<Container>> {
        let found = parse_list(&self.cli(&[&["container", "inspect"], names].concat())?)?;
        let containers: Vec<Container> =
            found.iter().map(|container| self.container_of(container)).collect::<Result<_>>()?;
        containers.iter().try_for_each(wait_for_addresses)?;
        Ok(containers)
    }

    fn container_of(&self, inspected: &Value) -> Result<Container> {
        let name = inspected["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        let pid = inspected.pointer("/State/Pid").and_then(Value::as_u64).filter(|pid| *pid > 0);
        let pid = pid.with_context(|| format!("container {name} does not run"))?;
        let netns = match inspected.pointer("/HostConfig/NetworkMode").and_then(Value::as_str) {
            Some("host") => self.lab.host.netns.clone(),
            _ => Netns::open(&name, format!("/proc/{pid}/ns/net"))?,
        };
        netns.answer_each_time()?;
        let addresses = addresses_of(inspected);
        Ok(Container { name, pid, netns, addresses })
    }
}

fn addresses_of(inspected: &Value) -> Vec<IpAddr> {
    let networks = inspected.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let networks = networks.into_iter().flat_map(|networks| networks.values());
    let texts = networks.flat_map(|network| [&network["IPAddress"], &network["GlobalIPv6Address"]]);
    texts.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

fn wait_for_addresses(container: &Container) -> Result<()> {
    let usable = || (!container.has_tentative_addresses()).then_some(());
    if container.addresses.iter().any(IpAddr::is_ipv6) {
        wait_until(ADDRESS_USABLE, &format!("for the addresses of container {}", container.name), usable)?;
    }
    Ok(())
}
