//! `--backend auto` on hosts that are really reduced: old tools, a kernel that refuses nf_tables, neither of the two.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::Value;

const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");

/// An `iptables` as CentOS 7 has it, in front of a real one: it knows no seconds to wait for, and its restore knows no
/// waiting at all, of which it complains before it goes on without.
const OLD_IPTABLES: &str = r#"#!/bin/sh
name=$(basename "$0")
real=/usr/sbin/$(echo "$name" | sed 's/tables/tables-legacy/')
case $name in
*-restore)
    for argument in "$@"; do
        shift
        case $argument in
        -h | --help) echo "Usage: $name [-b] [-c] [-v] [-t] [-h]" >&2; exit 1 ;;
        -w* | --wait* | -V | --version) echo "$name: invalid option -- '$argument'" >&2 ;;
        *) set -- "$@" "$argument" ;;
        esac
    done ;;
*)
    case "$*" in
    *--version* | *-V*) echo "$name v1.4.21"; exit 0 ;;
    *"-w "[0-9]*) echo "Bad argument" >&2; exit 2 ;;
    esac ;;
esac
exec "$real" "$@"
"#;

/// A host of the test's own: a network namespace, a policy, and the programs in its `PATH`.
struct Host {
    directory: tempfile::TempDir,
    path: PathBuf,
    /// What the kernel refuses, if it refuses anything.
    refusal: Option<fn() -> BpfProgram>,
    /// Whether the machine's own system programs are out of reach.
    hides_programs: bool,
}

impl Host {
    fn new(programs: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("dockfw.toml"), "trusted = [\"192.0.2.10\"]\n").unwrap();
        let path = directory.path().join("bin");
        fs::create_dir(&path).unwrap();
        for program in ["sh", "sed", "basename", "mount"].iter().chain(programs) {
            link(program, &path);
        }
        Self { directory, path, refusal: None, hides_programs: programs.is_empty() }
    }

    fn with_iptables(self, variant: &str) -> Self {
        for family in ["iptables", "ip6tables"] {
            for program in ["", "-save", "-restore"] {
                let real = format!("/usr/sbin/{family}-{variant}{program}");
                symlink(real, self.path.join(format!("{family}{program}"))).unwrap();
            }
        }
        self
    }

    fn with_old_iptables(self) -> Self {
        for family in ["iptables", "ip6tables"] {
            for program in ["", "-save", "-restore"] {
                let path = self.path.join(format!("{family}{program}"));
                fs::write(&path, OLD_IPTABLES).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        self
    }

    /// Runs a script on the host, with `dockfw` and the policy at hand.
    fn run(&self, script: &str) -> Output {
        let hide = if self.hides_programs { "mount -t tmpfs none /usr/sbin;" } else { "" };
        let script = format!(
            "mount -t tmpfs none /run; mount -t tmpfs none /var/lib; {hide} dockfw() {{ \"{DOCKFW}\" --config dockfw.toml \"$@\"; }}; {script}"
        );
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--net", "--mount", "/bin/sh", "-ec", &script]);
        command.current_dir(self.directory.path()).env("PATH", &self.path);
        let refusal = self.refusal;
        // A filter holds for the thread that sets it and for the processes that it starts.
        let run = move || {
            if let Some(filter) = refusal {
                seccompiler::apply_filter(&filter()).unwrap();
            }
            command.output().unwrap()
        };
        thread::spawn(run).join().unwrap()
    }

    fn engine_of_probe(&self) -> Value {
        let output = self.run("dockfw probe --json || true");
        let found: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        found["engine"].clone()
    }
}

fn link(program: &str, directory: &Path) {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|system| Path::new(system).join(program));
    let found =
        found.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {program} on this machine"));
    symlink(found, directory.join(program)).unwrap();
}

/// Denies `sendmsg`, by which nf_tables is sent its transactions; ipset and iptables-legacy do without.
fn no_transactions() -> BpfProgram {
    filter(libc::SYS_sendmsg, vec![], libc::EOPNOTSUPP)
}

/// Denies the question with which iptables-legacy begins with a table (`IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO` in
/// linux/netfilter_ipv4/ip_tables.h and its like for IPv6), as a kernel without those tables does.
fn no_legacy_tables() -> BpfProgram {
    const GET_INFO: u64 = 64;
    let is = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap()
    };
    let asked = |level: i32| SeccompRule::new(vec![is(1, level as u64), is(2, GET_INFO)]).unwrap();
    filter(libc::SYS_getsockopt, vec![asked(libc::SOL_IP), asked(libc::SOL_IPV6)], libc::ENOPROTOOPT)
}

fn filter(call: libc::c_long, rules: Vec<SeccompRule>, errno: libc::c_int) -> BpfProgram {
    let rules = [(call, rules)].into_iter().collect();
    let refuse = SeccompAction::Errno(errno as u32);
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into().unwrap());
    filter.unwrap().try_into().unwrap()
}

/// What iptables-legacy and ipset are on this machine.
const LEGACY: [&str; 9] = [
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-legacy-restore",
    "ip6tables-legacy",
    "ip6tables-legacy-save",
    "ip6tables-legacy-restore",
    "ipset",
    "cat",
    "env",
];

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "needs root"]
fn compat_where_iptables_is_older_than_1_8() {
    let host = Host::new(&LEGACY);
    let host = host.with_old_iptables();
    assert_eq!(host.engine_of_probe(), "iptables");
    let output = host.run("dockfw apply --backend auto; dockfw status; dockfw apply; dockfw remove");
    assert!(output.status.success() && said(&output).contains("in force (iptables)"), "{}", said(&output));
    assert!(said(&output).contains("nothing changed"), "{}", said(&output));
}

#[test]
#[ignore = "needs root"]
fn native_with_iptables_of_either_variant() {
    for variant in ["legacy", "nft"] {
        let host = Host::new(&LEGACY);
        let host = host.with_iptables(variant);
        assert_eq!(host.engine_of_probe(), "nftables");
        let output = host.run("dockfw apply --backend auto; dockfw status");
        assert!(
            output.status.success() && said(&output).contains("in force (nftables)"),
            "{}",
            said(&output)
        );
    }
}

/// An apply that was interrupted before any rule was there is no reason to keep its engine.
#[test]
#[ignore = "needs root"]
fn native_where_an_interrupted_apply_of_compat_left_only_sets() {
    let host = Host::new(&LEGACY);
    let host = host.with_iptables("legacy");
    let leave = "dockfw apply --backend iptables; ipset save >sets; dockfw remove; ipset restore <sets";
    let output = host.run(&format!(
        "{leave}; dockfw apply --backend auto; dockfw status; dockfw diff; ipset list -n | sed 's/^/left: /'"
    ));
    let said = said(&output);
    assert!(output.status.success() && said.contains("in force (nftables)"), "{said}");
    assert!(!said.contains("in force by") && !said.contains("left: "), "{said}");
}

#[test]
#[ignore = "needs root"]
fn native_without_any_iptables() {
    let host = Host::new(&[]);
    assert_eq!(host.engine_of_probe(), "nftables");
}

#[test]
#[ignore = "needs root"]
fn compat_where_the_kernel_refuses_nf_tables() {
    let host = Host::new(&LEGACY);
    let host = Host { refusal: Some(no_transactions), ..host.with_iptables("legacy") };
    assert_eq!(host.engine_of_probe(), "iptables");
    let output = host.run("dockfw apply --backend auto; dockfw status");
    assert!(output.status.success() && said(&output).contains("in force (iptables)"), "{}", said(&output));
    let asked = host.run("dockfw apply --backend nftables");
    assert_eq!(asked.status.code(), Some(5), "no silent fallback: {}", said(&asked));
}

#[test]
#[ignore = "needs root"]
fn compat_says_so_where_the_kernel_has_no_legacy_tables() {
    let host = Host::new(&LEGACY);
    let host = Host { refusal: Some(no_legacy_tables), ..host.with_iptables("legacy") };
    assert_eq!(host.engine_of_probe(), "nftables");
    let output = host.run("dockfw apply --backend iptables && exit 1; code=$?; ipset list -n; exit $code");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("the kernel has no IPv4 tables of iptables-legacy"), "{}", said(&output));
    assert!(output.stdout.is_empty(), "sets were left: {}", said(&output));
}

#[test]
#[ignore = "needs root"]
fn exit_5_and_what_is_missing_where_neither_works() {
    let host = Host::new(&[]);
    let host = Host { refusal: Some(no_transactions), ..host };
    let output = host.run("dockfw apply --backend auto");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    for word in ["nf_tables", "ipset", "iptables"] {
        assert!(said(&output).contains(word), "no {word} in {}", said(&output));
    }
    assert_eq!(host.engine_of_probe(), Value::Null);
}
