//! The lab itself: that bare Docker in it is as open as Docker is, and that nothing of it stays behind.
//!
//! The program runs itself again in a role: the cases look from outside at what a whole life of a lab leaves.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dockfw_lab::{
    Choice, Container, Docker, DockerOptions, Hook, Lab, LabOptions, Leftovers, Netns, Network, PROTOS,
    Packet, Probe, Programs, Proto, Root, Survivor, Variant, Witness, contain, probe_all, wait_until,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

/// `NAME:VARIANT`, or `NAME:VARIANT:SUITE`.
const ROLE: &str = "DOCKFW_LAB_TEST_ROLE";

type Role = fn(LabOptions) -> Result<()>;

/// What the program can do in a lab, by name.
const ROLES: [(&str, Role); 4] = [
    ("open", docker_is_open),
    ("row", labs_in_a_row),
    ("linger", linger),
    ("fail", |_| bail!("as it should")),
];

fn main() -> ExitCode {
    match std::env::var(ROLE) {
        Ok(role) => play(&role),
        Err(_) => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let variants = [("nft", Variant::Nft), ("legacy", Variant::Legacy)];
    let mut trials = vec![
        case("failure_is_told_by_the_exit_code", Variant::Nft, failure_is_told),
        case("nothing_stays_after_sigkill_of_the_inner_process", Variant::Nft, || {
            killed(inner_of, Signal::SIGKILL)
        }),
        case("nothing_stays_after_sigkill_of_the_outer_process", Variant::Nft, || {
            killed(outer_of, Signal::SIGKILL)
        }),
        case("nothing_stays_after_sigterm", Variant::Nft, || killed(outer_of, Signal::SIGTERM)),
        case("labs_in_a_row", Variant::Legacy, || whole_life("row:nft")),
    ];
    trials.extend(variants.map(|(name, variant)| {
        let role = format!("open:{name}");
        case(&format!("docker_is_open_and_nothing_stays_{name}"), variant, move || whole_life(&role))
    }));
    for choice in
        Choice::wanted().into_iter().filter(|choice| choice.source != "host" && choice.layout().is_none())
    {
        trials.extend(["nft", "legacy"].map(|variant| on_root(choice.clone(), variant)));
    }
    trials
}

/// As with the machine's own Docker, with that of another release.
fn on_root(choice: Choice, variant: &'static str) -> Trial {
    let source = choice.source.clone();
    Trial::ignorable_test(format!("docker_is_open_and_nothing_stays_{variant}_{source}"), move || {
        let obstacle = choice.obstacle(&Variant::Native);
        if let Some(reason) = obstacle.or_else(|| (!Uid::effective().is_root()).then(|| "not root".into())) {
            return Ok(Completion::ignored_with(reason));
        }
        let outcome = whole_life(&format!("open:{variant}:{source}"));
        outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn case(name: &str, variant: Variant, body: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match possible(&variant) {
        Err(reason) => Ok(Completion::ignored_with(format!("{reason:#}"))),
        Ok(()) => body().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

fn possible(variant: &Variant) -> Result<()> {
    ensure!(Uid::effective().is_root(), "not root");
    Programs::check(variant)
}

fn play(role: &str) -> ExitCode {
    let result = contain().and_then(|()| {
        let mut words = role.split(':');
        let name = words.next();
        let variant = if words.next() == Some("legacy") { Variant::Legacy } else { Variant::Nft };
        let root = words.next().map(Root::cached).transpose()?;
        let (_, body) = ROLES.iter().find(|(known, _)| Some(*known) == name).context("no such role")?;
        body(LabOptions { variant, root, ..LabOptions::default() })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(3)
        }
    }
}

// ---- Seen from outside -------------------------------------------------------------------------------------------

fn again(role: &str) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.env(ROLE, role).stdout(Stdio::piped()).spawn()?)
}

fn whole_life(role: &str) -> Result<()> {
    let before = Leftovers::of(0);
    let mut child = again(role)?;
    std::io::copy(&mut child.stdout.take().context("no pipe")?, &mut std::io::stderr())?;
    let status = child.wait()?;
    ensure!(status.success(), "the lab failed, {status}");
    ensure_nothing_left(&before, child.id())
}

fn failure_is_told() -> Result<()> {
    let status = again("fail:nft")?.wait()?;
    ensure!(status.code() == Some(3), "the inner process ended with 3, the outer one with {status}");
    Ok(())
}

/// Kills one process of a lab that has all that a lab can have.
fn killed(victim: fn(&Child) -> Result<u32>, signal: Signal) -> Result<()> {
    let before = Leftovers::of(0);
    let mut child = again("linger:nft")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
    ensure!(line.trim() == "raised", "the lab said {line:?}");
    ensure!(Leftovers::of(child.id()).processes.len() > 5, "a lab with Docker has more processes than that");
    let pid = i32::try_from(victim(&child)?)?;
    kill(Pid::from_raw(pid), signal)?;
    let status = child.wait()?;
    if status.signal() == Some(Signal::SIGKILL as i32) {
        // Nobody was left to tidy up: processes go by themselves, cgroups with the next lab.
        no_processes(child.id())?;
        failure_is_told()?;
    }
    ensure_nothing_left(&before, child.id())
}

fn outer_of(child: &Child) -> Result<u32> {
    Ok(child.id())
}

/// The outer process has init as its child, and init the inner one.
fn inner_of(child: &Child) -> Result<u32> {
    let init = only_child(child.id())?;
    only_child(init)
}

fn only_child(pid: u32) -> Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children.split_whitespace().next().context("no child")?.parse().context("not a number")
}

fn no_processes(outer: u32) -> Result<()> {
    wait_until(Duration::from_secs(5), "for the lab's processes to end", || {
        Leftovers::of(outer).processes.is_empty().then_some(())
    })
}

fn ensure_nothing_left(before: &Leftovers, outer: u32) -> Result<()> {
    let after = Leftovers::of(outer);
    ensure!(after == *before, "left behind: before {before:#?}\nafter {after:#?}");
    Ok(())
}

// ---- Seen from inside --------------------------------------------------------------------------------------------

fn linger(options: LabOptions) -> Result<()> {
    let lab = Lab::raise(options)?;
    let docker = Docker::start(&lab, DockerOptions::default())?;
    docker.container("web").publish("8080:80").start()?;
    println!("raised");
    loop {
        std::thread::park();
    }
}

fn docker_is_open(options: LabOptions) -> Result<()> {
    let start = Instant::now();
    let lab = Lab::raise(options)?;
    println!("{:>6} ms: network", start.elapsed().as_millis());
    let docker = Docker::start(&lab, DockerOptions::default())?;
    println!("{:>6} ms: dockerd", start.elapsed().as_millis());
    let front = docker.network("front").ipv6(true).create()?;
    docker.network("back").ipv6(true).create()?;
    docker.network("old").create()?;
    println!("{:>6} ms: networks", start.elapsed().as_millis());
    let containers = docker.start_all([
        docker.container("web").network("front").publish("8080:80/tcp").publish("8080:80/udp"),
        docker.container("talk").network("back").publish("8007:7/tcp").publish("8007:7/udp"),
        docker.container("feed").publish("8081:81/tcp"),
        docker.container("cache").network("old").publish("6379:6379/tcp"),
        docker.container("worker").network("back"),
        docker.container("second").publish("192.0.2.2:8082:80/tcp"),
        docker.container("local").publish("127.0.0.1:8084:80/tcp"),
        docker.container("hostnet").network("host"),
    ])?;
    println!("{:>6} ms: {} containers", start.elapsed().as_millis(), containers.len());
    let [web, talk, feed, cache, ..] = containers.as_slice() else { bail!("eight containers") };
    let _services =
        [web.serve("80/tcp", "web")?, web.serve("80/udp", "web")?, cache.serve("6379/tcp", "cache")?];
    iptables_is_the_chosen_one(&lab)?;
    let version = docker.version()?;
    println!("        Docker {version:?}");
    published_ports_answer(&lab, &version)?;
    direct_routing_answers(&lab, web, &front, &version)?;
    println!("{:>6} ms: probes", start.elapsed().as_millis());
    containers_can_forge(&lab, web, &front.bridge)?;
    answers_are_not_taken_for_packets(&lab, web, &front.bridge)?;
    connections_survive_a_restart(&lab, &docker, talk, feed)?;
    published_ports_answer(&lab, &version)?;
    println!("{:>6} ms: restart", start.elapsed().as_millis());
    drop(docker);
    println!("{:>6} ms: end", start.elapsed().as_millis());
    Ok(())
}

fn published_ports_answer(lab: &Lab, version: &[u32]) -> Result<()> {
    let targets = PROTOS.into_iter().flat_map(|proto| lab.host.at(8080).map(|to| (proto, to, "web")));
    // No IPv6 in that network: docker-proxy answers, but not in 20.10.0 to 20.10.5.
    let has_proxy = !matches!(version, [20, 10, 0..6]);
    let targets = targets.chain(lab.host.at(6379).map(|to| (Proto::Tcp, to, "cache")));
    let targets = targets.filter(|(_, to, name)| has_proxy || to.is_ipv4() || *name != "cache");
    let (probes, names): (Vec<Probe>, Vec<&str>) =
        targets.map(|(proto, to, name)| (lab.untrusted.probe(proto, to), name)).unzip();
    for ((probe, outcome), name) in probes.iter().zip(probe_all(&probes)).zip(names) {
        ensure!(outcome.is(name), "{probe}: {outcome}, and not {name}");
    }
    Ok(())
}

fn direct_routing_answers(lab: &Lab, web: &Container, network: &Network, version: &[u32]) -> Result<()> {
    lab.accept_forwarding()?;
    for subnet in [Some(&network.subnet_v4), network.subnet_v6.as_ref()] {
        lab.untrusted.route(subnet.context("a dual-stack network")?, &lab.host)?;
    }
    // Closed by Docker itself from 28.0 on, in the raw table.
    let is_closed = version >= &[28][..];
    println!("        direct routing is {}", if is_closed { "closed by Docker" } else { "open" });
    for address in &web.addresses {
        let outcome = lab.untrusted.tcp((*address, 80));
        let is_right = if is_closed { outcome.is_silent() } else { outcome.is("web") };
        ensure!(is_right, "direct routing to {address}: {outcome}");
    }
    // Of this namespace, and so for a test to set.
    for value in ["0", "1"] {
        lab.host.set_sysctl("net.bridge.bridge-nf-call-iptables", value)?;
        ensure!(lab.host.sysctl("net.bridge.bridge-nf-call-iptables")? == value, "bridge-nf-call is stuck");
    }
    Ok(())
}

fn connections_survive_a_restart(lab: &Lab, docker: &Docker<'_>, talk: &Netns, feed: &Netns) -> Result<()> {
    let _services = [
        feed.serve_stream("81/tcp", "feed")?,
        talk.serve_echo("7/tcp", "echo")?,
        talk.serve_echo("7/udp", "echo")?,
    ];
    let downloads = lab.host.at(8081).map(|from| lab.untrusted.download(from));
    let conversations = PROTOS.into_iter().flat_map(|proto| lab.host.at(8007).map(|with| (proto, with)));
    let conversations = conversations.map(|(proto, with)| lab.untrusted.converse(proto, with));
    let mut conversations = conversations.collect::<Result<Vec<_>>>()?;
    conversations.iter_mut().try_for_each(|conversation| conversation.say("before"))?;
    docker.restart()?;
    conversations.iter_mut().try_for_each(|conversation| conversation.say("after"))?;
    for download in downloads {
        let download = download?;
        download.assert_flowing()?;
        download.finish()?;
    }
    Ok(())
}

/// A container can forge, too: the frames come in by its bridge.
fn containers_can_forge(lab: &Lab, web: &Container, bridge: &str) -> Result<()> {
    let sender = web.sender_to(&lab.host, bridge)?;
    let witness = Witness::install(&lab.host, bridge)?;
    let sources = ["203.0.113.9".parse::<IpAddr>()?, "2001:db8:9::9".parse()?];
    for (source, to) in sources.into_iter().zip(lab.trusted.addresses()) {
        sender.send(&Packet::udp(source, to, 9, 5, "x"))?;
    }
    let survivors = witness.survivors_of(2)?;
    let forwarded = [false, true].map(|ipv6| Survivor { hook: Hook::Forward, ipv6, token: 5 });
    ensure!(survivors.iter().eq(&forwarded), "{survivors:?}");
    Ok(())
}

/// A container's own answer is marked like the packet that it answers, and comes in by the same bridge.
fn answers_are_not_taken_for_packets(lab: &Lab, web: &Container, bridge: &str) -> Result<()> {
    lab.host.nft(&format!(
        "table inet t {{
           counter answers {{ }}
           chain c {{ type filter hook prerouting priority -500; iifname \"{bridge}\" ip dscp 0x3f ip saddr {}
             tcp flags rst counter name answers; }}
         }}",
        web.v4()
    ))?;
    let witness = Witness::install(&lab.host, bridge)?;
    let elsewhere: IpAddr = "203.0.113.9".parse()?;
    web.sender_to(&lab.host, bridge)?.send(&Packet::syn(elsewhere, web.v4(), 9, 5))?;
    wait_until(Duration::from_secs(5), "for the container to answer", || {
        lab.host
            .shell("nft list counter inet t answers")
            .ok()
            .filter(|listing| listing.contains("packets 1 "))
    })?;
    let seen = witness.seen()?;
    lab.host.nft("delete table inet t")?;
    let arrived = seen.iter().filter(|one| one.hook == Hook::Arrived).map(|one| one.token);
    ensure!(arrived.eq([5]), "{seen:?}");
    Ok(())
}

/// One lab after the other in one process: nothing of the first may stand in the second one's way.
fn labs_in_a_row(first: LabOptions) -> Result<()> {
    let second = LabOptions { variant: Variant::Legacy, ..first.clone() };
    for options in [first, second] {
        let lab = Lab::raise(options)?;
        let docker = Docker::start(&lab, DockerOptions::default())?;
        let web = docker.container("web").publish("8080:80").start()?;
        let _service = web.serve("80/tcp", "web")?;
        let outcome = lab.office.tcp((lab.host.v4, 8080));
        ensure!(outcome.is("web"), "{:?}: {outcome}", lab.variant());
        iptables_is_the_chosen_one(&lab)?;
    }
    Ok(())
}

fn iptables_is_the_chosen_one(lab: &Lab) -> Result<()> {
    let said = lab.on_host("iptables", &["-V"])?;
    let expected = if *lab.variant() == Variant::Legacy { "legacy" } else { "nf_tables" };
    ensure!(said.contains(expected), "iptables is {said}");
    println!("        {}", said.trim());
    Ok(())
}
