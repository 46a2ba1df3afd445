//! The policies of `examples/hosts`, as they are in their files, each on such a host as it is for.
//!
//! Nothing in the files is replaced. The lab's clients have the addresses that the files name: the admins' is `trusted`, that of
//! another node or of users is `office`, and everyone's is `untrusted`. What the lab has not at hand is stood in for: bridges
//! and links of the right names are the lab's own, so are translations of Netavark and kube-proxy, and processes of the
//! host are services that say their names.

mod bridges;
mod containers;
mod home;

use anyhow::Result;
use dockfw_lab::{Container, ContainerSpec, Machine, Netns, Service};

use super::networks::segments;
use crate::fixture::{PacketFixture, Setting};

pub(super) use bridges::{k3s, podman, proxmox, proxmox_through_hooks};
pub(super) use containers::{mailcow, tailscale};
pub(super) use home::{home_assistant, router};

/// Puts a policy in force on a host that has none: whatever it leaves unnamed and would hurt is refused.
fn apply_first(fixture: &PacketFixture<'_>, setting: Setting, policy: &str) -> Result<()> {
    fixture.remove()?;
    // What cases before this one had going on was on other hosts.
    fixture.lab.on_host("conntrack", &["-F"])?;
    fixture.apply(setting, policy).map(drop)
}

/// Services of these ports and names.
fn serve(netns: &Netns, services: &[(&str, &str)]) -> Result<Vec<Service>> {
    services.iter().map(|(port, name)| netns.serve(port, name)).collect()
}

/// Leads all that a machine sends through the host, and what is sent to it as well.
fn connect(fixture: &PacketFixture<'_>, machine: &Machine) -> Result<()> {
    fixture.route_all(machine)?;
    for client in [&fixture.lab.untrusted, &fixture.lab.trusted] {
        for segment in segments(machine) {
            client.route(&segment, &fixture.lab.host)?;
        }
    }
    Ok(())
}

/// Does something while a container publishes these TCP ports by the same numbers, each answered by the container's name.
fn publishing(
    fixture: &PacketFixture<'_>,
    container: ContainerSpec<'_>,
    ports: &[u16],
    work: impl FnOnce(&Container) -> Result<()>,
) -> Result<()> {
    let spec =
        ports.iter().fold(container, |container, port| container.publish(&format!("{port}:{port}/tcp")));
    let container = spec.start()?;
    let services: Result<Vec<_>> =
        ports.iter().map(|port| container.serve(&format!("{port}/tcp"), &container.name)).collect();
    let outcome = services.and_then(|_services| work(&container));
    fixture.docker.cli(&["rm", "--force", &container.name])?;
    outcome
}

/// The container of most of these hosts: what everyone may reach at 80 and 443.
fn with_shop(fixture: &PacketFixture<'_>, work: impl FnOnce(&Container) -> Result<()>) -> Result<()> {
    publishing(fixture, fixture.docker.container("shop"), &[80, 443], work)
}
