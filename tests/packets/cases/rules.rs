//! Rules for some interfaces, and rules that keep their ports for their own sources.

use anyhow::Result;

use super::SOURCES;
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting, at};

/// A process of the host and a published port, for whoever comes by `interface`.
fn by(interface: &str) -> String {
    let ports = "\"9000/tcp\", \"9000/udp\", \"8083/tcp\", \"8083/udp\"";
    format!("{SOURCES}[[allow]]\nname = \"vpn\"\nin = [\"{interface}\"]\nports = [{ports}]\n")
}

/// The interface goes and comes again without an apply.
pub(super) fn by_interface(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    for pattern in ["lan0", "lan*"] {
        fixture.apply(setting, &by(pattern))?;
        for _ in 0..2 {
            let machine = fixture.lab.outside_segment("lan0")?;
            fixture.route_all(&machine)?;
            let host = fixture.on_segment_of(&machine);
            let mut expect = Expectations::default();
            expect
                .answers(&machine, host.at(9000), "private")
                .answers(&machine, host.at(8083), "second")
                .silent(&machine, host.at(22))
                .silent(&fixture.lab.untrusted, fixture.at(9000))
                .silent(&fixture.lab.untrusted, fixture.at(8083))
                .answers(&fixture.lab.trusted, fixture.at(9000), "private");
            let outcome = expect.verify();
            fixture.lab.host.ip(&["link delete lan0"])?;
            outcome?;
        }
    }
    Ok(())
}

/// `from = ["containers"]` and a bridge: the containers of one network.
pub(super) fn by_one_network(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let rule = "[[allow]]\nname = \"one\"\nfrom = [\"containers\"]\nin = [\"docker0\"]\nports = [\"9000/tcp\", \"9000/udp\"]\n";
    fixture.apply(setting, &format!("{SOURCES}{rule}"))?;
    let mut expect = Expectations::default();
    expect
        .answers(&fixture.web, fixture.at(9000), "private")
        .silent(&fixture.second, fixture.at(9000))
        .silent(&fixture.lab.untrusted, fixture.at(9000))
        .verify()
}

/// A process of the host, a published port, and a container's own.
const KEPT: &str = r#"
[[allow]]
name  = "office"
from  = ["192.0.2.24/29", "2001:db8:1::30"]
ports = ["22/tcp", "22/udp", "8083/tcp", "8083/udp"]
only  = true

[[allow]]
name  = "own port"
from  = ["192.0.2.24/29", "2001:db8:1::30"]
ports = ["80/tcp", "80/udp"]
to    = "container"
only  = true
"#;

/// A second rule with `only` adds to the first one, a rule without it does not.
pub(super) fn kept(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let lab = fixture.lab;
    let others =
        "[[allow]]\nname = \"everyone\"\nports = [\"22/tcp\", \"22/udp\", \"8443/tcp\", \"8443/udp\"]\n";
    fixture.apply(setting, &format!("{SOURCES}{KEPT}{others}"))?;
    let mut expect = Expectations::default();
    expect.answers(&lab.office, fixture.at(22), "ssh").answers(&lab.office, fixture.at(8083), "second");
    for shut_out in [&lab.trusted, &lab.untrusted] {
        expect.silent(shut_out, fixture.at(22)).silent(shut_out, fixture.at(8083));
    }
    // A container's own port, by direct routing and behind a published one.
    expect.silent(&lab.trusted, at(&fixture.web.addresses, 80)).silent(&lab.trusted, fixture.at(8080));
    expect.answers(&lab.trusted, fixture.at(9000), "private");
    expect.answers(&lab.untrusted, fixture.at(8443), "same");
    expect.verify()?;

    let second = "[[allow]]\nname = \"home\"\nfrom = [\"192.0.2.10\", \"2001:db8:1::10\"]\nports = [\"22/tcp\", \"22/udp\"]\nonly = true\n";
    fixture.apply(setting, &format!("{SOURCES}{KEPT}{second}"))?;
    let mut expect = Expectations::default();
    expect.answers(&lab.office, fixture.at(22), "ssh").answers(&lab.trusted, fixture.at(22), "ssh");
    expect.silent(&lab.untrusted, fixture.at(22)).silent(&lab.trusted, fixture.at(8083)).verify()
}

/// Whoever is blocked stays out, also by a rule with `only`.
pub(super) fn blocked_beats_kept(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let rule = "[[allow]]\nname = \"one\"\nfrom = [\"192.0.2.40\", \"2001:db8:1::40\"]\nports = [\"9000/tcp\", \"9000/udp\"]\nonly = true\n";
    fixture.apply(setting, &format!("{SOURCES}{rule}"))?;
    let mut expect = Expectations::default();
    expect
        .shut_out(&fixture.lab.blocked, fixture.at(9000))
        .silent(&fixture.lab.trusted, fixture.at(9000))
        .verify()
}
