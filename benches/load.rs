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
    changed(directory)
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
    let rule = |port| format!("[[allow]]\nname = \"{port}\"\nports = [\"{port}/tcp\"]\n");
    write(directory, &format!("{first}.toml"), &(first..first + CHANGED_RULES).map(rule).collect::<String>())
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
        let start = std::net::Ipv4Addr::from_bits(FIRST + index * slot);
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
