//! Hosts with bridges that are not Docker's.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Machine, PROTOS, Packet, Proto};

use super::{apply_first, connect, serve, with_shop};
use crate::cases::forged::{Described, are_dropped, believe_anything, both, survivors_by};
use crate::cases::interfaces::send_through_hooks;
use crate::cases::networks::machines;
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

const PROXMOX: &str = include_str!("../../../../examples/hosts/proxmox.toml");
const PODMAN: &str = include_str!("../../../../examples/hosts/podman.toml");
const K3S: &str = include_str!("../../../../examples/hosts/k3s.toml");

pub(in crate::cases) fn proxmox(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    on_proxmox(fixture, setting, false)
}

/// As the Proxmox firewall wants it.
pub(in crate::cases) fn proxmox_through_hooks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    on_proxmox(fixture, setting, true)
}

/// The host's own uplink becomes a port of vmbr0, and a virtual machine with an address of the same network is behind a bridge of
/// the Proxmox firewall's.
fn on_proxmox(fixture: &PacketFixture<'_>, setting: Setting, through_hooks: bool) -> Result<()> {
    fixture.lab.bridge_uplink("vmbr0")?;
    let outcome = send_through_hooks(fixture, through_hooks).and_then(|()| {
        let guest = behind_firewall_bridge(fixture)?;
        with_shop(fixture, |_| {
            apply_first(fixture, setting, PROXMOX)?;
            as_proxmox_says(fixture, &guest, through_hooks)
        })?;
        is_not_the_host(fixture, setting, &guest)
    });
    let reset = send_through_hooks(fixture, false);
    fixture.lab.host.shell("for link in fwbr100i0 fwln100i0; do ip link delete $link || :; done")?;
    fixture.lab.unbridge_uplink("vmbr0")?;
    outcome.and(reset)
}

fn behind_firewall_bridge(fixture: &PacketFixture<'_>) -> Result<Machine> {
    let [guest] = machines(fixture.lab.bridge("fwbr100i0", 1)?)?;
    fixture.lab.host.ip(&[
        "address flush dev fwbr100i0",
        "link add fwln100i0 type veth peer name fwpr100p0",
        "link set fwln100i0 up",
    ])?;
    fixture.lab.enslave("fwpr100p0", "vmbr0")?;
    fixture.lab.enslave("fwln100i0", "fwbr100i0")?;
    // The same in all cases: clients remember it.
    guest.ip(&["link set eth0 address 02:00:00:00:00:50"])?;
    guest.add_address("192.0.2.50/24")?;
    guest.add_address("2001:db8:1::50/64")?;
    Ok(Machine { v4: "192.0.2.50".parse()?, v6: "2001:db8:1::50".parse()?, ..guest })
}

fn as_proxmox_says(fixture: &PacketFixture<'_>, guest: &Machine, through_hooks: bool) -> Result<()> {
    let (admin, node, untrusted) = (&fixture.lab.trusted, &fixture.lab.office, &fixture.lab.untrusted);
    let own = [("8006/tcp", "interface"), ("5405/udp", "corosync"), ("60001/tcp", "migration")];
    let _own = serve(&fixture.lab.host, &own)?;
    let _guests = serve(guest, &[("80/tcp", "guest"), ("80/udp", "guest"), ("8006/tcp", "guest")])?;
    let closed = [22, 8006, 5405, 60001, 9000, 8080].map(|port| fixture.at(port)).concat();
    let mut expect = Expectations::default();
    expect.answers_over(Proto::Tcp, admin, fixture.at(8006), "interface");
    expect.answers_over(Proto::Tcp, admin, fixture.at(22), "ssh").silent(admin, fixture.at(9000));
    expect.answers_over(Proto::Tcp, node, fixture.at(8006), "interface");
    expect.answers_over(Proto::Udp, node, fixture.at(5405), "corosync");
    expect.answers_over(Proto::Tcp, node, fixture.at(60001), "migration").silent(node, fixture.at(9000));
    for outsider in [untrusted, guest] {
        expect.silent(outsider, closed.iter().copied());
    }
    expect.answers_over(Proto::Tcp, untrusted, fixture.at(443), "shop");
    // Through the hooks, Docker translates frames where they come to the first bridge, and they get lost, dockfw or not.
    if !through_hooks {
        expect.answers_over(Proto::Tcp, guest, fixture.at(443), "shop");
    }
    expect.silent_over(Proto::Tcp, &fixture.web, fixture.at(8006));
    // Frames that only cross, to any port, from whomever, and both ways.
    expect.answers(untrusted, guest.at(80), "guest").answers(&fixture.lab.blocked, guest.at(80), "guest");
    expect.answers_over(Proto::Tcp, untrusted, guest.at(8006), "guest");
    expect.answers(guest, untrusted.at(80), "untrusted").answers(&fixture.web, guest.at(80), "guest").verify()
}

/// A virtual machine with the host's address for its source, though such frames may come in by these bridges: the host's own.
fn is_not_the_host(fixture: &PacketFixture<'_>, setting: Setting, guest: &Machine) -> Result<()> {
    believe_anything(fixture, "vmbr0")?;
    let host = Machine { interface: "vmbr0".into(), ..fixture.lab.host.clone() };
    let own: Described =
        host.addresses().into_iter().flat_map(|own| both("the host's", own, own, 9000)).collect();
    let policy = format!("trusted = [\"192.0.2.0/24\", \"2001:db8:1::/64\"]\n{PROXMOX}");
    are_dropped(fixture, setting, ("vmbr0", &guest.sender_to(&host)?), &own, &policy)
}

pub(in crate::cases) fn podman(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let outcome = with_shop(fixture, |_| {
        let [one, beside] = machines(fixture.lab.bridge("podman0", 2)?)?;
        let [other] = machines(fixture.lab.bridge("podman1", 1)?)?;
        for machine in [&one, &other] {
            connect(fixture, machine)?;
        }
        apply_first(fixture, setting, PODMAN)?;
        as_podman_says(fixture, [&one, &beside, &other])
    });
    fixture.lab.host.shell("for link in podman0 podman1; do ip link delete $link || :; done")?;
    outcome
}

fn as_podman_says(fixture: &PacketFixture<'_>, [one, beside, other]: [&Machine; 3]) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    let _names = serve(&fixture.lab.host, &[("53/tcp", "names"), ("53/udp", "names")])?;
    let mut services = Vec::new();
    for (machine, name) in [(one, "one"), (beside, "beside"), (other, "other")] {
        services.extend(serve(machine, &[("80/tcp", name), ("80/udp", name)])?);
    }
    let host = fixture.on_segment_of(one);
    let mut expect = Expectations::default();
    expect.answers(one, host.at(53), "names").silent(one, host.at(9000)).silent(one, host.at(8080));
    expect.answers_over(Proto::Tcp, one, fixture.at(80), "shop");
    // One pattern names them: to dockfw they are one network, as Podman keeps them too unless it is told to isolate them.
    expect.answers(one, beside.at(80), "beside").answers(one, other.at(80), "other");
    expect.answers(one, untrusted.at(80), "untrusted").answers(&fixture.web, one.at(80), "one");
    expect.answers(&fixture.lab.trusted, one.at(80), "one").answers(
        &fixture.lab.trusted,
        fixture.at(9000),
        "private",
    );
    expect.answers_over(Proto::Tcp, untrusted, fixture.at(443), "shop").silent(untrusted, one.at(80));
    for port in [53, 8080, 9000] {
        expect.silent(untrusted, fixture.at(port));
    }
    expect.verify()?;

    let published = |port, open: &[Proto]| {
        translated(fixture, fixture.at(port), one.at(80), |expect| {
            for proto in PROTOS {
                if open.contains(&proto) {
                    expect.answers_over(proto, untrusted, fixture.at(port), "one");
                } else {
                    expect.silent_over(proto, untrusted, fixture.at(port));
                }
            }
        })
    };
    published(8096, &[Proto::Tcp])?;
    published(7359, &[Proto::Udp])?;
    published(8097, &[])
}

/// Verifies what is expected while somebody else's translation is there.
fn translated(
    fixture: &PacketFixture<'_>,
    from: [SocketAddr; 2],
    to: [SocketAddr; 2],
    expect: impl FnOnce(&mut Expectations),
) -> Result<()> {
    fixture.translate(from, to)?;
    let mut expectations = Expectations::default();
    expect(&mut expectations);
    let outcome = expectations.verify().with_context(|| format!("{from:?} translated to {to:?}"));
    fixture.end_translation()?;
    outcome
}

pub(in crate::cases) fn k3s(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let verify = || -> Result<()> {
        let [pod, beside] = machines(fixture.lab.bridge("cni0", 2)?)?;
        let remote = fixture.lab.outside_segment("flannel.1")?;
        for machine in [&pod, &beside, &remote] {
            connect(fixture, machine)?;
        }
        apply_first(fixture, setting, K3S)?;
        as_k3s_says(fixture, [&pod, &beside, &remote])
    };
    let outcome = verify();
    fixture.lab.host.shell("for link in cni0 flannel.1; do ip link delete $link || :; done")?;
    outcome
}

fn as_k3s_says(fixture: &PacketFixture<'_>, [pod, beside, remote]: [&Machine; 3]) -> Result<()> {
    let (admin, node, untrusted) = (&fixture.lab.trusted, &fixture.lab.office, &fixture.lab.untrusted);
    let own = [("6443/tcp", "api"), ("10250/tcp", "kubelet"), ("8472/udp", "flannel")];
    let _own = serve(&fixture.lab.host, &own)?;
    let mut services = Vec::new();
    for (machine, name) in [(pod, "pod"), (beside, "beside"), (remote, "remote")] {
        services.extend(serve(machine, &[("80/tcp", name), ("80/udp", name), ("9376/tcp", name)])?);
    }
    let mut expect = Expectations::default();
    expect.answers_over(Proto::Tcp, admin, fixture.at(6443), "api").silent(admin, fixture.at(10250));
    expect.answers_over(Proto::Tcp, node, fixture.at(6443), "api");
    expect.answers_over(Proto::Tcp, node, fixture.at(10250), "kubelet");
    expect.answers_over(Proto::Udp, node, fixture.at(8472), "flannel").silent(node, fixture.at(22));
    for port in [22, 6443, 8472, 9000, 10250] {
        expect.silent(untrusted, fixture.at(port));
    }
    expect.answers_over(Proto::Tcp, untrusted, fixture.at(8080), "web");
    expect.silent_over(Proto::Tcp, untrusted, pod.at(9376)).silent_over(Proto::Udp, untrusted, pod.at(80));
    let host = fixture.on_segment_of(pod);
    expect.answers_over(Proto::Tcp, pod, host.at(10250), "kubelet").silent(pod, host.at(9000));
    expect.answers(pod, beside.at(80), "beside").answers(pod, remote.at(80), "remote");
    expect.answers(remote, pod.at(80), "pod").silent_over(Proto::Udp, pod, fixture.at(8472));
    expect.answers(pod, untrusted.at(80), "untrusted").answers(&fixture.web, pod.at(80), "pod");
    expect.silent_over(Proto::Tcp, &fixture.web, fixture.at(10250)).verify()?;
    translations_of_k3s(fixture, [pod, remote])?;
    let pings: Described = pod
        .addresses()
        .into_iter()
        .zip(remote.addresses())
        .map(|(from, to)| (format!("ping of {to}"), Packet::echo(from, to, 1)))
        .collect();
    let arrived = survivors_by(fixture, "cni0", &pod.sender_to(&host)?, &pings)?;
    ensure!(arrived.len() == pings.len(), "pods of the other node hear only {arrived:?}");
    Ok(())
}

fn translations_of_k3s(fixture: &PacketFixture<'_>, [pod, remote]: [&Machine; 2]) -> Result<()> {
    let untrusted = &fixture.lab.untrusted;
    // kube-proxy leads the API's service to the node, and ServiceLB a port of the node to a pod, of this node or another.
    let api = ["10.43.0.1:443".parse()?, "[fd00:43::1]:443".parse()?];
    translated(fixture, api, fixture.at(6443), |expect| {
        expect.answers_over(Proto::Tcp, pod, api, "api").answers_over(Proto::Tcp, remote, api, "api");
    })?;
    for (target, name) in [(pod, "pod"), (remote, "remote")] {
        translated(fixture, fixture.at(443), target.at(80), |expect| {
            expect.answers_over(Proto::Tcp, untrusted, fixture.at(443), name);
            expect.silent_over(Proto::Udp, untrusted, fixture.at(443));
        })?;
    }
    translated(fixture, fixture.at(30080), pod.at(80), |expect| {
        expect.silent(untrusted, fixture.at(30080));
    })
}
