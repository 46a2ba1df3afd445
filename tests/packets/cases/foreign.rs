//! What is not dockfw's: it stays.

use anyhow::{Result, ensure};

use super::{SOURCES, opening};
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};
use crate::need::Need;

pub(super) fn remove_leaves_nothing(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let lab = fixture.lab;
    let docker_user = !lab.docker_is_on_nftables();
    let [v4, v6] = lab.office.addresses().map(|address| address.to_string());
    // Older Dockers have no DOCKER-USER in IPv6.
    let foreign = [
        ("iptables", "INPUT", &v4),
        ("iptables", if docker_user { "DOCKER-USER" } else { "FORWARD" }, &v4),
        ("ip6tables", "INPUT", &v6),
        ("ip6tables", "FORWARD", &v6),
    ];
    fixture.remove()?;
    for (program, chain, from) in foreign {
        lab.on_host(program, &["-I", chain, "-s", from, "-j", "DROP"])?;
    }
    let before = fixture.rules()?;
    // Ten applies, among them a move to the other engine and back, where that works.
    let has_both = docker_user && Need::NfTables.lack().is_none();
    let other = if has_both { setting.engine.other() } else { setting.engine };
    let other = Setting { engine: other, ..setting };
    for setting in [[setting; 4].as_slice(), &[other; 2], &[setting; 4]].concat() {
        fixture.apply(setting, SOURCES)?;
        fixture.apply(setting, &opening(&["22", "8443"], ""))?;
    }
    // What others drop stays dropped, also where the policy is open.
    let outcome =
        Expectations::default().silent(&lab.office, [fixture.at(22), fixture.at(8443)].concat()).verify();
    fixture.remove()?;
    let after = fixture.rules()?;
    for (program, chain, from) in foreign {
        lab.on_host(program, &["-D", chain, "-s", from, "-j", "DROP"])?;
    }
    outcome?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    Expectations::default().answers(&lab.untrusted, fixture.at(9000), "private").verify()
}

/// As VPNs and virtual machines' managers do, long after the apply.
pub(super) fn accepted_first(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let lab = fixture.lab;
    let each = |change: &str| {
        for (program, chain) in ["iptables", "ip6tables"]
            .into_iter()
            .flat_map(|program| ["INPUT", "FORWARD"].map(|chain| (program, chain)))
        {
            lab.on_host(program, &[change, chain, "-j", "ACCEPT"])?;
        }
        anyhow::Ok(())
    };
    fixture.apply(setting, SOURCES)?;
    each("-I")?;
    let closed = || {
        let mut expect = Expectations::default();
        expect.silent(&lab.untrusted, [fixture.at(9000), fixture.at(8080)].concat());
        expect.silent(&lab.blocked, fixture.at(9000));
        expect.answers(&lab.trusted, fixture.at(9000), "private").verify()
    };
    let outcome = closed().and_then(|()| {
        let said = String::from_utf8_lossy(&fixture.apply(setting, SOURCES)?.stdout).into_owned();
        ensure!(said.contains("nothing changed"), "it said {said}");
        closed()
    });
    each("-D")?;
    outcome
}

pub(super) fn apply_is_idempotent(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = opening(&["22", "8443"], "");
    fixture.apply(setting, &policy)?;
    let before = fixture.rules()?;
    let output = fixture.apply(setting, &policy)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("nothing changed"), "it said {said}");
    ensure!(fixture.rules()? == before, "rules or handles have changed");
    Ok(())
}
