//! Everything that goes to stderr and to stdout. None of it ever ends the program, as `println!` and `eprintln!` do:
//! the program may be about to record a policy, or to roll one back.
//!
//! A reader of stdout may close the pipe early: that is no error. Any other failure is an error (the disk is full). The
//! program then reports it at its end, after it has done what it was asked for.
#![allow(clippy::disallowed_methods, reason = "the one place that writes to both")]

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::exit::{self, Exit};
use crate::message::Message;

/// The colours that policy diagnostics have too (ECMA-48, SGR).
const RED: &str = "\x1b[1;91m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[1;92m";
const PLAIN: &str = "\x1b[0m";

/// What is so if output is lost of a command that changes nothing.
pub(crate) const UNCHANGED: &str = "nothing was changed";

/// Why something did not reach stdout, if that happened.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints why the program could not do what it was asked for.
pub(crate) fn error(message: impl Display) {
    headed("error", RED, message);
}

/// Prints the error with which the program, or a part of its work, ends.
pub(crate) fn failure(why: &anyhow::Error) {
    exit::diagnostics_of(why).iter().for_each(diagnostics);
    error(exit::message_of(why));
}

/// Prints what was done although the operator still has to act.
pub(crate) fn warning(message: impl Display) {
    headed("warning", YELLOW, message);
}

/// Prints a fact worth knowing.
pub(crate) fn note(message: impl Display) {
    headed("note", GREEN, message);
}

fn headed(heading: &str, colour: &str, message: impl Display) {
    if stderr_has_colours() {
        say(format_args!("{colour}{heading}{PLAIN}: {message}\n"));
    } else {
        say(format_args!("{heading}: {message}\n"));
    }
}

/// Prints diagnostics of a policy, which have headings of their own.
pub(crate) fn diagnostics(text: impl AsRef<str>) {
    say(format_args!("{}\n", text.as_ref().trim_end()));
}

/// Prints something unchanged, such as a line that is to be overwritten. If nobody can read it (the terminal is gone),
/// it is lost.
pub(crate) fn say(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// Writes a line to stdout.
pub(crate) fn result(line: impl Display) {
    write(format!("{line}\n"));
}

/// Writes something to stdout, unchanged.
pub(crate) fn write(text: impl AsRef<[u8]>) {
    let mut stdout = io::stdout().lock();
    record_loss(stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()));
}

fn record_loss(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Ends the output. Returns the exit code: `exit` if everything was written. `otherwise`: what is so in spite of the loss.
pub(crate) fn end(exit: Exit, otherwise: &str) -> Exit {
    match LOST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => exit,
        Some(lost) => {
            error(
                Message::new(format!("can't write to stdout: {lost}"))
                    .meaning(format!("the output is incomplete; {otherwise}")),
            );
            Exit::Failed
        }
    }
}

/// Prints what clap reports: what was asked for (`--help`), or what is wrong with the command line.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let written = error.print();
    if error.use_stderr() {
        return Exit::Usage;
    }
    record_loss(written);
    end(Exit::Done, UNCHANGED)
}

/// Returns stderr, to be watched: it shows whether anybody still reads.
pub(crate) fn stderr() -> io::Stderr {
    io::stderr()
}

/// Returns whether stdout is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns whether stderr is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Returns whether what is written to stdout may have colours (<https://no-color.org>).
pub(crate) fn stdout_has_colours() -> bool {
    stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Returns whether what goes to stderr may have colours.
pub(crate) fn stderr_has_colours() -> bool {
    stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
