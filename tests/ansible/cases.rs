//! The cases.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Sshd, wait_until};

use crate::fixture::AnsibleFixture;
use crate::package;
use crate::play::Play;

/// A case, and what it is about.
type Case = (&'static str, fn(&AnsibleFixture) -> Result<()>);

pub(crate) const CASES: &[Case] = &[
    ("a first run changes the host, and neither a second one nor a check before does", twice),
    ("what dockfw refuses never lands, and a check says so and what else would change", refused),
    ("a policy that nobody could see through is taken back and the run fails", taken_back),
    ("on a host without a policy nothing is left of one that is taken back", taken_back_at_first),
    ("the other nodes of the inventory's group are peers", peers),
    ("the old role's variables mean what import makes of them, and its rules are retired", old_names),
    ("who adds to the policy of a package from a repository has it applied by the handler", handler),
];

/// Who reaches the host: the controller alone.
const CLOSED: &str = "dockfw_trusted: [192.0.2.10]\n";
/// Somebody else alone.
const SHUT: &str = "dockfw_trusted: [192.0.2.99]\n";

/// A run that must leave everything as it is.
fn unchanged(fixture: &AnsibleFixture, variables: &str, options: &[&str]) -> Result<Play> {
    let before = fixture.state()?;
    let play = fixture.play(variables, options)?;
    let now = fixture.state()?;
    ensure!(now == before, "it was:\n{before}\nand is now:\n{now}\n{}", play.said);
    Ok(play)
}

fn twice(fixture: &AnsibleFixture) -> Result<()> {
    let policy = format!(
        "{CLOSED}dockfw_groups: {{office: [192.0.2.30]}}\ndockfw_log: {{drops: false, rate: 5/second}}\n\
         dockfw_allow: [{{name: \"ssh, \u{e9}\", ports: [22/tcp], from: [office], to: host}}]\n"
    );
    unchanged(fixture, &policy, &["--check", "--diff"])?
        .succeeds(true)?
        .says("dockfw is not installed yet")?;
    fixture.play(&policy, &[])?.succeeds(true)?;
    fixture.is_in_force()?;
    let lab = &fixture.lab;
    let let_in = [&lab.trusted, &lab.office, &lab.untrusted].map(|machine| fixture.lets_in(machine));
    ensure!(let_in == [true, true, false], "let in: {let_in:?}");
    unchanged(fixture, &policy, &[])?.succeeds(false).map(drop)
}

fn refused(fixture: &AnsibleFixture) -> Result<()> {
    fixture.play(CLOSED, &[])?.succeeds(true)?;
    let web = |port: &str| format!("{CLOSED}dockfw_allow: [{{name: web, ports: [{port}]}}]\n");
    let check = unchanged(fixture, &web("80/tcp"), &["--check", "--diff"])?;
    check.succeeds(true)?.says("+name = \"web\"")?.says("+ rule of hook input from allow 'web'")?;
    unchanged(fixture, &web("\"80\""), &["--check"])?.fails()?.says("80/tcp")?;
    let shut = unchanged(fixture, SHUT, &[])?;
    shut.fails()?.says("you are connected from 192.0.2.10")?;
    ensure!(!shut.said.contains("Put the policy in force"), "it has landed:\n{}", shut.said);
    Ok(())
}

/// Something on the host that passes connections to port 2222 on to sshd, as a proxy does: to sshd, who comes that way is
/// the host itself.
struct Forwarder(Child);

impl Forwarder {
    fn start(fixture: &AnsibleFixture) -> Result<Self> {
        let host = &fixture.lab.host;
        let mut ssh = fixture.sshd.client(host);
        ssh.args(["-N", "-g", "-L", "0.0.0.0:2222:127.0.0.1:22", "root@127.0.0.1"]).stdin(Stdio::null());
        let forwarder = Self(ssh.spawn().context("can't start ssh")?);
        let at = SocketAddr::new(host.v4.into(), 2222);
        let answers = || host.run(|| TcpStream::connect(at)).ok();
        wait_until(Duration::from_secs(10), "for the forwarder", answers)?;
        Ok(forwarder)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // It ends with its connection anyway.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What dockfw sees nothing wrong with, but the controller can't come back under.
fn shut_for_forwarded() -> String {
    format!("{SHUT}ssh_port: 2222\ndockfw_confirm_seconds: 10\n")
}

fn taken_back(fixture: &AnsibleFixture) -> Result<()> {
    let _forwarder = Forwarder::start(fixture)?;
    fixture.play(CLOSED, &[])?.succeeds(true)?;
    let before = fixture.rules_and_policy()?;
    fixture.play(&shut_for_forwarded(), &[])?.fails()?.says("No new connection to the host could be made")?;
    let now = fixture.rules_and_policy()?;
    ensure!(now == before, "it was:\n{before}\nand is now:\n{now}");
    fixture.is_in_force()?;
    fixture.play(&format!("{CLOSED}ssh_port: 2222\n"), &[])?.succeeds(false).map(drop)
}

fn taken_back_at_first(fixture: &AnsibleFixture) -> Result<()> {
    let _forwarder = Forwarder::start(fixture)?;
    let variables = format!("{}dockfw_engine: {{backend: iptables}}\n", shut_for_forwarded());
    fixture.play(&variables, &[])?.fails()?.says("No new connection to the host could be made")?;
    let packaged = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/dockfw.toml"))?;
    ensure!(fs::read("/etc/dockfw/dockfw.toml")? == packaged, "the policy file is not the package's");
    ensure!(fixture.lets_in(&fixture.lab.untrusted), "something still filters");
    Ok(())
}

fn peers(fixture: &AnsibleFixture) -> Result<()> {
    let office = &fixture.lab.office;
    let sshd = Sshd::start(office, fixture.lab.path())?;
    office.ip(&["route add default via 192.0.2.254"])?;
    let node3 = format!(
        "node3: {{ansible_host: \"2001:db8:1::30\", ansible_ssh_private_key_file: {}}}",
        sshd.key().display()
    );
    let known = ["node2: {ansible_host: nowhere.example, dockfw_address: 10.7.7.7}", &node3];
    fixture.inventory(&[
        known[0],
        known[1],
        "node4: {ansible_connection: local, ansible_host: node4.example}",
    ])?;
    unchanged(fixture, CLOSED, &[])?.fails()?.says("No address is known for node4")?;
    fixture.inventory(&known)?;
    fixture.play(&format!("{CLOSED}dockfw_swarm: {{peers: [10.8.8.8]}}\n"), &[])?.succeeds(true)?;
    let policy = fs::read_to_string("/etc/dockfw/dockfw.toml")?;
    let expected = "[swarm]\npeers = [\n    \"10.8.8.8\",\n    \"10.7.7.7\",\n    \"192.0.2.30\"\n]\n";
    ensure!(policy.ends_with(expected), "{policy}");
    Ok(())
}

/// The old layout of the example's variables, in force.
fn put_old_layout(fixture: &AnsibleFixture) -> Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old-layout");
    let script = format!(
        "iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; ipset restore <{directory}/example.ubuntu.set
         iptables-restore --noflush <{directory}/example.rules; iptables -I INPUT -j FILTERS"
    );
    fixture.lab.on_host("sh", &["-ec", &script]).map(drop)
}

fn old_names(fixture: &AnsibleFixture) -> Result<()> {
    put_old_layout(fixture)?;
    let example = include_str!("../old-layout/example.yml");
    let evaluated = example.replace("\"192.168.101.0/24\"", "\"{{ branch }}\"");
    ensure!(evaluated != example, "the example has no such network any more");
    let variables = format!("{evaluated}{CLOSED}branch: 192.168.101.0/24\ndockfw_retire_old: true\n");
    fixture
        .play(&variables, &[])?
        .succeeds(true)?
        .says("changed: [docker1]\n\nTASK [dockfw : Have the policy")?;
    fixture.is_in_force()?;
    ensure!(!fixture.rules_and_policy()?.contains("ip_allow"), "something of the old layout is left");
    let shown = fixture.dockfw("show")?;
    fixture.write("example.yml", example)?;
    let imported = fixture.dockfw(&format!("import {}", fixture.path("example.yml").display()))?;
    fixture.write("dockfw.toml", &imported)?;
    fs::create_dir(fixture.path("conf.d"))?;
    fixture.write("conf.d/own.toml", "trusted = [\"192.0.2.10\"]\n")?;
    let expected = fixture.dockfw(&format!("--config {} show", fixture.path("dockfw.toml").display()))?;
    ensure!(shown == expected, "{shown}\nand not\n{expected}");
    // Servers that no variable names are those of the inventory.
    let few = format!("{CLOSED}iptables_docker_ip_allow_set: [10.9.9.9]\n");
    fixture
        .play(&few, &["--check", "--diff"])?
        .succeeds(true)?
        .says("+    \"192.0.2.1\",\n+    \"10.9.9.9\"")?;
    Ok(())
}

fn handler(fixture: &AnsibleFixture) -> Result<()> {
    let playbook = "\
- hosts: docker_hosts
  roles: [dockfw]
  tasks:
    - ansible.builtin.copy:
        content: |
          [[allow]]
          name = \"web\"
          ports = [\"80/tcp\"]
        dest: /etc/dockfw/conf.d/web.toml
        mode: \"0600\"
      notify: Apply the dockfw policy
";
    fixture.write("web.yml", playbook)?;
    package::know(fixture.files.path())?;
    fixture.write("vars.yml", &format!("{CLOSED}dockfw_engine: {{backend: iptables}}\n"))?;
    let play = fixture.playbook("web.yml", &["-e", "@vars.yml"])?;
    play.succeeds(true)?.says("RUNNING HANDLER [dockfw : Keep the policy]")?;
    fixture.is_in_force()?;
    ensure!(fixture.dockfw("show")?.contains("web"), "the policy has no such rule");
    Ok(())
}
