//! A controller with the role, and a host that it manages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Lab, LabOptions, Machine, Sshd, run};
use tempfile::TempDir;

use crate::package;
use crate::play::Play;

const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ansible");
const PLAYBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ansible/example/site.yml");

/// Takes out what a case before has installed.
const CLEAN: &str =
    "[ ! -e /usr/sbin/dockfw ] || dpkg --purge dockfw; rm -rf /etc/dockfw /var/lib/dockfw /var/cache/dockfw";

/// The lab's host is `docker1`, and is reached from its trusted machine.
pub(crate) struct AnsibleFixture {
    pub(crate) lab: Lab,
    pub(crate) sshd: Sshd,
    pub(crate) files: TempDir,
    package: PathBuf,
}

impl AnsibleFixture {
    /// Whether this machine has what it takes.
    pub(crate) fn check() -> Result<()> {
        for program in ["dpkg-deb", "nft", "ipset", "iptables"] {
            which(program)?;
        }
        ansible()?;
        let has_apt = Command::new("/usr/bin/python3").args(["-c", "import apt"]).output()?.status.success();
        ensure!(has_apt, "no python3-apt on this machine");
        Sshd::check()
    }

    pub(crate) fn raise() -> Result<Self> {
        let lab = Lab::raise(LabOptions::default())?;
        lab.on_host("sh", &["-ec", CLEAN])?;
        let sshd = Sshd::start(&lab.host, lab.path())?;
        // Short: Ansible puts sockets there.
        let files = tempfile::Builder::new().prefix("site").tempdir_in("/run")?;
        let package = package::build(files.path())?;
        let fixture = Self { lab, sshd, files, package };
        fixture.write("ansible.cfg", &fixture.config())?;
        fixture.inventory(&[])?;
        fs::copy(PLAYBOOK, fixture.path("site.yml"))?;
        Ok(fixture)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path(name), text)?)
    }

    fn config(&self) -> String {
        format!(
            "[defaults]\nroles_path={ROLES}\nhost_key_checking=false\nprivate_key_file={}\nremote_user=root\n\
             remote_tmp=/run/ansible\nlocal_tmp={files}/tmp\nhome={files}/home\ntimeout=3\nnocows=true\n\
             interpreter_python=/usr/bin/python3\ngathering=explicit\n\
             [ssh_connection]\npipelining=true\ncontrol_path_dir={files}/cp\n\
             ssh_args=-F none -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR\n",
            self.sshd.key().display(),
            files = self.files.path().display()
        )
    }

    /// The host, and who else is in its group: lines of YAML.
    pub(crate) fn inventory(&self, others: &[&str]) -> Result<()> {
        let own =
            format!("docker1: {{ansible_host: {}, ansible_port: \"{{{{ ssh_port }}}}\"}}", self.lab.host.v4);
        let hosts: String =
            [&[own.as_str()], others].concat().iter().map(|host| format!("    {host}\n")).collect();
        self.write("inventory.yml", &format!("docker_hosts:\n  vars: {{ssh_port: 22}}\n  hosts:\n{hosts}"))
    }

    /// Runs the example's playbook with variables, and the package as a file.
    pub(crate) fn play(&self, variables: &str, options: &[&str]) -> Result<Play> {
        self.write("vars.yml", &format!("{variables}dockfw_package_file: {}\n", self.package.display()))?;
        self.playbook("site.yml", &[&["-e", "@vars.yml"], options].concat())
    }

    /// Runs a playbook of the fixture.
    pub(crate) fn playbook(&self, name: &str, options: &[&str]) -> Result<Play> {
        let mut command = self.lab.trusted.command(ansible()?.join("ansible-playbook"));
        command.args(["-i", "inventory.yml", "--limit", "docker1", name]).args(options);
        command.current_dir(self.files.path()).env("ANSIBLE_CONFIG", self.path("ansible.cfg"));
        Ok(Play::of(&command.output().context("can't start ansible-playbook")?))
    }

    /// The rules of the kernel, and the policy.
    pub(crate) fn rules_and_policy(&self) -> Result<String> {
        let script = "nft --stateless list ruleset; iptables-save; ip6tables-save; ipset save";
        let text = self.lab.on_host("sh", &["-c", script])?;
        // Times, and counters of built-in chains.
        let lines = text.lines().filter(|line| !line.starts_with(['#', ':']));
        Ok(lines.collect::<Vec<_>>().join("\n") + &files("/etc/dockfw")?)
    }

    /// The same, and all else that the role could change on the host.
    pub(crate) fn state(&self) -> Result<String> {
        Ok(self.rules_and_policy()? + &files("/usr/sbin/dockfw /var/cache/dockfw /var/lib/dockfw /etc/apt")?)
    }

    /// Whether the policy file is what is in force, and nothing is on trial.
    pub(crate) fn is_in_force(&self) -> Result<()> {
        self.dockfw("diff")?;
        let status = self.dockfw("status --json")?;
        ensure!(status.contains("\"pending\": null"), "{status}");
        Ok(())
    }

    /// Runs the program that the role has installed.
    pub(crate) fn dockfw(&self, arguments: &str) -> Result<String> {
        self.lab.on_host("/usr/sbin/dockfw", &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Whether a machine gets an answer at the host's port of SSH.
    pub(crate) fn lets_in(&self, from: &Machine) -> bool {
        let to = (self.lab.host.v4, 22);
        !from.tcp(to).is_silent()
    }
}

/// Files with their owners, modes, times and contents.
fn files(places: &str) -> Result<String> {
    let script =
        format!("find {places} -printf '%M %u %p ' -type f -exec sha256sum {{}} + -o -printf '\\n'; true");
    run(Command::new("sh").args(["-c", &script]))
}

/// The directory with Ansible's programs.
fn ansible() -> Result<PathBuf> {
    match env::var_os("DOCKFW_ANSIBLE") {
        Some(directory) => Ok(directory.into()),
        None => which("ansible-playbook").map(|path| path.parent().map(Path::to_owned).unwrap_or_default()),
    }
}

fn which(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.find_map(|place| Some(place.join(program)).filter(|path| path.is_file()));
    found.with_context(|| format!("no {program} on this machine"))
}
