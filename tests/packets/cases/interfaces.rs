//! Interfaces that are not what their name says, and those that the policy treats apart.

use anyhow::{Result, ensure};
use dockfw_lab::Machine;

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::need::Need;
use crate::world::{Setting, World, at};

/// What an outsider behind `machine`'s interface must not reach.
fn is_shut_out(world: &World<'_>, machine: &Machine) -> Result<()> {
    let host = world.on_segment_of(machine);
    let mut expect = Expectations::default();
    expect.shut_out(machine, host.at(9000)).shut_out(machine, host.at(8080));
    expect.shut_out(machine, at(&world.quiet.addresses, 80)).shut_out(machine, at(&world.web.addresses, 80));
    expect.verify()
}

/// Tries to apply, and wants a refusal for the operator's safety that says all of this.
pub(super) fn is_refused(world: &World<'_>, setting: Setting, policy: &str, words: &[&str]) -> Result<()> {
    let output = world.try_apply(setting, policy, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(6), "apply ended with {}: {said}", output.status);
    for word in words {
        ensure!(said.contains(word), "no {word:?} in {said}");
    }
    Ok(())
}

fn apply_by_force(world: &World<'_>, setting: Setting, policy: &str) -> Result<()> {
    let output = world.try_apply(setting, policy, &["--force"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The name of a bridge of Docker's, and none.
pub(super) fn no_bridge(world: &World<'_>, setting: Setting) -> Result<()> {
    let machine = world.lab.outside_segment("br-ex")?;
    world.route_all(&machine)?;
    world.remove()?;
    let mut expect = Expectations::default();
    world.direct(&mut expect, &machine, at(&world.quiet.addresses, 80), "quiet");
    expect.verify()?;
    is_refused(world, setting, SOURCES, &["br-ex", "is not a bridge"])?;
    apply_by_force(world, setting, SOURCES)?;
    let outcome = is_shut_out(world, &machine);
    // At once, and not when the kernel gets round to it: the next case would be refused for it.
    world.lab.host.ip(&["link delete br-ex"])?;
    outcome
}

/// A bridge of the right name with a network card in it, which came after the apply: a known gap until the next one.
pub(super) fn bridge_to_the_outside(world: &World<'_>, setting: Setting) -> Result<()> {
    world.apply(setting, SOURCES)?;
    let machine = world.lab.outside_segment("lan0")?;
    let host = world.on_segment_of(&machine);
    // Any kind but veth stands for hardware.
    world.lab.host.ip(&[
        "address flush dev lan0",
        "link add link lan0 name card0 type macvlan mode passthru",
        "link add br-lan type bridge mcast_snooping 0",
        &format!("address add {}/24 dev br-lan", host.v4),
        &format!("address add {}/64 dev br-lan nodad", host.v6),
    ])?;
    world.lab.enslave("card0", "br-lan")?;
    world.route_all(&machine)?;
    let mut expect = Expectations::default();
    world.direct(&mut expect, &machine, at(&world.quiet.addresses, 80), "quiet");
    let gap = expect.silent(&machine, host.at(9000)).verify();
    let refusal = is_refused(world, setting, &opening(&["22"], ""), &["br-lan", "card0"]);
    let status = world.lab.dockfw(&["status"])?;
    world.lab.host.ip(&["link delete br-lan", "link delete card0"])?;
    gap.and(refusal)?;
    let said = String::from_utf8_lossy(&status.stdout);
    ensure!(status.status.code() == Some(7) && said.contains("br-lan matches"), "{}: {said}", status.status);
    Ok(())
}

pub(super) fn foreign_bridge(world: &World<'_>, setting: Setting) -> Result<()> {
    on_foreign_bridge(world, setting, false)
}

pub(super) fn foreign_bridge_through_hooks(world: &World<'_>, setting: Setting) -> Result<()> {
    on_foreign_bridge(world, setting, true)
}

/// Two machines on a bridge that is not Docker's, with or without bridged frames passing the host's hooks.
fn on_foreign_bridge(world: &World<'_>, setting: Setting, through_hooks: bool) -> Result<()> {
    let machines = world.lab.bridge("virbr9", 2)?;
    let [one, two] = machines.as_slice() else { anyhow::bail!("two machines were asked for") };
    let services = [two.serve("80/tcp", "two")?, two.serve("80/udp", "two")?];
    let with_interfaces = |lines: &str| format!("{SOURCES}\n[interfaces]\n{lines}\n");
    world.remove()?;
    let refusal = is_refused(world, setting, SOURCES, &["virbr9", "exempt   = [\"virbr9\"]"]);
    let host = world.on_segment_of(one);
    let outcome = refusal.and_then(|()| {
        send_through_hooks(world, through_hooks)?;
        world.apply(setting, &with_interfaces("exempt = [\"virbr9\"]"))?;
        let mut expect = Expectations::default();
        expect.answers(one, two.at(80), "two").answers(one, host.at(9000), "private").verify()?;
        world.apply(setting, &with_interfaces("filtered = [\"*\", \"virbr9\"]"))?;
        let mut expect = Expectations::default();
        if through_hooks {
            expect.silent(one, two.at(80));
        } else {
            expect.answers(one, two.at(80), "two");
        }
        expect.silent(one, host.at(9000)).verify()
    });
    let reset = send_through_hooks(world, false);
    world.lab.host.ip(&["link delete virbr9"])?;
    drop(services);
    outcome.and(reset)
}

/// Without br_netfilter, bridged frames pass no hooks.
pub(super) fn send_through_hooks(world: &World<'_>, whether: bool) -> Result<()> {
    if Need::BridgeNetfilter.lack().is_some() {
        return Ok(());
    }
    let value = if whether { "1" } else { "0" };
    ["iptables", "ip6tables"].into_iter().try_for_each(|program| {
        world.lab.host.set_sysctl(&format!("net.bridge.bridge-nf-call-{program}"), value)
    })
}

pub(super) fn exempt(world: &World<'_>, setting: Setting) -> Result<()> {
    let machine = world.lab.outside_segment("vpn0")?;
    world.route_all(&machine)?;
    let host = world.on_segment_of(&machine);
    let policy = format!("{SOURCES}\n[interfaces]\nexempt = [\"vpn*\"]\n");
    world.apply(setting, &policy)?;
    let mut expect = Expectations::default();
    expect.answers(&machine, host.at(9000), "private");
    world.direct(&mut expect, &machine, at(&world.quiet.addresses, 80), "quiet");
    expect.silent(&world.lab.untrusted, world.at(9000)).verify()?;

    let blocked =
        policy.replace("blocked = [", &format!("blocked = [\"{}\", \"{}\", ", machine.v4, machine.v6));
    world.apply(setting, &blocked)?;
    is_shut_out(world, &machine)
}

pub(super) fn not_filtered(world: &World<'_>, setting: Setting) -> Result<()> {
    let machine = world.lab.outside_segment("dmz0")?;
    world.route_all(&machine)?;
    let host = world.on_segment_of(&machine);
    let output = world.apply(setting, &format!("{SOURCES}\n[interfaces]\nfiltered = [\"eth*\"]\n"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("dmz0 is not filtered"), "it said {said}");
    let mut expect = Expectations::default();
    expect.answers(&machine, host.at(9000), "private").silent(&world.lab.untrusted, world.at(9000));
    expect.silent(&world.lab.untrusted, at(&world.quiet.addresses, 80)).verify()
}
