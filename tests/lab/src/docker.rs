//! A real dockerd on the lab's host.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};

use crate::contain::lab_name;
use crate::container::ContainerSpec;
use crate::layouts::{self, Layout};
use crate::mounts::{WORK, fresh_docker_root};
use crate::network::NetworkSpec;
use crate::programs::busybox;
use crate::run::{run, run_with_input};
use crate::topology::Lab;
use crate::wait::wait_until;

/// Where dockerd listens; its default, for `/run` is the lab's own.
const SOCKET: &str = "/run/docker.sock";
/// The image of every container: busybox, and nothing else.
pub(crate) const IMAGE: &str = "lab:latest";
/// From the start of dockerd to its first answer; about a second where nothing else runs.
const READY: Duration = Duration::from_secs(30);
/// dockerd itself gives its containers 10 s and containerd 15 s before it kills them.
const STOPPED: Duration = Duration::from_secs(30);

/// How Docker is to be.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// IPv6 on docker0, and ip6tables.
    pub ipv6: bool,
    /// Containers outlive a restart of dockerd, and with them the sockets that services hold in them.
    pub live_restore: bool,
    /// docker-proxy, which answers where DNAT does not.
    pub userland_proxy: bool,
    /// More keys of `daemon.json`; they win over the lab's.
    pub config: Map<String, Value>,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self { ipv6: true, live_restore: true, userland_proxy: true, config: Map::new() }
    }
}

/// A running dockerd. Dropped, it is gone, and its containers with it.
#[derive(Debug)]
pub struct Docker<'lab> {
    pub(crate) lab: &'lab Lab,
    daemon: Mutex<Option<Child>>,
    log: PathBuf,
}

impl<'lab> Docker<'lab> {
    /// Starts dockerd on the lab's host, waits until it answers, and gives it its image.
    pub fn start(lab: &'lab Lab, options: DockerOptions) -> Result<Self> {
        let mut options = options;
        if lab.layout().is_some() {
            let none = ["iptables", "ip6tables"].map(|key| (key.to_owned(), json!(false)));
            options.config.extend(none);
        }
        lab.userland().run(|| prepare(&options))?;
        let log = Path::new(WORK).join(format!("dockerd-{}.log", lab.host.name()));
        let docker = Self { lab, daemon: Mutex::new(None), log };
        docker.launch()?;
        docker.import_image()?;
        Ok(docker)
    }

    /// Runs `docker` with these arguments on the host and gives its output.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let output = self.ask(arguments)?;
        if matches!(arguments, ["run" | "rm" | "start" | "stop", ..] | ["network", "create" | "rm", ..]) {
            self.lay_rules()?;
        }
        Ok(output)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        run(&mut self.command(arguments)).with_context(|| format!("dockerd's log ends:\n{}", self.log_tail()))
    }

    /// Where Docker makes no rules, lays those anew that stand in their place.
    pub fn lay_rules(&self) -> Result<()> {
        let Some(layout) = self.lab.layout() else { return Ok(()) };
        let inspect = |kind: &str, list: &[&str]| -> Result<Vec<Value>> {
            let ids = self.ask(list)?;
            let ids: Vec<_> = ids.split_whitespace().collect();
            // Without one, inspect is misuse.
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            parse_list(&self.ask(&[&[kind, "inspect"], ids.as_slice()].concat())?)
        };
        let networks = inspect("network", &["network", "ls", "--quiet", "--filter", "driver=bridge"])?;
        let containers = inspect("container", &["ps", "--quiet"])?;
        match layout {
            Layout::Nftables => self.lab.host.nft(&layouts::ruleset(&networks, &containers)?),
            Layout::Iptables29 => {
                let script = layouts::script(&networks, &containers)?;
                self.lab.on_host("sh", &["-c", &script]).map(drop)
            }
        }
    }

    /// The client's command, with the lab's environment.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command("docker");
        command.args(arguments).env("DOCKER_HOST", format!("unix://{SOCKET}"));
        command
    }

    /// dockerd's version, as it says it: by its numbers, the rest left out.
    pub fn version(&self) -> Result<Vec<u32>> {
        let text = self.cli(&["version", "--format", "{{.Server.Version}}"])?;
        let numbers = text.trim().split(|c: char| !c.is_ascii_digit()).take(3).map(str::parse);
        numbers.collect::<Result<_, _>>().with_context(|| format!("no version: {text:?}"))
    }

    /// A user-defined network, to be described and then created.
    #[must_use]
    pub fn network(&self, name: &str) -> NetworkSpec<'_> {
        NetworkSpec::new(self, name)
    }

    /// A container, to be described and then started.
    #[must_use]
    pub fn container(&self, name: &str) -> ContainerSpec<'_> {
        ContainerSpec::new(self, name)
    }

    /// Stops dockerd as systemd would. Containers live on if `live_restore` was chosen.
    pub fn stop(&self) -> Result<()> {
        let Some(mut daemon) = self.take_daemon() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM)?;
        let ended = wait_until(STOPPED, "for dockerd to stop", || daemon.try_wait().transpose());
        if ended.is_err() {
            daemon.kill()?;
            daemon.wait()?;
        }
        ended.map(drop).with_context(|| self.log_tail())
    }

    /// Starts dockerd again after [`stop`](Self::stop).
    pub fn launch(&self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.lab.command("dockerd");
        command
            .arg(format!("--cgroup-parent=/{}", lab_name()))
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "-H", &format!("unix://{SOCKET}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut daemon = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let answer = wait_until(READY, "for dockerd to answer", || match daemon.try_wait() {
            Ok(Some(status)) => Some(Err(anyhow!("dockerd ended, {status}"))),
            _ => self.lab.userland().run(answers).then_some(Ok(())),
        });
        *self.daemon.lock().expect("no thread panics with the lock") = Some(daemon);
        answer
            .and_then(|result| result)
            .with_context(|| format!("dockerd's log ends:\n{}", self.log_tail()))?;
        self.lay_rules()
    }

    /// Stops and starts dockerd.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// The end of dockerd's log, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(20);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    fn take_daemon(&self) -> Option<Child> {
        self.daemon.lock().expect("no thread panics with the lock").take()
    }

    fn import_image(&self) -> Result<()> {
        let root = Path::new(WORK).join("image");
        fs::create_dir_all(root.join("bin"))?;
        fs::copy(busybox()?, root.join("bin/busybox")).context("cannot copy busybox")?;
        let archive = Path::new(WORK).join("image.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        run_with_input(&mut self.command(&["import", "-", IMAGE]), &fs::read(&archive)?)?;
        Ok(())
    }

    fn remove_containers(&self) -> Result<()> {
        let ids = self.cli(&["ps", "--all", "--quiet"])?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.cli(&[&["rm", "--force"], ids.as_slice()].concat()).map(drop)
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let running = self.daemon.lock().is_ok_and(|daemon| daemon.is_some());
        let result = if running { self.remove_containers().and_then(|()| self.stop()) } else { Ok(()) };
        if let Err(error) = result {
            eprintln!("lab: Docker did not end cleanly: {error:#}");
        }
    }
}

fn prepare(options: &DockerOptions) -> Result<()> {
    fresh_docker_root()?;
    fs::create_dir_all("/etc/docker")?;
    Ok(fs::write("/etc/docker/daemon.json", configuration(options))?)
}

fn configuration(options: &DockerOptions) -> String {
    let keys = json!({
        "live-restore": options.live_restore,
        "userland-proxy": options.userland_proxy,
        "log-driver": "none",
        "log-level": "warn",
        // 20.10 shows ip6tables only to those who ask for experiments; later versions ignore it.
        "experimental": true,
        // The image store of 29.0 and later; the older one is known to every version.
        "features": {"containerd-snapshotter": false},
    });
    let ipv6 = json!({"ipv6": true, "ip6tables": true, "fixed-cidr-v6": "fd00:d0c::/64"});
    let ipv6 = if options.ipv6 { ipv6 } else { json!({}) };
    let lists = [keys.as_object(), ipv6.as_object(), Some(&options.config)];
    let config: Map<String, Value> =
        lists.into_iter().flatten().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Value::Object(config).to_string()
}

/// A ping by hand: starting the client for each look would take longer than dockerd does.
fn answers() -> bool {
    ping().unwrap_or(false)
}

fn ping() -> std::io::Result<bool> {
    let mut socket = UnixStream::connect(SOCKET)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = [0; 15];
    socket.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200 OK") || answer.windows(4).any(|window| window == b" 200"))
}

/// The first object of `docker inspect`-like output, or all of them.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Value>> {
    match serde_json::from_str(text)? {
        Value::Array(list) => Ok(list),
        other => bail!("not a list: {other}"),
    }
}
