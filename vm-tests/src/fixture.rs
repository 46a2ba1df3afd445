//! A row of the matrix: its machine, its network, and what is expected of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use dockfw_lab::{Netns, Outcome, Proto, wait_until};

use crate::kit::PLACE;
use crate::knocks::Knocking;
use crate::machine::{Machine, Plan};
use crate::matrix::{Row, Variant};
use crate::wire::{Wire, at};

/// The policy of all scenarios: one client is trusted, and one published port is open to everyone.
pub(crate) const POLICY: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]

[[allow]]
name  = "open"
ports = ["8443/tcp"]
"#;
/// The disk with the kit, by the serial number that the machine's plan gives it.
const KIT: &str = "/dev/disk/by-id/virtio-kit";
/// Docker takes its time to bring back two containers in an emulated machine.
const SETTLED: Duration = Duration::from_secs(240);

/// What came of a scenario.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It passed; with what there is to say of it.
    Passed(String),
    /// It can't be on this system, for this reason.
    Skipped(String),
}

/// The row.
#[derive(Debug)]
pub(crate) struct RowFixture {
    pub(crate) row: Row,
    pub(crate) wire: Wire,
    /// Whether this is the short run that every change must pass.
    pub(crate) short: bool,
    plan: Plan,
    machine: Option<Machine>,
}

impl RowFixture {
    /// Switches the row's machine on for the first time, and makes it a Docker host.
    pub(crate) fn raise(row: &Row, wire: Wire, plan: Plan, short: bool) -> Result<Self> {
        plan.prepare()?;
        let mut machine = plan.power_on()?;
        machine.wait_until_up()?;
        machine.wait_for(&format!("[ -e {KIT} ]"))?;
        machine.run(&format!("mkdir {PLACE}; tar -xf {KIT} -C {PLACE}"))?;
        let mut fixture = Self { row: row.clone(), wire, short, plan, machine: Some(machine) };
        // An image has what its system has.
        if row.suite.is_some() {
            fixture.choose_iptables(row.variant)?;
        }
        let backend = if row.docker_on_nftables { "nftables" } else { "" };
        fixture.run(&format!("sh {PLACE}/setup {backend}")).context("it does not become a Docker host")?;
        Ok(fixture)
    }

    /// The machine, which is on.
    pub(crate) fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("the machine is off: an earlier scenario left it so")
    }

    /// Runs a script that must succeed.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        self.machine()?.run(script)
    }

    /// Makes `iptables` mean this variant, as Debian does it.
    pub(crate) fn choose_iptables(&mut self, variant: Variant) -> Result<()> {
        let choose =
            |family| format!("update-alternatives --set {family} /usr/sbin/{family}-{}", variant.suffix());
        self.run(&["iptables", "ip6tables"].map(choose).join("; ")).map(drop)
    }

    /// The engine that is in force, as `--backend` names it.
    pub(crate) fn engine(&mut self) -> Result<String> {
        let status: serde_json::Value = serde_json::from_str(&self.run("dockfw status --json")?)?;
        let engine = status.get("engine").and_then(|engine| engine.as_str());
        Ok(engine.context("no engine is in force")?.to_owned())
    }

    /// Shuts it down, and waits until it is off.
    pub(crate) fn power_off(&mut self) -> Result<()> {
        let machine = self.machine.take().context("the machine is off already")?;
        self.plan = machine.power_off()?;
        Ok(())
    }

    /// Switches it on, and waits until it is up.
    pub(crate) fn power_on(&mut self) -> Result<()> {
        self.machine.insert(self.plan.power_on()?).wait_until_up()
    }

    /// Knocks from the untrusted client.
    pub(crate) fn knock(&self) -> Result<Knocking> {
        self.knock_but(&[])
    }

    /// Knocks on all ports but these.
    pub(crate) fn knock_but(&self, open: &'static [u16]) -> Result<Knocking> {
        Knocking::start(&self.wire.untrusted, open)
    }

    /// Writes a policy, and puts it in force.
    pub(crate) fn apply(&mut self, policy: &str) -> Result<()> {
        self.write_policy(policy)?;
        self.run("dockfw apply").map(drop)
    }

    /// Writes a policy.
    pub(crate) fn write_policy(&mut self, policy: &str) -> Result<()> {
        self.run(&format!("cat >/etc/dockfw/dockfw.toml <<'EOF'\n{policy}\nEOF")).map(drop)
    }

    /// Waits until the trusted client reaches the host's own service and a published port, and the untrusted one the
    /// port that is open, over both families.
    pub(crate) fn expect_service(&self) -> Result<()> {
        for to in at(9000) {
            let answered = || ask(&self.wire.trusted, to).is("host").then_some(());
            wait_until(SETTLED, &format!("for the host's service at {to}"), answered)?;
        }
        for (client, port) in [(&self.wire.trusted, 8080), (&self.wire.untrusted, 8443)] {
            for to in at(port) {
                let answered = || is_web_server(client, to).then_some(());
                wait_until(SETTLED, &format!("for the container at {to}, from {}", client.name()), answered)?;
            }
        }
        Ok(())
    }

    /// Waits until a command succeeds in the machine.
    pub(crate) fn wait_for(&mut self, command: &str) -> Result<()> {
        self.machine()?.wait_for(command)
    }

    /// What there is to know of the machine after a failure.
    pub(crate) fn rules(&mut self) -> Result<String> {
        let script = "for command in 'dockfw status' 'nft -a list table inet dockfw' iptables-save ip6tables-save 'ipset save' \
                      'systemctl --no-pager --failed' 'journalctl --no-pager -b -u dockfw -u docker'; do echo \"### $command\"; \
                      $command 2>&1; done; true";
        self.run(script)
    }
}

/// Asks a TCP service for its name, with the patience that an emulated machine needs to start it.
pub(crate) fn ask(client: &Netns, service: SocketAddr) -> Outcome {
    client.probe(Proto::Tcp, service).timeout(Duration::from_secs(10)).run()
}

fn is_web_server(client: &Netns, at: SocketAddr) -> bool {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    client.run(|| get().is_ok_and(|answer| answer.starts_with("HTTP/1.")))
}
