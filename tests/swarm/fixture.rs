//! The Swarm that the cases share: a manager and a worker, and what runs on them.
//!
//! | where | what answers |
//! |---|---|
//! | port 9000 of each node, by the mesh | `mesh`, a task on the worker alone: entered at the manager, requests cross to the other node |
//! | port 9100 of each node, `mode=host` | `direct`, a task of each node, by its port 80 |
//! | networks `secret` (encrypted) and `plain` | the service of the same name, a task of each node, at its port 80 |
//!
//! Every service answers over TCP and UDP.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{
    Container, Docker, DockerOptions, Engine, Lab, LabOptions, PROTOS, Service, Variant, run_with_input,
    wait_until,
};
use serde_json::Value;

/// From the creation of a service to the start of its tasks: each node first tries to pull the image, in vain.
const STARTED: Duration = Duration::from_secs(90);
/// Until the mesh, or a network between nodes, leads to a task that runs.
const CONVERGED: Duration = Duration::from_secs(60);

/// A node of the Swarm, and the containers on it that are in networks between nodes.
pub(crate) struct Node {
    pub(crate) lab: &'static Lab,
    pub(crate) docker: Docker<'static>,
}

/// The Swarm with everything on it.
pub(crate) struct SwarmFixture {
    /// The manager and the worker.
    pub(crate) nodes: [Node; 2],
    /// The container of each node in the network `secret`.
    pub(crate) secret: [Container; 2],
    /// The container of each node in the network `plain`.
    pub(crate) plain: [Container; 2],
    services: Vec<Service>,
}

/// The fixture, raised when the first case asks for it. It ends with the program: no case leaves it without containment.
pub(crate) struct SharedFixture {
    program: PathBuf,
    fixture: Mutex<Option<Result<SwarmFixture, String>>>,
}

impl SharedFixture {
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { program, fixture: Mutex::new(None) }
    }

    /// Runs a case, without anything of dockfw in force at its beginning.
    pub(crate) fn play(&self, engine: Engine, case: fn(&SwarmFixture, Engine) -> Result<()>) -> Result<()> {
        let mut fixture = self.fixture.lock().unwrap_or_else(PoisonError::into_inner);
        let raise = || SwarmFixture::raise(self.program.clone()).map_err(|error| format!("{error:#}"));
        match fixture.get_or_insert_with(raise) {
            Ok(fixture) => fixture.remove().and_then(|()| case(fixture, engine)),
            Err(reason) => Err(anyhow::anyhow!("the Swarm could not be raised: {reason}")),
        }
    }

    /// Takes the Swarm down.
    pub(crate) fn clear(&self) {
        drop(self.fixture.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl SwarmFixture {
    fn raise(program: PathBuf) -> Result<Self> {
        let options = LabOptions { variant: Variant::Native, dockfw: Some(program), ..LabOptions::default() };
        let manager: &Lab = Box::leak(Box::new(Lab::raise(options)?));
        let worker: &Lab = Box::leak(Box::new(manager.another_host("worker", 3)?));
        let nodes = [Node::start(manager)?, Node::start(worker)?];
        join(&nodes)?;
        create_services(&nodes[0].docker)?;
        let tasks = |service: &str| -> Result<[Container; 2]> {
            Ok([nodes[0].task(service)?, nodes[1].task(service)?])
        };
        let (secret, plain) = (tasks("secret")?, tasks("plain")?);
        let mut fixture = Self { nodes, secret, plain, services: Vec::new() };
        fixture.serve()?;
        fixture.converge()?;
        Ok(fixture)
    }

    fn serve(&mut self) -> Result<()> {
        let mut places = vec![(self.nodes[1].task("mesh")?, "mesh")];
        for node in &self.nodes {
            places.push((node.task("direct")?, "direct"));
        }
        for (containers, name) in [(&self.secret, "secret"), (&self.plain, "plain")] {
            places.extend(containers.iter().map(|container| (container.clone(), name)));
        }
        for (container, name) in places {
            for proto in PROTOS {
                self.services.push(container.serve(&format!("80/{proto}"), name)?);
            }
        }
        Ok(())
    }

    /// Waits until the networks between nodes lead to both of them without dockfw.
    fn converge(&self) -> Result<()> {
        for ([from, to], name) in [(&self.secret, "secret"), (&self.plain, "plain")] {
            let answers = || from.tcp((to.v4(), 80)).is(name).then_some(());
            wait_until(CONVERGED, &format!("for the network {name}"), answers)?;
        }
        Ok(())
    }

    /// Waits until what is published answers at every node without dockfw: what a case then finds closed, dockfw closed.
    pub(crate) fn await_published(&self) -> Result<()> {
        for node in &self.nodes {
            // Its namespace has this from the machine's own, where Docker switches it on if it runs there.
            let sandbox = ["--net=/run/docker/netns/ingress_sbox", "sysctl", "-qw", "net.ipv4.ip_forward=1"];
            node.lab.on_host("nsenter", &sandbox)?;
        }
        for node in &self.nodes {
            for (port, name) in [(9100, "direct"), (9000, "mesh")] {
                let at = (node.lab.host.v4, port);
                let answers = || node.lab.untrusted.tcp(at).is(name).then_some(());
                wait_until(CONVERGED, &format!("for {name} at {at:?}"), answers)?;
            }
        }
        Ok(())
    }

    /// `[swarm] peers` with both nodes.
    pub(crate) fn peers(&self) -> String {
        let [one, two] = [0, 1].map(|node: usize| self.nodes[node].lab.host.v4);
        format!("[swarm]\npeers = [\"{one}\", \"{two}\"]\n")
    }

    /// Puts a policy in force on every node.
    pub(crate) fn apply(&self, engine: Engine, policy: &str) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.apply(engine, policy))
    }

    /// Takes dockfw out everywhere.
    pub(crate) fn remove(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.dockfw(&["remove"]))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // While it is in the Swarm, Docker starts tasks again that are taken from it one by one.
        if let Err(error) = self.docker.cli(&["swarm", "leave", "--force"]) {
            eprintln!("a node did not leave the Swarm: {error:#}");
        }
    }
}

impl Node {
    fn start(lab: &'static Lab) -> Result<Self> {
        // Where nobody is asked for names: a node tries to pull the image of each task, and would wait for an answer.
        lab.on_host("sh", &["-c", "rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf"])?;
        // Docker has no Swarm where containers outlive it.
        let docker = Docker::start(lab, DockerOptions { live_restore: false, ..DockerOptions::default() })?;
        lab.accept_forwarding()?;
        Ok(Self { lab, docker })
    }

    /// Puts a policy in force here.
    pub(crate) fn apply(&self, engine: Engine, policy: &str) -> Result<()> {
        let mut write = self.lab.command("sh");
        write.args(["-c", "mkdir -p /etc/dockfw && cat >/etc/dockfw/dockfw.toml"]);
        run_with_input(&mut write, policy.as_bytes())?;
        self.dockfw(&["apply", "--backend", engine.backend()])
    }

    fn dockfw(&self, arguments: &[&str]) -> Result<()> {
        let output = self.lab.dockfw(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dockfw {arguments:?}: {}\n{said}", output.status);
        Ok(())
    }

    /// The task of a service on this node, once it runs.
    pub(crate) fn task(&self, service: &str) -> Result<Container> {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let id =
            wait_until(STARTED, &format!("for a task of {service} on {}", self.lab.host.name()), || {
                let ids = self.docker.cli(&["ps", "--quiet", "--filter", &filter]).ok()?;
                ids.split_whitespace().next().map(str::to_owned)
            })?;
        self.docker.inspect_container(&id)
    }

    /// The number of a network between nodes, by which VXLAN knows it.
    pub(crate) fn network_number(&self, name: &str) -> Result<u32> {
        let inspected: Value = serde_json::from_str(&self.docker.cli(&["network", "inspect", name])?)?;
        let number = inspected.pointer("/0/Options/com.docker.network.driver.overlay.vxlanid_list");
        let number = number.and_then(Value::as_str).with_context(|| format!("{name} has no number"))?;
        Ok(number.parse()?)
    }
}

fn join([manager, worker]: &[Node; 2]) -> Result<()> {
    let [manager_at, worker_at] = [manager, worker].map(|node| node.lab.host.v4.to_string());
    manager.docker.cli(&["swarm", "init", "--advertise-addr", &manager_at])?;
    let token = manager.docker.cli(&["swarm", "join-token", "--quiet", "worker"])?;
    let arguments = ["--advertise-addr", &worker_at, "--token", token.trim(), &format!("{manager_at}:2377")];
    worker.docker.cli(&[&["swarm", "join"], arguments.as_slice()].concat())?;
    for options in [["--opt=encrypted", "secret"].as_slice(), &["plain"]] {
        let create = ["network", "create", "--driver", "overlay"];
        manager.docker.cli(&[create.as_slice(), options].concat())?;
    }
    Ok(())
}

fn create_services(manager: &Docker<'_>) -> Result<()> {
    let published = |port: u16, mode: &str| {
        PROTOS.map(|proto| format!("--publish=mode={mode},published={port},target=80,protocol={proto}"))
    };
    let with = |options: &[String], option: &str| [options, &[option.to_owned()]].concat();
    create_service(manager, "mesh", &with(&published(9000, "ingress"), "--constraint=node.role==worker"))?;
    create_service(manager, "direct", &with(&published(9100, "host"), "--mode=global"))?;
    for network in ["secret", "plain"] {
        create_service(manager, network, &with(&[format!("--network={network}")], "--mode=global"))?;
    }
    Ok(())
}

/// A service of sleeping containers.
pub(crate) fn create_service(manager: &Docker<'_>, name: &str, options: &[String]) -> Result<()> {
    let mut arguments =
        vec!["service", "create", "--detach", "--no-resolve-image", "--stop-signal=KILL", "--name", name];
    arguments.extend(options.iter().map(String::as_str));
    arguments.extend(["lab:latest", "/bin/busybox", "sleep", "1000000"]);
    manager.cli(&arguments).map(drop)
}
