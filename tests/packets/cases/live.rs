//! Connections that are up while policies change, and outsiders that knock meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{
    Conversation, Engine, Knocker, Netns, Outcome, PROTOS, Proto, Service, Transfer, probe_all, wait_until,
};

use super::opening;
use crate::expect::Expectations;
use crate::fixture::{PacketFixture, Setting};

/// Held by whatever changes rules.
const LOCK: &str = "/run/dockfw/lock";
/// A host process and a published port that stream and echo.
const STREAMS: [u16; 2] = [2222, 8444];

/// Everything that is up at once, from one client.
pub(super) struct Traffic {
    downloads: Vec<Transfer>,
    conversations: Vec<Conversation>,
    _services: Vec<Service>,
}

impl Traffic {
    pub(super) fn start(fixture: &PacketFixture<'_>, from: &Netns) -> Result<Self> {
        let mut services = Vec::new();
        for (netns, port) in [&fixture.lab.host.netns, &fixture.live.netns].into_iter().zip(STREAMS) {
            services.push(netns.serve_stream(&format!("{port}/tcp"), "stream")?);
            services.push(netns.serve_echo(&format!("{port}/udp"), "echo")?);
        }
        let addresses = STREAMS.into_iter().flat_map(|port| fixture.at(port));
        let downloads = addresses.clone().map(|at| from.download(at)).collect::<Result<_>>()?;
        let conversations = addresses.map(|at| from.converse(Proto::Udp, at)).collect::<Result<_>>()?;
        let mut traffic = Self { downloads, conversations, _services: services };
        traffic.is_alive()?;
        Ok(traffic)
    }

    pub(super) fn is_alive(&mut self) -> Result<()> {
        self.downloads.iter().try_for_each(Transfer::assert_flowing)?;
        self.conversations.iter_mut().try_for_each(|conversation| conversation.say("still there?"))
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.is_alive()?;
        self.downloads.into_iter().try_for_each(|download| download.finish().map(drop))
    }
}

/// Knocks at what is closed: a host process and a published port.
pub(super) fn knock(fixture: &PacketFixture<'_>) -> Vec<Knocker> {
    let closed = [9000, 8080].into_iter().flat_map(|port| fixture.at(port));
    closed.flat_map(|at| PROTOS.map(|proto| fixture.lab.untrusted.knock(proto, at))).collect()
}

pub(super) fn nobody_answered(knockers: Vec<Knocker>) -> Result<()> {
    knockers.iter().try_for_each(|knocker| knocker.wait_for_more(2))?;
    knockers.into_iter().try_for_each(|knocker| knocker.finish().map(drop))
}

pub(super) fn through_a_hundred_applies(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let open = opening(&["2222", "8444"], "");
    let policies = [
        opening(&["22"], "host"),
        open.clone(),
        "trusted = [\"192.0.2.10\", \"198.51.100.0/24\", \"2001:db8:7::/48\"]".to_owned(),
        opening(&["8443"], "docker"),
    ];
    fixture.apply(setting, &open)?;
    let mut traffic = Traffic::start(fixture, &fixture.lab.untrusted)?;
    let knockers = knock(fixture);
    for _ in 0..25 {
        for policy in &policies {
            fixture.apply(setting, policy)?;
        }
        // Of a UDP flow that is silent for long, connection tracking knows nothing any more (nf_conntrack_udp_timeout).
        traffic.is_alive()?;
    }
    nobody_answered(knockers)?;
    traffic.finish()
}

pub(super) fn a_blocked_source_in_the_middle(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let office = &fixture.lab.office;
    let open = opening(&["2222", "8444"], "");
    fixture.apply(setting, &open)?;
    // While it was blocked, in a case before, its neighbour discovery was too.
    for netns in [&fixture.lab.host.netns, &office.netns] {
        netns.shell("ip neigh flush all")?;
    }
    let traffic = Traffic::start(fixture, office)?;
    let blocked = open.replace("blocked = [", &format!("blocked = [\"{}\", \"{}\", ", office.v4, office.v6));
    let trusted =
        blocked.replace("trusted = [", &format!("trusted = [\"{}\", \"{}\", ", office.v4, office.v6));
    fixture.apply(setting, &trusted)?;
    for download in &traffic.downloads {
        download.assert_stalls(Duration::from_millis(500))?;
    }
    let mut expect = Expectations::default();
    expect
        .shut_out(office, fixture.at(2222))
        .shut_out(office, fixture.at(8444))
        .shut_out(office, fixture.at(8080));
    expect.verify()
}

pub(super) fn through_a_restart_of_docker(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &opening(&["2222", "8444"], ""))?;
    let mut traffic = Traffic::start(fixture, &fixture.lab.untrusted)?;
    let knockers = knock(fixture);
    fixture.docker.restart()?;
    fixture.lab.accept_forwarding()?;
    traffic.is_alive()?;
    nobody_answered(knockers)?;
    traffic.finish()?;
    let mut expect = Expectations::default();
    expect.silent(&fixture.lab.untrusted, fixture.at(8080)).answers(
        &fixture.lab.trusted,
        fixture.at(8080),
        "web",
    );
    expect.verify()
}

pub(super) fn a_wrong_policy_changes_nothing(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    fixture.apply(setting, &opening(&["22"], "host"))?;
    let before = fixture.rules()?;
    let output = fixture.try_apply(setting, "trusted = [\"192.0.2.10/24\"]", &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && said.contains("192.0.2.0/24"), "{}: {said}", output.status);
    ensure!(fixture.rules()? == before, "the policy in force has changed");
    Ok(())
}

/// The kernel refuses to change a table that another program owns.
pub(super) fn a_refusal_by_the_kernel_changes_nothing(
    fixture: &PacketFixture<'_>,
    setting: Setting,
) -> Result<()> {
    fixture.apply(setting, &opening(&["22"], "host"))?;
    let text = String::from_utf8(fixture.lab.dockfw(&["show"])?.stdout)?;
    fixture.remove()?;
    let owner = Owner::of_table(fixture, &text)?;
    let before = fixture.rules()?;
    let output = fixture.try_apply(setting, &opening(&["9000"], "host"), &[])?;
    ensure!(matches!(output.status.code(), Some(3 | 4)), "apply ended with {}", output.status);
    ensure!(fixture.rules()? == before, "the policy in force has changed");
    let mut expect = Expectations::default();
    expect
        .answers(&fixture.lab.untrusted, fixture.at(22), "ssh")
        .silent(&fixture.lab.untrusted, fixture.at(9000));
    let outcome = expect.verify();
    drop(owner);
    outcome
}

/// An nft that owns the table for as long as it runs.
struct Owner(Child);

impl Owner {
    fn of_table(fixture: &PacketFixture<'_>, text: &str) -> Result<Self> {
        let table = text.split_once("{\n").map_or("", |(_, rest)| rest);
        let text = format!("table inet dockfw {{\n\tflags owner\n{table}");
        std::fs::write("/run/owned.nft", text)?;
        let mut nft: Command = fixture.lab.host.command("nft");
        let mut nft = nft.arg("--interactive").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if let Some(stdin) = nft.stdin.as_mut() {
            std::io::Write::write_all(stdin, b"include \"/run/owned.nft\"\n")?;
        }
        let owner = Self(nft);
        let is_there = || fixture.rules().ok().filter(|rules| rules.contains("flags owner"));
        wait_until(Duration::from_secs(5), "for nft to own the table", is_there)?;
        Ok(owner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two policies that close different ports, and are long enough for an apply to be killed in the middle.
struct Alternatives {
    policies: [String; 2],
    ports: [(u16, &'static str); 2],
}

impl Alternatives {
    fn new() -> Result<Self> {
        let networks =
            (0..20_000_u32).map(|n| format!("{}/31\n", std::net::Ipv4Addr::from(0x0b00_0000 + n * 4)));
        std::fs::create_dir_all("/etc/dockfw")?;
        std::fs::write("/etc/dockfw/many.txt", networks.collect::<String>())?;
        let policy = |port| opening(&[port], "host").replace("trusted = [", "trusted = [\"file:many.txt\", ");
        Ok(Self { policies: [policy("22"), policy("3000")], ports: [(22, "ssh"), (3000, "behind")] })
    }

    /// Which of the two is in force for each family; an error where it is neither or both.
    fn in_force(&self, fixture: &PacketFixture<'_>) -> Result<[usize; 2]> {
        let places = [0, 1].map(|family| self.ports.map(|(port, _)| fixture.at(port)[family])).concat();
        let probe = |at| PROTOS.map(|proto| fixture.lab.untrusted.probe(proto, at));
        let probes: Vec<_> = places.into_iter().flat_map(probe).collect();
        let outcomes = probe_all(&probes);
        let (v4, v6) = outcomes.split_at(outcomes.len() / 2);
        self.only(v4).zip(self.only(v6)).map(<[usize; 2]>::from).with_context(|| {
            let told = probes.iter().zip(&outcomes).map(|(probe, outcome)| format!("\n  {probe}: {outcome}"));
            format!("neither the one policy nor the other:{}", told.collect::<String>())
        })
    }

    /// The only one of the two whose port answers, over all protocols.
    fn only(&self, outcomes: &[Outcome]) -> Option<usize> {
        let (first, second) = outcomes.split_at(outcomes.len() / 2);
        let is_open = |port: &[Outcome], name| port.iter().all(|outcome| outcome.is(name));
        let is_closed = |port: &[Outcome]| port.iter().all(Outcome::is_silent);
        let [(_, name), (_, other)] = self.ports;
        if is_open(first, name) && is_closed(second) {
            Some(0)
        } else if is_closed(first) && is_open(second, other) {
            Some(1)
        } else {
            None
        }
    }
}

/// Killed at any moment, an apply leaves the old policy or the new one; the compat engine, each family at one of them.
pub(super) fn killed_at_any_moment(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let both = Alternatives::new()?;
    let mut moments = Moments::within(time_of_apply(fixture, setting, &both.policies)?);
    let knockers = knock(fixture);
    let mut current = [0, 0];
    while let Some(delay) = moments.next()? {
        let other = 1 - current[0];
        let is_finished = apply_for(fixture, setting, &both.policies[other], delay)?;
        current = both.in_force(fixture)?;
        ensure!(!is_finished || current == [other; 2], "an apply has ended, and its policy is not in force");
        ensure!(setting.engine == Engine::Compat || current[0] == current[1], "a mixture: {current:?}");
        moments.note(is_finished);
    }
    nobody_answered(knockers)?;
    let other = 1 - current[0];
    fixture.apply(setting, &both.policies[other])?;
    ensure!(both.in_force(fixture)? == [other; 2], "the next apply did not repair it");
    Ok(())
}

/// The moments at which something is killed: later and later, until it is over before. Where that was so soon that too
/// few came before, over again in smaller steps.
pub(super) struct Moments {
    step: Duration,
    delay: Duration,
    killed: u32,
    finished: u32,
}

impl Moments {
    /// How many must have been killed, and how many finished, for the test to tell something.
    const ENOUGH: (u32, u32) = (4, 2);
    /// How many are tried at the most.
    const MOST: u32 = 100;

    /// For what takes about so long.
    pub(super) fn within(time: Duration) -> Self {
        Self { step: time / 8, delay: Duration::ZERO, killed: 0, finished: 0 }
    }

    /// The next moment, or nothing once enough were tried.
    pub(super) fn next(&mut self) -> Result<Option<Duration>> {
        let (killed, finished) = (self.killed, self.finished);
        if killed >= Self::ENOUGH.0 && finished >= Self::ENOUGH.1 {
            return Ok(None);
        }
        ensure!(killed + finished < Self::MOST, "{killed} killed and {finished} finished tell nothing");
        self.delay += self.step;
        Ok(Some(self.delay))
    }

    /// Whether it had finished by the last moment.
    pub(super) fn note(&mut self, is_finished: bool) {
        *(if is_finished { &mut self.finished } else { &mut self.killed }) += 1;
        if is_finished && self.killed < Self::ENOUGH.0 {
            (self.step, self.delay) = (self.step / 2, Duration::ZERO);
        }
    }
}

/// How long an apply takes that ends with the first of two policies: the shortest of three, for whatever else the machine
/// does can only make it longer.
pub(super) fn time_of_apply(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    policies: &[String; 2],
) -> Result<Duration> {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        fixture.apply(setting, &policies[1])?;
        let start = Instant::now();
        fixture.apply(setting, &policies[0])?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}

/// Lets an apply run for so long, then kills it, and waits for the programs that it had started: one of them may be about
/// to change the rules. Returns whether it had ended before.
pub(super) fn apply_for(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    policy: &str,
    delay: Duration,
) -> Result<bool> {
    let mut apply = fixture.spawn_apply(setting, policy)?;
    let ended = wait_until(delay, "for the apply to end by itself", || apply.try_wait().ok().flatten());
    if ended.is_err() {
        apply.kill()?;
        apply.wait()?;
        fixture.lab.on_host("flock", &["--timeout", "10", LOCK, "true"])?;
    }
    Ok(ended.is_ok())
}

/// The order of `blocked`, `trusted` and `allow`.
pub(super) fn blocked_beats_all(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let policy = r#"
        trusted = ["192.0.2.0/24", "2001:db8:1::/64"]
        blocked = ["192.0.2.30", "2001:db8:1::30"]
        [[allow]]
        name  = "everything"
        ports = ["1-65535/tcp", "1-65535/udp"]
    "#;
    fixture.apply(setting, policy)?;
    let mut expect = Expectations::default();
    for port in [22, 9000, 8080, 8082] {
        expect.shut_out(&fixture.lab.office, fixture.at(port));
    }
    expect.answers(&fixture.lab.untrusted, fixture.at(9000), "private").verify()
}
