//! What a caller may leave behind for the program that it starts, and how it may read what that says.

use crate::fixture::CliFixture;
use crate::host::Host;

/// A process whose children nobody is to wait for: the kernel then forgets how they ended (waitpid(2)).
const IGNORES: &str = "env --ignore-signal=CHLD \"$DOCKFW\" --config dockfw.toml";

#[test]
#[ignore = "needs root"]
fn a_caller_that_ignores_the_ends_of_its_children_changes_nothing() {
    let fixture = CliFixture::new("sigchld");
    for backend in ["nftables", "iptables"] {
        fixture.script(&format!(
            "{IGNORES} apply --backend {backend} && {IGNORES} status && {IGNORES} apply --confirm 10s --detach"
        ))
        .exits(0)
        .prints(&format!("in force ({backend})"));
    }
    // How a program ended that failed is told as well.
    let broken =
        format!("mount --bind /bin/false /usr/sbin/iptables-restore; {IGNORES} apply --backend iptables");
    let done = fixture.script(&broken);
    assert!(!done.stderr.contains("No child processes"), "{done}");
    assert_ne!(done.code(), Some(0), "{done}");
}

#[test]
#[ignore = "needs root"]
fn what_nobody_reads_is_done_and_recorded_all_the_same() {
    let host = Host::with_two_policies("unread");
    host.script("dockfw apply --confirm 1h --detach >/dev/full")
        .exits(1)
        .says("the change is made all the same");
    host.script("dockfw confirm >/dev/full").exits(1);
    assert_eq!(host.in_force(), ["444"]);
    host.write_policy("445");
    host.script("dockfw apply >/dev/full || test $? = 1; dockfw diff >/dev/null; dockfw rollback").exits(0);
    assert_eq!(host.in_force(), ["444"], "to the one before the last");
    host.script("dockfw diff >/dev/full").exits(1);
    host.script("dockfw remove >/dev/full").exits(1);
    host.script("dockfw remove").exits(0).prints("no rules of dockfw were there");
}

#[test]
#[ignore = "needs root"]
fn whoever_reads_slowly_keeps_nobody_waiting() {
    let host = Host::with_two_policies("slow-reader");
    // More than a pipe holds.
    let many: Vec<_> = (0..9000).map(|n| format!("\"10.{}.{}.1\"", n / 200, n % 200)).collect();
    let policy = format!("trusted = [{}]\n", many.join(", "));
    host.fixture.write("many/dockfw.toml", policy);
    let script = "mkfifo slow; \"$DOCKFW\" --config many/dockfw.toml apply --dry-run --force >slow & exec <slow; head -c 1 >/dev/null
                  flock --timeout 10 /run/dockfw/lock true";
    host.script(script).exits(0);
}
