//! dockfw's unit of systemd: whether a boot puts the policy in force, and how that comes to be so.

use crate::fixture::{Done, SYSTEMD};
use crate::host::Host;
use crate::running::Running;

/// A host with a systemd that has the unit in this state.
fn host(test: &str, state: &str) -> Host {
    let host = Host::raise(test);
    host.script(&format!("{SYSTEMD}\nsystemd {state}")).exits(0);
    host
}

/// Runs a script where that systemd is asked.
fn script(host: &Host, script: &str) -> Done {
    host.script(&format!("{SYSTEMD}\nagain; {script}"))
}

/// The help by which a unit is enabled.
const ENABLE: &str = "systemctl enable dockfw\n";

/// What the unit is now.
fn state(host: &Host) -> String {
    host.script("cat /run/unit").stdout.trim().to_owned()
}

/// Starts a trial on a terminal.
fn trial_on_terminal(host: &Host, arguments: &str) -> Running {
    let script = format!("PATH=/run/bin:$PATH exec \"$DOCKFW\" --config dockfw.toml {arguments}");
    Running::on_terminal(&mut host.command(&format!("exec setsid --ctty --wait sh -ec '{script}'")))
}

#[test]
#[ignore = "needs root"]
fn the_last_line_says_that_a_restart_ends_it() {
    let host = host("not-enabled", "disabled");
    for verb in ["check", "apply", "apply", "apply --confirm 1h", "status", "confirm"] {
        let done = script(&host, &format!("dockfw {verb} 2>&1"));
        assert!(done.exits(0).stdout.ends_with(ENABLE), "{verb}: {done}");
    }
    host.write_policy("444");
    script(&host, "dockfw apply --confirm 1h --detach; dockfw confirm").exits(0).says(ENABLE);
    host.script("echo enabled >/run/unit");
    for verb in ["check", "apply", "status", "confirm"] {
        let done = script(&host, &format!("dockfw {verb} 2>&1"));
        assert!(!done.exits(0).stdout.contains("next boot"), "{verb}: {done}");
    }
    assert_eq!(host.script("cat /run/told").stdout, "", "nobody asked for it to be enabled");
}

/// On a host that another init runs, a unit would do nothing.
#[test]
#[ignore = "needs root"]
fn without_systemd_nothing_is_said_of_it() {
    let host = host("no-systemd", "disabled");
    host.script("rm -r /run/systemd").exits(0);
    for verb in ["check", "apply", "status", "confirm"] {
        let done = script(&host, &format!("dockfw {verb} 2>&1"));
        assert!(!done.exits(0).stdout.contains("systemctl"), "{verb}: {done}");
    }
    script(&host, "dockfw status --strict").exits(0);
    assert!(script(&host, "dockfw status --json").json()["unit"].is_null());
    host.write_policy("444");
    script(&host, "dockfw apply --enable").exits(5).says("nothing was changed");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn strict_status_fails_if_a_restart_ends_it() {
    let host = host("strict", "disabled");
    script(&host, "dockfw apply").exits(0);
    for (state, code) in
        [("disabled", 7), ("masked", 7), ("enabled-runtime", 7), ("enabled", 0), ("not-found", 0)]
    {
        host.script(&format!("echo {state} >/run/unit"));
        script(&host, "dockfw status").exits(0);
        let report = script(&host, "dockfw status --strict --json");
        let expected = match state {
            "not-found" => serde_json::Value::Null,
            "enabled-runtime" => "disabled".into(),
            state => state.into(),
        };
        assert_eq!(report.exits(code).json()["unit"]["startup"], expected, "{state}: {report}");
    }
}

#[test]
#[ignore = "needs root"]
fn apply_enables_it() {
    let host = host("enable", "disabled");
    script(&host, "dockfw apply --enable").exits(0).prints("enabled: dockfw.service");
    assert_eq!(state(&host), "enabled");
    let again = script(&host, "dockfw apply --enable");
    assert!(!again.exits(0).stdout.contains("enabled"), "{again}");
    assert_eq!(host.script("cat /run/told").stdout, "enable dockfw.service\n");
}

#[test]
#[ignore = "needs root"]
fn a_unit_that_can_not_be_enabled_stops_an_apply_before_it() {
    let host = host("enable-masked", "masked");
    script(&host, "dockfw apply --enable").exits(1).is_silent().says("systemctl unmask dockfw");
    script(&host, "dockfw apply --enable --confirm 1h").exits(1).is_silent().says("nothing was changed");
    assert!(host.in_force().is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_trial_enables_it_once_it_is_confirmed() {
    let host = host("enable-trial", "disabled");
    script(&host, "dockfw apply --enable --confirm 1h --detach").exits(0);
    assert_eq!(state(&host), "disabled");
    script(&host, "dockfw rollback; test $(cat /run/unit) = disabled").exits(0);
    script(&host, "dockfw apply --enable --confirm 1h --detach").exits(0);
    host.write_policy("444");
    // It takes the place of the trial, and its wish.
    script(&host, "dockfw apply").exits(0);
    assert_eq!(state(&host), "disabled");
    script(&host, "dockfw confirm").exits(0).prints(" stays in force\nenabled: dockfw.service");
    assert_eq!(state(&host), "enabled");
}

#[test]
#[ignore = "needs root"]
fn on_a_terminal_a_trial_offers_to_enable_it() {
    let host = host("offer", "disabled");
    let mut waiter = trial_on_terminal(&host, "apply --confirm 1h");
    waiter.wait_for_talk("to keep the policy and enable the unit: e, and then Enter");
    waiter.wait_for_talk("s left");
    waiter.press("e\n");
    assert!(waiter.ends(0).contains("enabled: dockfw.service"));
    assert_eq!(state(&host), "enabled");
    script(&host, "dockfw status").exits(0).prints("in force");
    host.write_policy("444");
    let mut waiter = trial_on_terminal(&host, "apply --confirm 1h");
    waiter.wait_for_talk("s left");
    waiter.press("\n");
    assert!(!waiter.ends(0).contains("enable the unit"), "it is enabled already");
}

#[test]
#[ignore = "needs root"]
fn enter_alone_enables_nothing() {
    let host = host("offer-enter", "disabled");
    let mut waiter = trial_on_terminal(&host, "apply --confirm 1h");
    waiter.wait_for_talk("s left");
    waiter.press("\n");
    assert!(waiter.ends(0).contains("systemctl enable dockfw"));
    assert_eq!(state(&host), "disabled");
}

/// A host with the policy where the unit looks for it.
fn host_with_policy_in_etc(test: &str) -> Host {
    let host = host(test, "enabled");
    host.script(
        "mkdir /run/upper /run/work
         mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
         rm -rf /etc/dockfw; mkdir /etc/dockfw; cp dockfw.toml /etc/dockfw",
    )
    .exits(0);
    script(&host, "\"$DOCKFW\" apply").exits(0);
    host
}

#[test]
#[ignore = "needs root"]
fn status_names_a_unit_that_is_not_active_and_an_apply_starts_it() {
    let host = host_with_policy_in_etc("mend");
    for (state, fault) in [("failed", "dockfw.service has failed"), ("inactive", "dockfw.service is stopped")]
    {
        host.script(&format!("echo {state} >/run/state"));
        script(&host, "\"$DOCKFW\" status").exits(0).prints(fault);
        let report = script(&host, "\"$DOCKFW\" status --json").json();
        assert_eq!(report["unit"]["state"], state, "{report:#}");
        script(&host, "\"$DOCKFW\" apply").exits(0).says("note: started dockfw.service");
        host.script("grep -x active /run/state").exits(0);
        let status = script(&host, "\"$DOCKFW\" status");
        assert!(!status.exits(0).stdout.contains("dockfw.service"), "{status}");
    }
    assert_eq!(host.in_force(), ["443"]);
}

/// A start puts the policy of /etc/dockfw in force: nobody asked for another policy than that of the apply.
#[test]
#[ignore = "needs root"]
fn a_unit_that_would_put_another_policy_in_force_is_not_started() {
    let host = host_with_policy_in_etc("mend-not");
    host.script("echo failed >/run/state");
    host.write_policy("444");
    for apply in [
        "dockfw apply",
        "\"$DOCKFW\" apply --confirm 1h --detach",
        "INVOCATION_ID=1 \"$DOCKFW\" apply",
        "echo 'engine.backend = \"nftables\"' >/tmp/own; sed -i '1r /tmp/own' /etc/dockfw/dockfw.toml; \"$DOCKFW\" apply --backend iptables",
    ] {
        script(&host, apply).exits(0);
        host.script("! grep start /run/told").exits(0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_unit_that_can_not_be_started_is_a_warning() {
    let host = host_with_policy_in_etc("mend-fails");
    host.script("echo failed >/run/state; sed -i s/boot/--no-such-option/ /run/bin/systemctl").exits(0);
    script(&host, "\"$DOCKFW\" apply").exits(0).says("warning: dockfw.service could not be started");
    // One that nobody enabled is as its operator wants it.
    host.script("echo inactive >/run/state; echo disabled >/run/unit").exits(0);
    let done = script(&host, "\"$DOCKFW\" apply; \"$DOCKFW\" status >&2");
    assert!(!done.exits(0).stderr.contains("started"), "{done}");
}
