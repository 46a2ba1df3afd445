//! What ends a trial: an answer of the operator, its absence, and the end of the terminal.

use std::process::Stdio;

use super::{APPLY, ON_TRIAL, trial, trial_on_terminal, was_kept, was_taken_back};
use crate::host::Host;
use crate::running::{Running, screen};

#[test]
#[ignore = "needs root"]
fn enter_on_the_terminal_keeps_it() {
    let (host, mut waiter) = trial_on_terminal("enter");
    waiter.press("\n");
    assert!(waiter.ends(0).contains("confirmed"));
    was_kept(&host);
}

/// Whatever ends it: the countdown goes, and what is said then begins a line.
#[test]
#[ignore = "needs root"]
fn a_trial_leaves_a_clean_terminal() {
    for (keys, code, said) in
        [("\n", 0, "confirmed"), ("\x03", 7, "\x1b[1;91merror\x1b[0m: undone: dockfw apply was")]
    {
        let (host, mut waiter) = trial_on_terminal(&format!("clean-{code}"));
        waiter.press(keys);
        let shown = screen(&waiter.ends(code));
        assert!(!shown.iter().any(|line| line.contains("s left")), "{shown:#?}");
        assert!(shown.iter().any(|line| line.starts_with(said)), "{shown:#?}");
        let test = shown.iter().position(|line| line.contains("open a new connection to this host"));
        assert!(test.is_some(), "the host has no session to take for an example: {shown:#?}");
        drop(host);
    }
}

#[test]
#[ignore = "needs root"]
fn other_keys_and_the_end_of_input_are_no_enter() {
    let (host, mut waiter) = trial_on_terminal("keys");
    waiter.press("yes\x04\x04");
    host.script("dockfw rollback").exits(0);
    waiter.ends(7);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
}

#[test]
#[ignore = "needs root"]
fn what_was_typed_before_is_no_answer() {
    let host = Host::with_two_policies("typed");
    let script = format!("read -r go; echo $$ >waiter; exec \"$DOCKFW\" --config dockfw.toml {APPLY}");
    let mut waiter =
        Running::on_terminal(&mut host.command(&format!("exec setsid --ctty --wait sh -ec '{script}'")));
    // As when several lines are pasted at once.
    waiter.press("go\nls\n\n");
    waiter.wait_for_talk("s left");
    host.script("dockfw status").prints("on trial, ");
    waiter.press("\n");
    waiter.ends(0);
    was_kept(&host);
}

#[test]
#[ignore = "needs root"]
fn confirm_from_another_process_keeps_it() {
    let (host, waiter) = trial("confirm");
    host.script("dockfw status").prints("on trial, ").prints("`dockfw confirm` keeps it");
    host.script("dockfw confirm").exits(0).prints("confirmed");
    waiter.ends(0);
    was_kept(&host);
    host.script("dockfw confirm").exits(7).says("dockfw rollback");
    host.script("dockfw apply; dockfw confirm").exits(0).prints("confirmed already");
    host.script("dockfw remove; dockfw confirm").exits(1).says("nothing is on trial");
}

/// `trial` has /dev/null for stdin, in which this would end at once.
#[test]
#[ignore = "needs root"]
fn the_end_of_a_pipe_is_no_enter_and_a_line_is() {
    let host = Host::with_two_policies("pipe");
    let mut closed = Running::start(&mut host.command(&format!("true | dockfw {APPLY}")));
    closed.wait_for_talk(ON_TRIAL);
    host.script("dockfw rollback").exits(0);
    closed.ends(7);
    was_taken_back(&host, "somebody ran `dockfw rollback`");
    let mut line = Running::start(host.waiter(APPLY).stdin(Stdio::piped()));
    line.wait_for_talk(ON_TRIAL);
    line.tell("");
    line.ends(0);
    was_kept(&host);
}

/// The rest of a script that a shell reads from its stdin, say.
#[test]
#[ignore = "needs root"]
fn what_waits_in_a_pipe_is_for_someone_else() {
    let host = Host::with_two_policies("rest");
    let script = "printf '\\n\\nrest\\n' | { dockfw apply --confirm 1s >/dev/null || echo code $?; cat; }";
    host.script(script).exits(0).prints("code 7").prints("rest");
    was_taken_back(&host, "nobody confirmed it in time");
}

/// What is left of a session without a terminal: a pipe that nobody reads.
#[test]
#[ignore = "needs root"]
fn when_nobody_listens_any_more_it_is_taken_back() {
    let (host, mut waiter) = trial("unheard");
    waiter.hang_up();
    waiter.ends(7);
    was_taken_back(&host, "whoever listened to dockfw apply is gone");
}

#[test]
#[ignore = "needs root"]
fn when_the_time_is_over_it_is_taken_back() {
    let host = Host::with_two_policies("time-out");
    let talk = Running::start(&mut host.waiter("apply --confirm 1s")).ends(7);
    assert!(talk.contains("undone: nobody confirmed it in time"), "{talk}");
    was_taken_back(&host, "nobody confirmed it in time");
    host.script("dockfw confirm").exits(7).says("too late");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn ctrl_c_takes_it_back() {
    let (host, mut waiter) = trial_on_terminal("ctrl-c");
    waiter.press("\x03");
    assert!(waiter.ends(7).contains("undone: dockfw apply was interrupted"));
    was_taken_back(&host, "dockfw apply was interrupted");
}

#[test]
#[ignore = "needs root"]
fn a_closed_terminal_takes_it_back() {
    let (host, mut waiter) = trial_on_terminal("hang-up");
    waiter.hang_up();
    waiter.ends(7);
    was_taken_back(&host, "the terminal of dockfw apply was closed");
}
