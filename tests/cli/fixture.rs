//! A directory with a policy, the program run in it, and what it must have said.

use std::fs;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

use serde_json::Value;

pub(crate) const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");

/// A policy in which nothing is wrong.
pub(crate) const GOOD: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]

[[allow]]
name  = "web"
ports = ["80/tcp", "443/tcp"]
"#;

/// Every script begins so. `dockfw` is the program with the policy of the test's directory; `unchanged` runs a command,
/// passes its exit code on, and fails if the ruleset is not what it was;
/// `fails` runs one that must fail (`set -e` overlooks a `!`).
pub(crate) const PRELUDE: &str = r#"
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
dockfw() { "$DOCKFW" --config dockfw.toml "$@"; }
# What the host itself sends is counted meanwhile.
unchanged() {
    nft --stateless list ruleset >before
    code=0
    "$@" || code=$?
    nft --stateless list ruleset >after
    cmp before after >&2
    return $code
}
# The same for all that either engine could change.
everything() {
    nft --stateless list ruleset
    { iptables-save; ip6tables-save; } | sed 's/ \[[0-9]*:[0-9]*\]$//'
    ipset save
}
unchanged_all() {
    everything | sed '/^#/d' >before
    code=0
    "$@" || code=$?
    everything | sed '/^#/d' | cmp before - >&2
    return $code
}
# The name of the set of this title, which ends in a digest of what is in it.
set_of() { nft list table inet dockfw | sed -n "s/^\tset \($1_[0-9a-v]\{10\}\) .*/\1/p"; }
fails() {
    if "$@" >&2; then
        echo "this should have failed: $*" >&2
        exit 9
    fi
}
"#;

/// `systemd STATE` stands for a systemd that has dockfw's unit.
pub(crate) const SYSTEMD: &str = include_str!("systemd.sh");

/// A directory with a policy file, in which the program is run.
pub(crate) struct CliFixture(pub(crate) PathBuf);

impl CliFixture {
    /// A directory of the test's own, with the good policy on it.
    pub(crate) fn new(test: &str) -> Self {
        // Not in the build's directory: sockets need short paths.
        let directory = std::env::temp_dir().join(format!("dockfw-cli-{}-{test}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let fixture = Self(directory);
        fixture.write("dockfw.toml", GOOD);
        fixture
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs the program as it is, outside of any namespace: for verbs that could not change anything.
    pub(crate) fn dockfw(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(DOCKFW);
        command.current_dir(&self.0).args(["--config", "dockfw.toml"]).args(arguments);
        Done::of(&mut command)
    }

    /// Runs a script in a network namespace of its own.
    pub(crate) fn script(&self, script: &str) -> Done {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-ec", &format!("{PRELUDE}\n{script}")]);
        Done::of(command.current_dir(&self.0).env("DOCKFW", DOCKFW).env_remove("DOCKER_HOST"))
    }

    /// Runs a script as it is, outside of any namespace: for what could not change anything.
    pub(crate) fn plain_script(&self, script: &str) -> Done {
        let mut command = Command::new("sh");
        Done::of(command.args(["-ec", script]).current_dir(&self.0).env("DOCKFW", DOCKFW))
    }

    /// Runs the program over a good policy that is in force, and makes sure that it still is. Where namespaces are not
    /// to be had, the program is run all the same: there it has no rights to change anything.
    pub(crate) fn dockfw_unchanged(&self, arguments: &[&str]) -> Done {
        if !is_root() {
            return self.dockfw(arguments);
        }
        self.write("good/dockfw.toml", GOOD);
        let apply = "\"$DOCKFW\" apply --config good/dockfw.toml >/dev/null";
        self.script(&format!("{apply}\nunchanged dockfw {}", arguments.join(" ")))
    }
}

impl Drop for CliFixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command that has ended, and what is expected of it. Failures show all that it said.
pub(crate) struct Done {
    command: String,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { command: format!("{command:?}"), code: output.status.code(), stdout, stderr }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert!(self.code == Some(code), "exit code {:?} and not {code}\n{self}", self.code);
        self
    }

    pub(crate) fn prints(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part), "{part:?} is not on stdout\n{self}");
        self
    }

    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "{part:?} is not on stderr\n{self}");
        self
    }

    pub(crate) fn is_silent(&self) -> &Self {
        assert!(self.stdout.is_empty(), "stdout is not empty\n{self}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, stdout, stderr, .. } = self;
        write!(f, "command: {command}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
