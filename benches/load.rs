//! How fast a large policy is loaded, beside `nft -f` and `ipset restore` of the same entries.
//!
//! ```text
//! cargo bench --bench load [-- ENTRIES...]
//! ```
//!
//! Needs root, `nft`, `ipset` and `unshare`. Each run has a network namespace of its own; the contenders take turns,
//! so that whatever else the machine does hits all of them alike. With `DOCKFW_BENCH_EARLIER=/path/to/dockfw`, that program, of an earlier
//! version say, is one of them.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};

/// The numbers of entries unless others are asked for: ipset's default `maxelem`, and the size of a large blocklist.
const ENTRIES: [u32; 2] = [65_536, 500_000];
/// How often each contender runs.
const RUNS: usize = 8;
/// The kernel takes a namespace apart in the background, on one of the processors that the next run needs.
const REST: Duration = Duration::from_millis(1500);
/// The engines, as `--backend` names them.
const ENGINES: [&str; 2] = ["nftables", "iptables"];
/// The applies of what is in force already, which take a few milliseconds.
const NO_OPS: usize = 7;

/// So many rules change at once, as when a policy is written anew by a program.
const CHANGED_RULES: u32 = 3000;

/// The hosts of a group, and the rules that name it: all of these are to cost what one does.
const SHARED: (u32, u32) = (1_000_000, 20);
/// The numbers of rules that the verbs are run with: ten times the rules are to take ten times the time.
const RULES: [u32; 2] = [1_000, 10_000];
/// The verbs, each with its arguments.
const VERBS: [&[&str]; 6] = [
    &["check"],
    &["show", "--format", "nft"],
    &["show", "--format", "iptables"],
    &["status"],
    &["diff"],
    &["explain", "--from", "192.0.2.1", "--port", "20000/tcp"],
];

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Cost {
    seconds: f64,
    mebibytes: f64,
}

/// A program that loads the entries.
struct Contender {
    name: String,
    is_ours: bool,
    command: Vec<String>,
    costs: Vec<Cost>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--measure", command @ ..] => measure(command),
        ["--measure-again", command @ ..] => measure_again(command),
        ["--measure-changed", before, after, backend] => {
            measure_changed(Path::new(before), Path::new(after), backend)
        }
        ["--measure-verb", policy, verb @ ..] => measure_verb(Path::new(policy), verb),
        // `cargo test --benches` runs it too.
        ["--test"] => Ok(()),
        numbers => bench(numbers),
    }
}

/// The program that is measured.
const OWN: &str = env!("CARGO_BIN_EXE_dockfw");

/// The program of an earlier version, if there is one to compare with.
fn earlier() -> Option<String> {
    std::env::var("DOCKFW_BENCH_EARLIER").ok().filter(|program| !program.is_empty())
}

/// How dockfw is run. `--force`, for in a namespace of its own it finds itself on a host without Docker.
fn dockfw(program: &str, policy: &Path, backend: &str) -> Vec<String> {
    let policy = path(policy);
    let command = [program, "--config", &policy, "apply", "--backend", backend, "--force"];
    command.map(String::from).into()
}

fn bench(numbers: &[&str]) -> Result<()> {
    let numbers = numbers.iter().map(|number| Ok(number.parse()?)).collect::<Result<Vec<u32>>>()?;
    let directory = std::env::temp_dir().join(format!("dockfw-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let result = bench_in(&directory, if numbers.is_empty() { &ENTRIES } else { &numbers });
    fs::remove_dir_all(&directory)?;
    result
}

fn bench_in(directory: &Path, numbers: &[u32]) -> Result<()> {
    for number in numbers {
        let mut contenders = contenders(directory, *number)?;
        take_turns(&mut contenders, "--measure")?;
        println!("{number} entries, medians of {RUNS} runs");
        report(&contenders);
    }
    again(directory)?;
    changed(directory)?;
    shared(directory)?;
    verbs(directory)
}

/// Applies policies in which one rule, and several, name the same group.
fn shared(directory: &Path) -> Result<()> {
    let (hosts, rules) = SHARED;
    let addresses: Vec<_> =
        (0..hosts).map(|n| Ipv4Addr::from_bits(0x0100_0000 + 3 * n).to_string()).collect();
    write(directory, "group", &addresses.join("\n"))?;
    let mut contenders = Vec::new();
    for number in [1, rules] {
        let group = "[groups]\ngroup = [\"file:group\"]\n".to_owned();
        let policy = group + &(1..=number).map(|port| rule(port, "from = [\"group\"]\n")).collect::<String>();
        let policy = write(directory, &format!("group-{number}.toml"), &policy)?;
        let name = format!("{number} rules");
        contenders.push(contender(&name, number > 1, dockfw(OWN, &policy, "nftables")));
    }
    take_turns(&mut contenders, "--measure")?;
    println!("rules that name a group of {hosts} hosts, medians of {RUNS} runs");
    report(&contenders);
    Ok(())
}

/// Runs each verb with few and with many rules in force.
fn verbs(directory: &Path) -> Result<()> {
    for verb in VERBS {
        let mut costs = Vec::new();
        for number in RULES {
            let policy = (1..=number)
                .map(|n| rule(n, &format!("from = [\"{}\"]\n", Ipv4Addr::from_bits(0x0a00_0000 + n))));
            let policy = write(directory, &format!("{number}.toml"), &policy.collect::<String>())?;
            let command = [vec![path(&policy)], verb.iter().map(ToString::to_string).collect()].concat();
            costs.push((0..RUNS).map(|_| run("--measure-verb", &command)).collect::<Result<Vec<_>>>()?);
        }
        let costs: Vec<_> = costs.iter().map(|costs| medians(costs)).collect();
        report_verb(verb, &costs);
    }
    Ok(())
}

fn report_verb(verb: &[&str], costs: &[Cost]) {
    if let [few, many] = costs {
        let (name, ratio) = (verb.join(" "), many.seconds / few.seconds);
        let Cost { seconds, mebibytes } = many;
        println!(
            "  {name:48} {seconds:8.4} s {mebibytes:8.1} MiB, {ratio:.1} times as long as a tenth of the rules"
        );
    }
}

/// Returns a rule for a port of its own.
fn rule(port: u32, from: &str) -> String {
    format!("[[allow]]\nname = \"{port}\"\n{from}ports = [\"{port}/tcp\"]\n")
}

/// Runs each of them, again and again, and measures it in this role.
fn take_turns(contenders: &mut [Contender], role: &str) -> Result<()> {
    for _ in 0..RUNS {
        for contender in &mut *contenders {
            contender.costs.push(run(role, &contender.command)?);
        }
        // Whatever one leaves behind for the next is not always found by the same one.
        contenders.reverse();
    }
    Ok(())
}

/// Applies a small policy that is in force already, again and again.
fn again(directory: &Path) -> Result<()> {
    let policy = write_policy(directory, &entries(20))?;
    let mut contenders: Vec<_> = ours_and_earlier(&policy).collect();
    take_turns(&mut contenders, "--measure-again")?;
    println!("a small policy that is in force already, medians of {RUNS} times {NO_OPS} runs");
    report(&contenders);
    Ok(())
}

/// Finds out in what two policies of many rules differ that have none in common.
fn changed(directory: &Path) -> Result<()> {
    let [before, after] = [10_000, 20_000].map(|first| write_rules(directory, first));
    let (before, after) = (path(&before?), path(&after?));
    for engine in ENGINES {
        let command = [&before, &after, engine].map(String::from);
        if !own("--measure-changed", &command)?.status()?.success() {
            bail!("comparing failed");
        }
    }
    Ok(())
}

/// Writes a policy of many rules, each with a port of its own from this one on.
fn write_rules(directory: &Path, first: u32) -> Result<PathBuf> {
    let rules = (first..first + CHANGED_RULES).map(|port| rule(port, ""));
    write(directory, &format!("from-{first}.toml"), &rules.collect::<String>())
}

/// The contenders, with their files written.
fn contenders(directory: &Path, number: u32) -> Result<Vec<Contender>> {
    let entries = entries(number);
    let policy = write_policy(directory, &entries)?;
    let text = write(directory, "nft", &show(&policy)?)?;
    let ipset = write(directory, "ipset", &ipset_commands(&entries))?;
    let nft = ["nft", "-f", &path(&text)].map(String::from).to_vec();
    let ipset = ["ipset", "restore", "-file", &path(&ipset)].map(String::from).to_vec();
    let peers = [contender("nft -f", false, nft), contender("ipset restore", false, ipset)];
    Ok(peers.into_iter().chain(ours_and_earlier(&policy)).collect())
}

/// Each engine of this program, and of the earlier one.
fn ours_and_earlier(policy: &Path) -> impl Iterator<Item = Contender> {
    let ours =
        ENGINES.map(|engine| contender(&format!("dockfw ({engine})"), true, dockfw(OWN, policy, engine)));
    let earlier = earlier().into_iter().flat_map(|program| {
        ENGINES
            .map(|engine| contender(&format!("earlier ({engine})"), false, dockfw(&program, policy, engine)))
    });
    ours.into_iter().chain(earlier)
}

fn contender(name: &str, is_ours: bool, command: Vec<String>) -> Contender {
    Contender { name: name.into(), is_ours, command, costs: Vec::new() }
}

/// Half single addresses, half networks of 2 to 256 addresses, each in a slot of its own, in order.
fn entries(number: u32) -> Vec<String> {
    const FIRST: u32 = 0x0100_0000;
    let slot = ((0xdfff_ffff - FIRST) / number) & !0xff;
    let entry = |index: u32| {
        let start = Ipv4Addr::from_bits(FIRST + index * slot);
        if index.is_multiple_of(2) { start.to_string() } else { format!("{start}/{}", 24 + index / 2 % 8) }
    };
    (0..number).map(entry).collect()
}

fn ipset_commands(entries: &[String]) -> String {
    let mut commands = format!("create trusted hash:net maxelem {}\n", entries.len());
    for entry in entries {
        // Writing to a string can't fail.
        let _ = writeln!(commands, "add trusted {entry}");
    }
    commands
}

/// Writes a policy that trusts these entries.
fn write_policy(directory: &Path, entries: &[String]) -> Result<PathBuf> {
    write(directory, "entries", &entries.join("\n"))?;
    write(directory, "dockfw.toml", "trusted = [\"file:entries\"]\n")
}

/// The policy as `nft` reads it.
fn show(policy: &Path) -> Result<String> {
    let output = Command::new(OWN).args(["--config", &path(policy), "show"]).output()?;
    if output.status.success() { Ok(String::from_utf8(output.stdout)?) } else { bail!("dockfw show failed") }
}

/// This program in another role, in a network namespace and with records of its own.
fn own(role: &str, command: &[String]) -> Result<Command> {
    let own = std::env::current_exe()?;
    let mut unshare = Command::new("unshare");
    let script = "mount -t tmpfs none /var/lib && exec \"$0\" \"$@\"";
    unshare.args(["--net", "--mount", "sh", "-ec", script, &path(&own), role]).args(command);
    Ok(unshare)
}

/// Runs one command in a namespace of its own, and measures it in this role.
fn run(role: &str, command: &[String]) -> Result<Cost> {
    let output = own(role, command)?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    std::thread::sleep(REST);
    let line = String::from_utf8(output.stdout)?;
    let (seconds, mebibytes) = line.trim().split_once(' ').context("two numbers")?;
    Ok(Cost { seconds: seconds.parse()?, mebibytes: mebibytes.parse()? })
}

/// Runs between the bench and a contender, whose memory it knows because it has no other child.
fn measure(command: &[&str]) -> Result<()> {
    print_cost(time(command)?)
}

/// Runs a command once, and then again and again with nothing left to do.
fn measure_again(command: &[&str]) -> Result<()> {
    time(command)?;
    let again = (0..NO_OPS).map(|_| time(command)).collect::<Result<Vec<_>>>()?;
    print_cost(median(&again))
}

/// Puts a policy in force, and measures a verb; the memory is that of either. Some verbs report by their exit code what they
/// found.
fn measure_verb(policy: &Path, verb: &[&str]) -> Result<()> {
    let silent = |command: &[&str]| {
        let mut process = Command::new(OWN);
        process.args(command).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let policy = path(policy);
    silent(&["--config", &policy, "apply", "--backend", "nftables", "--force"])?;
    let start = Instant::now();
    silent(&[["--config", &policy].as_slice(), verb].concat())?;
    print_cost(start.elapsed().as_secs_f64())
}

fn print_cost(seconds: f64) -> Result<()> {
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!("{seconds} {}", kibibytes as f64 / 1024.0);
    Ok(())
}

/// Puts one policy in force, and finds out in what another one, of which no rule is the same, differs.
fn measure_changed(before: &Path, after: &Path, backend: &str) -> Result<()> {
    let run = |policy, dry: &[String]| {
        let command = [dockfw(OWN, policy, backend).as_slice(), dry].concat();
        time(&command.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(before, &[])?;
    let seconds = run(after, &["--dry-run".into()])?;
    println!("comparing {CHANGED_RULES} rules, all of them changed ({backend}): {seconds:.3} s");
    Ok(())
}

fn time(command: &[&str]) -> Result<f64> {
    let (program, arguments) = command.split_first().context("no command")?;
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let seconds = start.elapsed().as_secs_f64();
    if status.success() { Ok(seconds) } else { bail!("{program}: {status}") }
}

fn report(contenders: &[Contender]) {
    for Contender { name, costs, .. } in contenders {
        let Cost { seconds, mebibytes } = medians(costs);
        println!("  {name:18} {seconds:8.4} s {mebibytes:8.1} MiB");
    }
    for ours in contenders.iter().filter(|contender| contender.is_ours) {
        for peer in contenders.iter().filter(|contender| !contender.is_ours) {
            let ratio = medians(&ours.costs).seconds / medians(&peer.costs).seconds;
            println!("  {} takes {ratio:.2} of the time of {}", ours.name, peer.name);
        }
    }
}

fn medians(costs: &[Cost]) -> Cost {
    let of = |field: fn(&Cost) -> f64| median(&costs.iter().map(field).collect::<Vec<_>>());
    Cost { seconds: of(|cost| cost.seconds), mebibytes: of(|cost| cost.mebibytes) }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
