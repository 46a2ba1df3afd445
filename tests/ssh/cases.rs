//! The cases.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Machine, knock, wait_until};

use crate::fixture::{Login, Session, SshFixture};

/// Nobody of the lab but the trusted client.
const CLOSED: &str = "trusted = [\"192.0.2.10\", \"2001:db8:1::10\"]\n";

/// The same, and this port of the host is open to everyone.
fn opening(port: u16) -> String {
    format!("{CLOSED}[[allow]]\nname = \"ssh\"\nports = [\"{port}/tcp\"]\nto = \"host\"\n")
}

/// How long anything may take that a session's end is to bring about.
const PATIENCE: Duration = Duration::from_secs(30);

/// A case, and what it is about.
type Case = (&'static str, fn(&SshFixture) -> Result<()>);

pub(crate) const CASES: &[Case] = &[
    ("a policy that would cut the running session is refused", cut_session_is_refused),
    ("the same over IPv6 and from a link-local address", over_ipv6),
    ("the session is found where sudo has lost the variable", without_the_variable),
    ("within tmux the variable tells whose session it is", reparented),
    ("a scanner's connection to port 22 does not veto", scanner),
    ("an exempt interface shuts nobody out", exempt),
    ("a session by a redirected port is judged by the port that was dialled", redirected),
    ("a session that connection tracking has met half way is known by its own ends", met_half_way),
    ("force applies all the same and the session survives", by_force),
    ("force on trial comes back by itself and the session survives", by_force_on_trial),
    ("a policy on trial is taken back when its session is killed or loses its network", killed_session),
];

/// All rules of the host.
fn rules(session: &mut Session) -> Result<String> {
    let done = session.run("nft --stateless list ruleset; iptables-save; ip6tables-save; ipset save")?;
    // Counters of built-in chains go on.
    let lines = done.said.lines().filter(|line| !line.starts_with(['#', ':']));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Wants an apply to be refused, with words that name the address, and to change nothing.
fn is_refused(session: &mut Session, apply: &str, address: &str, port: u16) -> Result<String> {
    let before = rules(session)?;
    let done = session.run(apply)?;
    done.exits(6)?.says(&format!("you are connected from {address} to port {port}/tcp"))?;
    ensure!(rules(session)? == before, "the rules have changed");
    Ok(done.said)
}

fn cut_session_is_refused(fixture: &SshFixture) -> Result<()> {
    let client = &fixture.lab.untrusted;
    let mut session = fixture.login(client, "192.0.2.1")?;
    fixture.policy(CLOSED)?;
    let said = is_refused(&mut session, &fixture.apply(""), "192.0.2.20", 22)?;
    is_refused(&mut session, &fixture.apply("--dry-run"), "192.0.2.20", 22)?;
    // The rule that is to be added lets the session's successor in, and no one else.
    let rule = said.split_once("[[allow]]").and_then(|(_, rest)| rest.split_once("help:"));
    let rule = rule.map(|(rule, _)| rule).unwrap_or_default();
    fixture.policy(&format!("{CLOSED}[[allow]]{rule}"))?;
    session.run(&fixture.apply(""))?.exits(0)?;
    session.is_alive()?;
    fixture.login(client, "192.0.2.1")?.is_alive()?;
    ensure!(fixture.is_shut(&fixture.lab.office, fixture.lab.host.v4.into()), "others get in too");
    Ok(())
}

fn over_ipv6(fixture: &SshFixture) -> Result<()> {
    let client = &fixture.lab.untrusted;
    fixture.policy(CLOSED)?;
    let mut session = fixture.login(client, "2001:db8:1::1")?;
    is_refused(&mut session, &fixture.apply(""), "2001:db8:1::20", 22)?;
    let own = |machine: &Machine| {
        let listed = machine.shell("ip -6 -oneline address show dev eth0 scope link")?;
        let address =
            listed.split_whitespace().skip_while(|word| *word != "inet6").nth(1).unwrap_or_default();
        anyhow::Ok(address.split('/').next().unwrap_or_default().to_owned())
    };
    let mut session = fixture.login(client, &format!("{}%eth0", own(&fixture.lab.host)?))?;
    is_refused(&mut session, &fixture.apply(""), &own(client)?, 22)?;
    Ok(())
}

/// As `sudo -i` does.
fn without_the_variable(fixture: &SshFixture) -> Result<()> {
    let mut session = fixture.login(&fixture.lab.untrusted, "192.0.2.1")?;
    fixture.policy(CLOSED)?;
    let apply = format!("env -i PATH=$PATH setsid --wait sh -c '{}'", fixture.apply(""));
    is_refused(&mut session, &apply, "192.0.2.20", 22)?;
    // What the variable says falsely does not count.
    let apply = format!("SSH_CONNECTION='192.0.2.10 1 192.0.2.1 22' {}", fixture.apply(""));
    is_refused(&mut session, &apply, "192.0.2.20", 22)?;
    Ok(())
}

/// A shell whose parent is init, as tmux and screen have them: only the variable tells whose it is.
fn reparented(fixture: &SshFixture) -> Result<()> {
    let mut session = fixture.login(&fixture.lab.untrusted, "192.0.2.1")?;
    fixture.policy(CLOSED)?;
    // The parent ends at once, and is waited for; the pipe is read to the end.
    let orphan = |variable: &str| {
        let adopted = "until grep -q \"^PPid:.1$\" /proc/$$/status; do :; done";
        let apply = fixture.apply("");
        format!("out=$( (setsid sh -c '{adopted}; {variable} {apply}; echo code $?' 2>&1 &) ); echo \"$out\"")
    };
    let up = session.run(&orphan(""))?;
    up.says("you are connected from 192.0.2.20")?.says("code 6")?;
    let gone = session.run(&orphan("export SSH_CONNECTION=\"192.0.2.20 1 192.0.2.1 22\";"))?;
    gone.says("names a connection that is gone; if you are still there, you are connected from 192.0.2.20")?
        .says("code 6")?;
    Ok(())
}

fn scanner(fixture: &SshFixture) -> Result<()> {
    let host = fixture.lab.host.v4.into();
    let scans = [&fixture.lab.untrusted, &fixture.lab.blocked].map(|machine| knock(machine, host));
    let _held = scans.into_iter().collect::<Result<Vec<_>>>()?;
    fixture.policy(CLOSED)?;
    let mut session = fixture.login(&fixture.lab.trusted, "192.0.2.1")?;
    session.run(&fixture.apply(""))?.exits(0)?;
    session.is_alive()?;
    // Nor where nobody is logged in.
    fixture.policy("trusted = [\"192.0.2.99\"]\n")?;
    fixture.console()?.run(&fixture.apply(""))?.exits(0)?;
    // But a policy that lets nobody in at all is refused there too.
    fixture.policy("blocked = [\"192.0.2.99\"]\n")?;
    fixture.console()?.run(&fixture.apply(""))?.exits(6)?.says("trusts nobody and opens no port")?;
    Ok(())
}

fn exempt(fixture: &SshFixture) -> Result<()> {
    let machine = fixture.lab.outside_segment("vpn0")?;
    let [a, b, c, _] = machine.v4.octets();
    let host = format!("{a}.{b}.{c}.1");
    let mut session = fixture.login(&machine, &host)?;
    fixture.policy(&format!("{CLOSED}[interfaces]\nexempt = [\"vpn0\"]\n"))?;
    session.run(&fixture.apply(""))?.exits(0)?;
    fixture.login(&machine, &host)?.is_alive()
}

fn redirected(fixture: &SshFixture) -> Result<()> {
    for iptables in ["iptables", "ip6tables"] {
        let rule = "-t nat -A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22";
        fixture.lab.on_host(iptables, &rule.split(' ').collect::<Vec<_>>())?;
    }
    for (host, client) in [("192.0.2.1", "192.0.2.20"), ("2001:db8:1::1", "2001:db8:1::20")] {
        let mut session = fixture.login_by(&fixture.lab.untrusted, host, 2222)?;
        fixture.policy(&opening(22))?;
        is_refused(&mut session, &fixture.apply(""), client, 2222)?;
        fixture.policy(&opening(2222))?;
        session.run(&fixture.apply(""))?.exits(0)?;
        session.is_alive()?;
        fixture.login_by(&fixture.lab.untrusted, host, 2222)?.is_alive()?;
    }
    Ok(())
}

/// Connection tracking begins with the first apply, and takes the next packet for the first: one of this host's.
fn met_half_way(fixture: &SshFixture) -> Result<()> {
    let mut session = fixture.login(&fixture.lab.untrusted, "192.0.2.1")?;
    fixture.policy(&opening(22))?;
    session.run(&fixture.apply(""))?.exits(0)?;
    session.is_alive()?;
    fixture.policy(CLOSED)?;
    is_refused(&mut session, &fixture.apply(""), "192.0.2.20", 22).map(drop)
}

fn by_force(fixture: &SshFixture) -> Result<()> {
    let mut session = fixture.login(&fixture.lab.untrusted, "192.0.2.1")?;
    fixture.policy(CLOSED)?;
    session.run(&fixture.apply("--force"))?.exits(0)?;
    session.is_alive()?;
    let host = fixture.lab.host.v4.into();
    ensure!(fixture.is_shut(&fixture.lab.untrusted, host), "the policy is not in force");
    Ok(())
}

fn by_force_on_trial(fixture: &SshFixture) -> Result<()> {
    let (client, host) = (&fixture.lab.untrusted, fixture.lab.host.v4.into());
    let mut session = fixture.login(client, "192.0.2.1")?;
    fixture.policy(&opening(22))?;
    session.run(&fixture.apply(""))?.exits(0)?;
    fixture.policy(CLOSED)?;
    session.run(&fixture.apply("--confirm 5s"))?.exits(6)?.says("--force --confirm 60s")?;
    session.begin(&fixture.apply("--force --confirm 5s"))?;
    let is_cut = || fixture.is_shut(client, host).then_some(());
    wait_until(Duration::from_secs(30), "for the policy to be in force", is_cut)?;
    session.end()?.exits(7)?.says("NEW connection")?.says("in another window: ssh root@192.0.2.1\n")?;
    session.is_alive()?;
    fixture.login(client, "192.0.2.1")?.is_alive()
}

/// How a session ends, of which this is the process that runs `dockfw apply`, by its number on the host.
type End = fn(&SshFixture, &mut Login, waiter: &str) -> Result<()>;

/// With a terminal and without. That the network is gone, sshd finds out by itself.
fn killed_session(fixture: &SshFixture) -> Result<()> {
    let ends: [(&str, bool, End); 3] = [
        ("the client is killed", true, |_, login, _| login.kill()),
        ("its sshd is killed", false, |fixture, _, waiter| kill_sshd_of(fixture, waiter)),
        ("the network is gone", true, |fixture, _, _| fixture.lab.untrusted.ip(&["link set eth0 down"])),
    ];
    for (name, terminal, end) in ends {
        is_taken_back(fixture, terminal, end).context(name)?;
    }
    Ok(())
}

/// The nearest of its parents that is sshd's.
fn kill_sshd_of(fixture: &SshFixture, waiter: &str) -> Result<()> {
    let script = format!(
        "set -e
         own={waiter}
         until grep -q ^sshd /proc/$own/comm; do
             own=$(sed -n 's/^PPid:.//p' /proc/$own/status)
             [ \"$own\" -gt 1 ]
         done
         kill -KILL $own"
    );
    fixture.lab.host.shell(&script).map(drop)
}

/// Puts a policy on trial that shuts clients out, from within a session, and ends that.
fn is_taken_back(fixture: &SshFixture, terminal: bool, end: End) -> Result<()> {
    let (client, outsider, host) = (&fixture.lab.untrusted, &fixture.lab.office, fixture.lab.host.v4.into());
    let mut console = fixture.console()?;
    let open = opening(22);
    fixture.policy(&open)?;
    console.run(&fixture.apply(""))?.exits(0)?;
    fixture.policy(CLOSED)?;
    client.ip(&["link set eth0 up"])?;
    let mut login = fixture.run(client, terminal, &fixture.apply("--force --confirm 1h"))?;
    // The oldest: a program that it starts has its command line for a moment.
    let waiter = || fixture.lab.host.shell("pgrep -ofx '[^ ]*/dockfw .* --confirm 1h'").ok();
    let waiter = wait_until(PATIENCE, "for the apply", waiter)?;
    let is_cut = || fixture.is_shut(outsider, host).then_some(());
    wait_until(PATIENCE, "for the policy to be in force", is_cut)?;
    end(fixture, &mut login, waiter.trim())?;
    wait_until(PATIENCE, "for the policy before", || knock(outsider, host).ok())?;
    wait_until(PATIENCE, "for the watcher's end", || fixture.lab.host.shell("! pgrep -x dockfw").ok())?;
    fixture.policy(&open)?;
    console.run(&format!("{} diff", fixture.dockfw()))?.exits(0)?;
    console.run(&format!("{} status", fixture.dockfw()))?.says("was rolled back")?;
    Ok(())
}
