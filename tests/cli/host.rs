//! A host that lives as long as a test: namespaces in which one program after the other is run.

use std::fs;
use std::process::{Child, Command, Stdio};

use dockfw_lab::wait_until;

use crate::fixture::{CliFixture, DOCKFW, Done, GOOD};
use crate::running::{DEADLINE, Running};

/// The numbers by which policies are told apart: each opens one beside port 80.
const PORTS: [&str; 3] = ["443", "444", "445"];

/// What makes a host: `/run` and `/var/lib` of its own, and one neighbour, in the namespace of the process in `/run/neighbour`.
const RAISE: &str = "
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
unshare --net sh -c 'echo $$ >/run/neighbour; exec sleep infinity' &
until test -s /run/neighbour; do :; done
neighbour=$(cat /run/neighbour)
ip link add eth0 type veth peer name eth0 netns $neighbour
ip address add 198.51.100.1/24 dev eth0
ip link set eth0 up
nsenter --net=/proc/$neighbour/ns/net ip address add 198.51.100.2/24 dev eth0
nsenter --net=/proc/$neighbour/ns/net ip link set eth0 up
echo >/run/up
# Whose parent dies is a child of init, which is not to keep its remains.
exec env --ignore-signal=CHLD cat
";

/// Tries to connect from the neighbour, and says of each port how that ended: 1 is a refusal, from the host itself, where nobody
/// listens; 124 is silence. What must answer has all the time that it needs.
const KNOCK: &str = "
knock() {
    code=0
    nsenter --net=/proc/$(cat /run/neighbour)/ns/net timeout $2 bash -c \"</dev/tcp/198.51.100.1/$1\" 2>/dev/null || code=$?
    echo $1 $code
}
";

/// A host without Docker, with one neighbour.
pub(crate) struct Host {
    pub(crate) fixture: CliFixture,
    init: Child,
}

impl Host {
    /// Raises a host.
    pub(crate) fn raise(test: &str) -> Self {
        let fixture = CliFixture::new(test);
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-ec"]);
        command.arg(RAISE);
        let init = command.stdin(Stdio::piped()).spawn().unwrap();
        let host = Self { fixture, init };
        wait_until(DEADLINE, "for the host", || host.try_script("test -e /run/up")).unwrap();
        host
    }

    /// A host on which a policy of port 443 is confirmed, and one of 444 is in the file.
    pub(crate) fn with_two_policies(test: &str) -> Self {
        let host = Self::raise(test);
        host.script("dockfw apply").exits(0);
        host.write_policy("444");
        host
    }

    /// Writes the policy that opens this port.
    pub(crate) fn write_policy(&self, port: &str) {
        self.fixture.write("dockfw.toml", GOOD.replace("443", port));
    }

    /// A command that runs a script on the host, where `dockfw` is the program with the policy of the test's directory.
    pub(crate) fn command(&self, script: &str) -> Command {
        let directory = self.fixture.0.display();
        let prelude = format!("cd {directory}; dockfw() {{ \"$DOCKFW\" --config dockfw.toml \"$@\"; }}");
        // A shell without job control starts what runs in the background with signals ignored.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "nsenter"])
            .arg(format!("--target={}", self.init_id()))
            .args(["--net", "--mount", "--pid"]);
        command.args(["sh", "-ec", &format!("{prelude}\n{script}")]);
        command.env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST").stdin(Stdio::null());
        command
    }

    /// The first process of the host, as this machine numbers it.
    fn init_id(&self) -> String {
        let outer = self.init.id();
        let path = format!("/proc/{outer}/task/{outer}/children");
        wait_until(DEADLINE, "for the host's first process", || {
            let children = fs::read_to_string(&path).unwrap();
            children.split_whitespace().next().map(str::to_owned)
        })
        .unwrap()
    }

    /// Runs a script on the host.
    pub(crate) fn script(&self, script: &str) -> Done {
        Done::of(&mut self.command(script))
    }

    /// Whether a script succeeds.
    pub(crate) fn try_script(&self, script: &str) -> Option<()> {
        let output = self.command(script).output().unwrap();
        output.status.success().then_some(())
    }

    /// Waits until a script succeeds.
    pub(crate) fn wait_for(&self, script: &str) {
        let found = wait_until(DEADLINE, script, || self.try_script(script));
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.script(script)));
    }

    /// A command that runs `dockfw` in a process whose number is in the file `waiter`.
    pub(crate) fn waiter(&self, arguments: &str) -> Command {
        self.command(&format!("echo $$ >waiter; exec \"$DOCKFW\" --config dockfw.toml {arguments}"))
    }

    /// The same, on a terminal as that of a login.
    pub(crate) fn waiter_on_terminal(&self, arguments: &str) -> Running {
        let script = format!("echo $$ >waiter; exec \"$DOCKFW\" --config dockfw.toml {arguments}");
        let script = format!("exec setsid --ctty --wait sh -ec '{script}'");
        Running::on_terminal(&mut self.command(&script))
    }

    /// The ports of the policies that are in force, of either engine. Packets must find the host as the rules say.
    pub(crate) fn in_force(&self) -> Vec<&'static str> {
        let ports = self.in_rules();
        match ports.as_slice() {
            [] => self.answers_at(&PORTS),
            [_] => self.answers_at(&ports),
            // Of two engines, both decide.
            _ => self.answers_at(&[]),
        }
        ports
    }

    fn answers_at(&self, open: &[&str]) {
        let time = |port: &str| if open.contains(&port) { "20" } else { "0.3" };
        let knocks = PORTS.map(|port| format!("knock {port} {} &", time(port)));
        let done = self.script(&format!("{KNOCK}\n{}\nwait", knocks.join("\n")));
        let mut said: Vec<_> = done.stdout.lines().collect();
        said.sort_unstable();
        let expected = PORTS.map(|port| format!("{port} {}", if open.contains(&port) { 1 } else { 124 }));
        assert_eq!(said, expected, "packets and rules disagree\n{done}");
    }

    fn in_rules(&self) -> Vec<&'static str> {
        let rules = self.script("nft list ruleset; iptables-save; ip6tables-save");
        let has = |port: &&str| {
            let forms = [format!("@ports_80_{port}_"), format!("--ctorigdstport {port} ")];
            forms.iter().any(|form| rules.stdout.contains(form))
        };
        PORTS.into_iter().filter(has).collect()
    }

    /// The engines whose rules are there.
    pub(crate) fn engines(&self) -> Vec<&'static str> {
        let rules = self.script("nft list tables; iptables-save; ip6tables-save");
        let signs = [("nftables", "table inet dockfw"), ("iptables", "FILTERS")];
        signs.into_iter().filter(|(_, sign)| rules.stdout.contains(sign)).map(|(engine, _)| engine).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}
