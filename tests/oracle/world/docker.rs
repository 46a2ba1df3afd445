//! The lab's host with a real dockerd.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use dockfw_lab::{Container, Docker, DockerOptions, Lab, LabOptions, Machine, Variant};

use super::{Link, Place, World};
use crate::settings::Engine;

/// Raises it with one container on docker0, and two machines outside.
pub(super) fn with<T>(engine: Engine, program: &Path, work: impl FnOnce(&World) -> Result<T>) -> Result<T> {
    // The compat engine's own platforms have iptables-legacy; where the native one runs, Docker is on iptables-nft.
    let variant = if engine == Engine::Native { Variant::Nft } else { Variant::Legacy };
    let lab = Lab::raise(LabOptions { variant, ..LabOptions::default() })?;
    let docker = Docker::start(&lab, DockerOptions::default())?;
    lab.accept_forwarding()?;
    let container = docker.container("published").publish("8080:80/tcp").publish("8080:80/udp").start()?;
    let world = World {
        host: lab.host.netns.clone(),
        links: [outside(&lab, "wan0")?, outside(&lab, "lan0")?, inside(&container)?],
        program: program.to_owned(),
        path: lab.path().clone(),
    };
    World::lengthen_by_iptables(&world.host, lab.path())?;
    world.prepare()?;
    work(&world)
}

fn outside(lab: &Lab, name: &str) -> Result<Link> {
    let Machine { netns, interface, v4, v6 } = lab.outside_segment(name)?;
    let [a, b, c, _] = v4.octets();
    let mut segments = v6.segments();
    segments[7] = 1;
    let host = [IpAddr::from([a, b, c, 1]), segments.into()];
    let far = Place { netns, interface, addresses: [v4.into(), v6.into()] };
    Ok(Link { interface: name.to_owned(), is_bridge: false, host, far })
}

fn inside(container: &Container) -> Result<Link> {
    let addresses = [container.v4().into(), container.v6().into()];
    let far = Place { netns: container.netns.clone(), interface: "eth0".to_owned(), addresses };
    // As dockerd has them by default, and as the lab tells it to.
    let host = [IpAddr::from([172, 17, 0, 1]), "fd00:d0c::1".parse()?];
    Ok(Link { interface: "docker0".to_owned(), is_bridge: true, host, far })
}
