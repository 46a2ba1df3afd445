//! What the programs are given that dockfw runs: their own streams, and nothing that it has open itself.

use crate::desk::Desk;
use crate::hangs::{FAKES, PROGRAMS};

/// Writes down what it has open, and does what it is there for.
const LOOKS: &str =
    r#"for number in /proc/$$/fd/*; do readlink $number; done >>"$OPEN"; exec "/usr/sbin/${0##*/}" "$@""#;

#[test]
#[ignore = "needs root"]
fn no_program_has_a_socket_of_dockfws() {
    let desk = Desk::new("inherited");
    let script = format!(
        "export OPEN=$PWD/open
         ip link add eth0 type veth peer name eth1; ip address add 198.51.100.1/24 dev eth0; ip link set eth0 up
         fake '{LOOKS}' '{PROGRAMS}'
         # What this shell was given by whoever runs the tests.
         for number in /proc/$$/fd/*; do readlink $number; done | grep socket: >own || :
         for verb in 'apply --backend iptables' 'apply --backend nftables' boot check diff 'import --live' probe status \\
             'explain --from 192.0.2.10 --in eth0 --to 198.51.100.1 --port 80/tcp' remove; do
             limited $verb >/dev/null 2>&1 || :
             test -s open || {{ echo \"$verb runs no program\"; exit 8; }}
             if grep socket: open | grep -vxFf own; then echo \"given to a program of $verb\"; exit 9; fi
             rm open
         done"
    );
    desk.script(&format!("{FAKES}\n{script}")).exits(0);
}
