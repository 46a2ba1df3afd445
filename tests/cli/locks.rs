//! Two runs at once.

use std::os::unix::net::UnixListener;

use dockfw_lab::wait_until;

use crate::fixture::{CliFixture, GOOD};
use crate::running::{DEADLINE, Running};

const WAITING: &str = "waiting for another dockfw to finish";

#[test]
#[ignore = "needs root"]
fn an_apply_waits_for_the_lock_and_says_so() {
    let fixture = CliFixture::new("lock");
    let mut running = Running::script(
        &fixture,
        "mkdir /run/dockfw
         mkfifo held release
         flock /run/dockfw/lock sh -c 'echo >held; read -r _ <release' &
         read -r _ <held
         dockfw apply >/dev/null &
         apply=$!
         read -r go
         kill -0 $apply
         fails nft list table inet dockfw
         echo >release
         wait $apply
         nft list table inet dockfw >/dev/null",
    );
    running.wait_for_talk(WAITING);
    running.tell("go");
    running.ends(0);
}

/// The first apply stands still, with the lock, for as long as a Docker of the test's own does not answer it.
#[test]
#[ignore = "needs root"]
fn of_two_applies_at_once_the_second_waits() {
    let fixture = CliFixture::new("two");
    fixture.write("first/dockfw.toml", GOOD);
    fixture.write("second/dockfw.toml", GOOD.replace("443", "444"));
    let docker = UnixListener::bind(fixture.0.join("docker.sock")).unwrap();
    docker.set_nonblocking(true).unwrap();
    let mut running = Running::script(
        &fixture,
        "dockfw() { \"$DOCKFW\" \"$1\" --config \"$2/dockfw.toml\"; }
         DOCKER_HOST=unix://docker.sock dockfw apply first >/dev/null &
         first=$!
         read -r go
         dockfw apply second >/dev/null &
         second=$!
         wait $first
         wait $second
         dockfw status second >/dev/null
         fails dockfw status first",
    );
    let asked = wait_until(DEADLINE, "for the first apply to ask Docker", || docker.accept().ok()).unwrap();
    running.tell("go");
    running.wait_for_talk(WAITING);
    drop(asked);
    running.ends(0);
}
