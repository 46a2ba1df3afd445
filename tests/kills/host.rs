//! A host that lives as long as a trial: namespaces, with what others have among their rules.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use dockfw_lab::{Counted, Dies, Netns, Traced, Trap, run};
use tempfile::TempDir;

use crate::state::State;

/// How an engine is run, and beside what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Engine {
    /// What it is called in the names of trials.
    pub(crate) name: &'static str,
    /// As `--backend` names it.
    backend: &'static str,
    /// The variant of iptables that the host's programs find first.
    variant: &'static str,
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [
        Self { name: "native", backend: "nftables", variant: "nft" },
        Self { name: "compat on iptables-nft", backend: "iptables", variant: "nft" },
        Self { name: "compat on iptables-legacy", backend: "iptables", variant: "legacy" },
    ];

    /// Why it can't be run here, if it can't: programs, or what of the kernel they speak to.
    pub(crate) fn obstacle(self) -> Option<String> {
        let tables = ["iptables", "ip6tables"].map(|base| format!("{base}-{} -t mangle -S", self.variant));
        let questions = ["nft list tables", "ipset list -n", "ip link", "nsenter --version"];
        let mut questions = questions.into_iter().chain(tables.iter().map(String::as_str));
        questions.find(|question| !answers(question)).map(|question| format!("{question:?} fails here"))
    }
}

/// Whether a command succeeds, in a network namespace of its own.
fn answers(command: &str) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.arg("--net").args(command.split(' ')).env("PATH", SYSTEM);
    unshare.output().is_ok_and(|output| output.status.success())
}

/// Where programs lie, behind the chosen iptables.
const SYSTEM: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";
const CHOSEN: &str = "/run/bin";

/// A policy of this directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Old,
    New,
}

impl Policy {
    fn path(self) -> &'static str {
        match self {
            Self::Old => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kills/old.toml"),
            Self::New => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kills/new.toml"),
        }
    }
}

/// What dockfw is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Apply(Policy),
    Diff(Policy),
    Remove,
}

/// Makes a host of namespaces, with a neighbour, whose process it names: the chosen iptables, Docker's chains, and rules of others in
/// each table that dockfw changes. When nothing can come from stdin any more, both are gone.
const RAISE: &str = r#"
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mkdir -p /run/bin /run/lock
for program in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s "$(command -v "$(echo $program | sed "s/tables/tables-$1/")")" /run/bin/$program
done
ip link set lo up
for iptables in iptables ip6tables; do
    $iptables -t nat -N DOCKER
    $iptables -N DOCKER-USER
    $iptables -A FORWARD -j DOCKER-USER
    $iptables -A DOCKER-USER -m mark --mark 66 -j DROP
    $iptables -A INPUT -m mark --mark 67 -j DROP
    $iptables -t mangle -N OTHERS
    $iptables -t mangle -A OTHERS -m mark --mark 68 -j DROP
    for chain in PREROUTING FORWARD INPUT; do $iptables -t mangle -A $chain -j OTHERS; done
    $iptables -t raw -A PREROUTING -m mark --mark 69 -j DROP
done
exec 3<&0
unshare --net sh -c 'echo $$ >/run/neighbour; exec cat' <&3 >/dev/null &
until test -s /run/neighbour; do :; done
neighbour=$(cat /run/neighbour)
ip link add eth0 type veth peer name eth0 netns $neighbour
ip address add 192.0.2.1/24 dev eth0
ip address add 2001:db8:1::1/64 dev eth0 nodad
ip link set eth0 up
for last in 10 20 30 40 50; do
    echo address add 192.0.2.$last/24 dev eth0
    echo address add 2001:db8:1::$last/64 dev eth0 nodad
done >/run/addresses
nsenter --net=/proc/$neighbour/ns/net ip -batch - </run/addresses
nsenter --net=/proc/$neighbour/ns/net ip link set eth0 up
echo $neighbour
exec cat
"#;

/// Prints everything that is in force or recorded. Whoever was killed must not hold the lock any more.
const LOOK: &str = r#"
if [ -e /run/dockfw/lock ]; then flock --nonblock /run/dockfw/lock true; fi
echo "=== nftables"
nft --json list ruleset inet
echo "=== ipset"
ipset save
for variant in nft legacy; do
    echo "=== IPv4 iptables-$variant"
    if command -v iptables-$variant-save >/dev/null; then iptables-$variant-save; fi
    echo "=== IPv6 iptables-$variant"
    if command -v ip6tables-$variant-save >/dev/null; then ip6tables-$variant-save; fi
done
echo "=== files"
cd /var/lib
find . -type f | LC_ALL=C sort
echo "=== records"
if [ -e dockfw/state.json ]; then cat dockfw/state.json; fi
"#;

/// The host. Dropped, it is gone.
pub(crate) struct Host {
    engine: Engine,
    init: Child,
    pub(crate) neighbour: Netns,
    files: TempDir,
}

impl Host {
    pub(crate) fn raise(engine: Engine) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--kill-child", "--fork"]);
        command.args(["sh", "-ec", RAISE, "sh", engine.variant]);
        command.env("PATH", format!("{CHOSEN}:{SYSTEM}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut init = command.spawn().context("cannot start unshare")?;
        let mut said = String::new();
        BufReader::new(init.stdout.take().context("no way out")?).read_line(&mut said)?;
        let neighbour: u32 = said.trim().parse().context("no host: unshare, ip or iptables says why")?;
        let neighbour = Netns::open("neighbour", format!("/proc/{neighbour}/ns/net"))?;
        Ok(Self { engine, init, neighbour, files: tempfile::tempdir()? })
    }

    /// A command in the host's namespaces, by way of execve alone.
    fn command(&self, program: &Path) -> Result<Command> {
        let outer = self.init.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"))?;
        let first = children.split_whitespace().next().context("the host is gone")?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={first}")).args(["--net", "--mount", "--"]).arg(program);
        command.env("PATH", format!("{CHOSEN}:{SYSTEM}")).env_remove("DOCKER_HOST");
        Ok(command)
    }

    fn dockfw(&self, order: Order) -> Result<Command> {
        let backend = self.engine.backend;
        let words = match order {
            Order::Apply(policy) => {
                vec!["--config", policy.path(), "apply", "--force", "--backend", backend]
            }
            Order::Diff(policy) => vec!["--config", policy.path(), "diff", "--backend", backend],
            Order::Remove => vec!["remove"],
        };
        let mut command = self.command(program())?;
        command.args(words);
        Ok(command)
    }

    /// Has an order carried out, to its end and with success.
    pub(crate) fn does(&self, order: Order) -> Result<()> {
        run(&mut self.dockfw(order)?).map(drop)
    }

    /// Takes the records away.
    pub(crate) fn forget(&self) -> Result<()> {
        run(self.command(Path::new("rm"))?.args(["-rf", "/var/lib/dockfw"])).map(drop)
    }

    /// Has an order carried out up to the n-th call, or to its end. Returns what dockfw said with it.
    pub(crate) fn traced(
        &self,
        order: Order,
        dies: Dies,
        counted: Counted,
        at: Option<usize>,
    ) -> Result<(Traced, String)> {
        let path = self.files.path().join("said");
        let mut output = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        let traced = Trap { program: program(), dies, counted, at }.run(&self.dockfw(order)?, &output)?;
        let mut said = String::new();
        output.rewind()?;
        output.read_to_string(&mut said)?;
        Ok((traced, said))
    }

    /// What is in force and recorded.
    pub(crate) fn look(&self) -> Result<State> {
        let mut command = self.command(Path::new("sh"))?;
        State::read(&run(command.args(["-ec", LOOK]))?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dockfw"))
}
