//! A dockfw that was built without the compat engine: it says so, and takes out what another one left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::fixture::{DOCKFW, Done};
use crate::host::Host;

/// What it says of the engine that it does not have.
const ABSENT: &str = "this dockfw was built without";

/// Builds the program without default features, once, beside the one that has them.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(DOCKFW).ancestors().nth(2).unwrap().join("without-compat");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).arg("build").arg("--target-dir").arg(&target);
        cargo.args(["--package", "dockfw", "--no-default-features", "--locked", "--offline"]);
        // For this machine, so that it is known where the program will be.
        Done::of(cargo.env_remove("CARGO_BUILD_TARGET").env("CARGO_PROFILE_DEV_DEBUG", "0")).exits(0);
        target.join("debug/dockfw")
    })
}

/// Runs a script on the host, where `without` is the program without the engine, and `dockfw` the one that has it.
fn on(host: &Host, script: &str) -> Done {
    let program = program().display();
    host.script(&format!("without() {{ {program} --config dockfw.toml \"$@\"; }}\n{script}"))
}

/// A host with a policy of port 443 in force by the compat engine, and one of 444 in the file.
fn with_compat(test: &str) -> Host {
    let host = Host::raise(test);
    host.script("dockfw apply --backend iptables").exits(0);
    host.write_policy("444");
    assert_eq!(host.in_force(), ["443"]);
    host
}

/// Nothing of the compat engine is there: no chain, no jump, no set.
fn is_clean_of_compat(host: &Host) {
    let all = "iptables-save; ip6tables-save; iptables-legacy-save; ip6tables-legacy-save; ipset list -n";
    let left = format!("{{ {all}; }} | grep -iE 'dockfw|FILTERS|DOCKER-USER' >&2 && exit 1 || exit 0");
    host.script(&left).exits(0);
}

#[test]
#[ignore = "needs root"]
fn it_says_what_is_missing_and_what_to_do() {
    let host = Host::raise("without-compat");
    on(&host, "without probe").exits(0).prints(ABSENT).prints("engine: nftables");
    for verb in ["apply", "diff"] {
        let asked = on(&host, &format!("without {verb} --backend iptables"));
        asked.exits(5).is_silent();
        asked.says(&format!("{ABSENT} the iptables engine")).says("help: to use the other engine");
    }
    on(&host, "without show --format iptables").exits(5).says(ABSENT);
    assert_eq!(host.engines(), [""; 0]);
    on(&host, "without apply").exits(0).prints("in force (nftables)");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn an_apply_moves_from_the_engine_that_is_not_there() {
    let host = with_compat("without-compat-apply");
    on(&host, "without status").exits(7).prints("iptables");
    on(&host, "without apply").exits(0).says("the policy is in force by nftables now");
    assert_eq!((host.in_force(), host.engines()), (vec!["444"], vec!["nftables"]));
    is_clean_of_compat(&host);
    // The record of the policy before names the engine that is not there.
    on(&host, "without rollback").exits(0);
    assert_eq!((host.in_force(), host.engines()), (vec!["443"], vec!["nftables"]));
}

#[test]
#[ignore = "needs root"]
fn a_boot_moves_from_the_engine_that_is_not_there() {
    let host = with_compat("without-compat-boot");
    on(&host, "without boot").exits(0).prints("in force (nftables)").says(ABSENT);
    assert_eq!((host.in_force(), host.engines()), (vec!["444"], vec!["nftables"]));
    is_clean_of_compat(&host);
}

#[test]
#[ignore = "needs root"]
fn it_takes_out_what_the_engine_that_is_not_there_left() {
    let host = with_compat("without-compat-remove");
    on(&host, "without remove").exits(0).prints("removed");
    is_clean_of_compat(&host);
    on(&host, "without remove").exits(0).prints("no rules of dockfw were there");
}

#[test]
#[ignore = "needs root"]
fn sets_that_no_rule_asks_go_with_an_apply() {
    let host = Host::raise("without-compat-sets");
    host.script("dockfw apply --backend iptables; ipset save >sets; dockfw remove; ipset restore <sets")
        .exits(0);
    on(&host, "without apply").exits(0).prints("in force (nftables)");
    is_clean_of_compat(&host);
}
