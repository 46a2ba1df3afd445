//! Interfaces that are not what their name says, and those that the policy treats apart.

use anyhow::{Result, ensure};
use dockfw_lab::Machine;

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};
use crate::need::Need;

/// What an outsider behind `machine`'s interface must not reach.
fn is_shut_out(fixture: &PacketFixture<'_>, machine: &Machine) -> Result<()> {
    let host = fixture.on_segment_of(machine);
    let mut expect = Expectations::default();
    expect.shut_out(machine, host.at(9000)).shut_out(machine, host.at(8080));
    expect
        .shut_out(machine, at(&fixture.quiet.addresses, 80))
        .shut_out(machine, at(&fixture.web.addresses, 80));
    expect.verify()
}

/// Tries to apply, and wants a refusal for the operator's safety that says all of this.
pub(super) fn is_refused(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    policy: &str,
    words: &[&str],
) -> Result<()> {
    let output = fixture.try_apply(setting, policy, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(6), "apply ended with {}: {said}", output.status);
    for word in words {
        ensure!(said.contains(word), "no {word:?} in {said}");
    }
    Ok(())
}

fn apply_by_force(fixture: &PacketFixture<'_>, setting: Setting, policy: &str) -> Result<()> {
    let output = fixture.try_apply(setting, policy, &["--force"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The name of a bridge of Docker's, and none.
pub(super) fn no_bridge(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let machine = fixture.lab.outside_segment("br-ex")?;
    fixture.route_all(&machine)?;
    fixture.remove()?;
    let mut expect = Expectations::default();
    fixture.direct(&mut expect, &machine, at(&fixture.quiet.addresses, 80), "quiet");
    expect.verify()?;
    is_refused(fixture, setting, SOURCES, &["br-ex", "is not a bridge"])?;
    apply_by_force(fixture, setting, SOURCES)?;
    let outcome = is_shut_out(fixture, &machine);
    // At once, and not when the kernel gets round to it: the next case would be refused for it.
    fixture.lab.host.ip(&["link delete br-ex"])?;
    outcome
}

/// A bridge of the right name with a network card in it, which came after the apply: a known gap until the next one.
pub(super) fn bridge_to_the_outside(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, SOURCES)?;
    let machine = fixture.lab.outside_segment("lan0")?;
    let host = fixture.on_segment_of(&machine);
    // Any kind but veth stands for hardware.
    fixture.lab.host.ip(&[
        "address flush dev lan0",
        "link add link lan0 name card0 type macvlan mode passthru",
        "link add br-lan type bridge mcast_snooping 0",
        &format!("address add {}/24 dev br-lan", host.v4),
        &format!("address add {}/64 dev br-lan nodad", host.v6),
    ])?;
    fixture.lab.enslave("card0", "br-lan")?;
    fixture.route_all(&machine)?;
    let mut expect = Expectations::default();
    fixture.direct(&mut expect, &machine, at(&fixture.quiet.addresses, 80), "quiet");
    let gap = expect.silent(&machine, host.at(9000)).verify();
    let refusal = is_refused(fixture, setting, &opening(&["22"], ""), &["br-lan", "card0"]);
    let status = fixture.lab.dockfw(&["status"])?;
    fixture.lab.host.ip(&["link delete br-lan", "link delete card0"])?;
    gap.and(refusal)?;
    let said = String::from_utf8_lossy(&status.stdout);
    ensure!(status.status.code() == Some(7) && said.contains("br-lan matches"), "{}: {said}", status.status);
    Ok(())
}

pub(super) fn foreign_bridge(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    on_foreign_bridge(fixture, setting, false)
}

pub(super) fn foreign_bridge_through_hooks(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    on_foreign_bridge(fixture, setting, true)
}

/// Two machines on a bridge that is not Docker's, with or without bridged frames passing the host's hooks.
fn on_foreign_bridge(fixture: &PacketFixture<'_>, setting: Setting, through_hooks: bool) -> Result<()> {
    let machines = fixture.lab.bridge("virbr9", 2)?;
    let [one, two] = machines.as_slice() else { anyhow::bail!("two machines were asked for") };
    let services = [two.serve("80/tcp", "two")?, two.serve("80/udp", "two")?];
    let with_interfaces = |lines: &str| format!("{SOURCES}\n[interfaces]\n{lines}\n");
    fixture.remove()?;
    let refusal = is_refused(fixture, setting, SOURCES, &["virbr9", "exempt   = [\"virbr9\"]"]);
    let host = fixture.on_segment_of(one);
    let outcome = refusal.and_then(|()| {
        send_through_hooks(fixture, through_hooks)?;
        fixture.apply(setting, &with_interfaces("exempt = [\"virbr9\"]"))?;
        let mut expect = Expectations::default();
        expect.answers(one, two.at(80), "two").answers(one, host.at(9000), "private").verify()?;
        fixture.apply(setting, &with_interfaces("filtered = [\"*\", \"virbr9\"]"))?;
        let mut expect = Expectations::default();
        if through_hooks {
            expect.silent(one, two.at(80));
        } else {
            expect.answers(one, two.at(80), "two");
        }
        expect.silent(one, host.at(9000)).verify()
    });
    let reset = send_through_hooks(fixture, false);
    fixture.lab.host.ip(&["link delete virbr9"])?;
    drop(services);
    outcome.and(reset)
}

/// Without br_netfilter, bridged frames pass no hooks.
pub(super) fn send_through_hooks(fixture: &PacketFixture<'_>, whether: bool) -> Result<()> {
    if Need::BridgeNetfilter.lack().is_some() {
        return Ok(());
    }
    let value = if whether { "1" } else { "0" };
    ["iptables", "ip6tables"].into_iter().try_for_each(|program| {
        fixture.lab.host.set_sysctl(&format!("net.bridge.bridge-nf-call-{program}"), value)
    })
}

pub(super) fn exempt(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let machine = fixture.lab.outside_segment("vpn0")?;
    fixture.route_all(&machine)?;
    let host = fixture.on_segment_of(&machine);
    let policy = format!("{SOURCES}\n[interfaces]\nexempt = [\"vpn*\"]\n");
    fixture.apply(setting, &policy)?;
    let mut expect = Expectations::default();
    expect.answers(&machine, host.at(9000), "private");
    fixture.direct(&mut expect, &machine, at(&fixture.quiet.addresses, 80), "quiet");
    expect.silent(&fixture.lab.untrusted, fixture.at(9000)).verify()?;

    let blocked =
        policy.replace("blocked = [", &format!("blocked = [\"{}\", \"{}\", ", machine.v4, machine.v6));
    fixture.apply(setting, &blocked)?;
    is_shut_out(fixture, &machine)
}

pub(super) fn not_filtered(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let machine = fixture.lab.outside_segment("dmz0")?;
    fixture.route_all(&machine)?;
    let host = fixture.on_segment_of(&machine);
    let output = fixture.apply(setting, &format!("{SOURCES}\n[interfaces]\nfiltered = [\"eth*\"]\n"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("dmz0 is not filtered"), "it said {said}");
    let mut expect = Expectations::default();
    expect.answers(&machine, host.at(9000), "private").silent(&fixture.lab.untrusted, fixture.at(9000));
    expect.silent(&fixture.lab.untrusted, at(&fixture.quiet.addresses, 80)).verify()
}
