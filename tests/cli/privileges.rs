//! Without the privileges that a firewall needs.

use std::process::Command;

use crate::fixture::{CliFixture, DOCKFW, Done, is_root};

/// Runs the program without the privileges that a firewall needs; whoever is not root has none to drop.
fn unprivileged(fixture: &CliFixture, arguments: &[&str]) -> Done {
    let mut command = Command::new(if is_root() { "setpriv" } else { DOCKFW });
    if is_root() {
        command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", DOCKFW]);
    }
    Done::of(command.current_dir(&fixture.0).args(["--config", "dockfw.toml"]).args(arguments))
}

#[test]
fn without_privileges_the_rules_can_be_shown_and_checked() {
    let fixture = CliFixture::new("show");
    unprivileged(&fixture, &["show"]).exits(0).prints("table inet dockfw").prints("192.0.2.10");
    let ruleset = unprivileged(&fixture, &["show", "--format", "json"]).exits(0).json();
    assert!(ruleset.is_object(), "{ruleset}");
    unprivileged(&fixture, &["check"])
        .exits(0)
        .prints("dockfw.toml: valid")
        .says("without root's rights, dockfw could not look at all of this host")
        .says("whether an engine works on this host\n")
        .says("help: to look at all of it: sudo dockfw check\n");
}

#[test]
#[ignore = "needs root"]
fn root_is_not_told_what_others_could_not_look_at() {
    let done = CliFixture::new("check-as-root").script("dockfw check");
    assert!(!done.exits(0).stderr.contains("could not look"), "{done}");
}

#[test]
fn without_privileges_the_kernel_is_not_asked() {
    let fixture = CliFixture::new("unprivileged");
    for verb in [&["apply"][..], &["apply", "--dry-run"], &["remove"], &["status"], &["status", "--json"]] {
        unprivileged(&fixture, verb)
            .exits(4)
            .is_silent()
            .says("not permitted")
            .says("CAP_NET_ADMIN")
            .says("root");
    }
}

#[test]
#[ignore = "needs root"]
fn without_privileges_nothing_is_changed() {
    let fixture = CliFixture::new("unprivileged-unchanged");
    let drop =
        "unchanged setpriv --bounding-set=-net_admin --inh-caps=-net_admin \"$DOCKFW\" --config dockfw.toml";
    for verb in ["apply --force", "remove"] {
        let script = format!(
            "dockfw apply >/dev/null\necho 'trusted = [\"203.0.113.1\"]' >dockfw.toml\n{drop} {verb}"
        );
        fixture.script(&script).exits(4).is_silent().says("not permitted");
    }
}
