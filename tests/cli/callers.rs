//! What a caller may leave behind for the program that it starts.

use crate::desk::Desk;

/// A process whose children nobody is to wait for: the kernel then forgets how they ended (waitpid(2)).
const IGNORES: &str = "env --ignore-signal=CHLD \"$DOCKFW\" --config dockfw.toml";

#[test]
#[ignore = "needs root"]
fn a_caller_that_ignores_the_ends_of_its_children_changes_nothing() {
    let desk = Desk::new("sigchld");
    for backend in ["nftables", "iptables"] {
        desk.script(&format!(
            "{IGNORES} apply --backend {backend} && {IGNORES} status && {IGNORES} apply --confirm 1h --detach"
        ))
        .exits(0)
        .prints(&format!("in force ({backend})"));
    }
    // How a program ended that failed is told as well.
    let broken =
        format!("mount --bind /bin/false /usr/sbin/iptables-restore; {IGNORES} apply --backend iptables");
    let done = desk.script(&broken);
    assert!(!done.stderr.contains("No child processes"), "{done}");
    assert_ne!(done.code(), Some(0), "{done}");
}
