//! Rules of the iptables engine where Docker has gone over to its nftables backend, which passes them by: every verb says so.

use serde_json::Value;

use crate::fixture::{CliFixture, GOOD};

/// What Docker's backend is known by, whoever can be asked.
const GONE_OVER: &str = "dockfw apply --backend iptables >/dev/null
    nft add table ip docker-bridges";

const REASON: &str = "Docker uses its nftables backend, which passes DOCKER-USER by";

/// Desks whose policies leave the choice of the engine, and name it.
fn desks(test: &str) -> [(CliFixture, &'static str); 2] {
    let by_name = CliFixture::new(&format!("{test}-by-name"));
    by_name.write("dockfw.toml", format!("{GOOD}\n[engine]\nbackend = \"iptables\"\n"));
    [(CliFixture::new(&format!("{test}-auto")), "auto"), (by_name, "iptables")]
}

#[test]
#[ignore = "needs root"]
fn status_and_explain_know_that_packets_pass_by_what_is_there() {
    for (fixture, choice) in desks("unfit-status") {
        let status = fixture.script(&format!("{GONE_OVER}\ndockfw status --json")).exits(7).json();
        assert_eq!(status["in_force"], false, "{choice}: {status:#}");
        let differences = status["differences"].as_array().unwrap();
        let is_said = differences.iter().any(|one| one.as_str().unwrap().contains(REASON));
        assert!(is_said, "{choice}: {differences:#?}");
        let explain = "dockfw explain --from 127.0.0.1 --port 80/tcp --json";
        let explained = fixture.script(&format!("ip link set lo up\n{GONE_OVER}\n{explain}")).exits(0).json();
        assert_eq!(explained["in_force"], false, "{choice}");
    }
}

#[test]
#[ignore = "needs root"]
fn diff_and_apply_say_the_same() {
    let [(auto, _), (by_name, _)] = desks("unfit-diff");
    auto.script(&format!("{GONE_OVER}\ndockfw diff")).exits(7);
    by_name.script(&format!("{GONE_OVER}\ndockfw diff")).exits(7).prints(REASON);
    let diff = by_name.script(&format!("{GONE_OVER}\ndockfw diff --json")).exits(7).json();
    assert_eq!(diff["differs"], Value::Bool(true), "{diff:#}");
    assert!(diff["unfit"].as_str().unwrap().contains(REASON), "{diff:#}");
    by_name.script(&format!("{GONE_OVER}\nunchanged_all dockfw apply")).exits(5).says(REASON);
}

#[test]
#[ignore = "needs root"]
fn check_says_it_too() {
    for ((fixture, choice), code) in desks("unfit-check").into_iter().zip([0, 5]) {
        let before = fixture.script("dockfw apply --backend iptables >/dev/null; dockfw check");
        assert!(!before.stderr.contains(REASON), "{choice}: {}", before.stderr);
        fixture.script(&format!("{GONE_OVER}\ndockfw check")).exits(code).says(REASON);
    }
}

#[test]
#[ignore = "needs root"]
fn what_passes_by_can_be_taken_out() {
    let fixture = CliFixture::new("unfit-remove");
    fixture
        .script(&format!("{GONE_OVER}\ndockfw remove; dockfw status"))
        .exits(7)
        .prints("no policy is in force");
    let moved = fixture.script(&format!("{GONE_OVER}\ndockfw apply; dockfw status"));
    moved.exits(0).prints("in force (nftables)");
}
