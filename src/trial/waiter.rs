//! The waiting process: `dockfw apply --confirm`, from when the policy is in force until it is confirmed or rolled
//! back.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::termios::{FlushArg, tcflush};
use nix::unistd::{getpgrp, read, tcgetpgrp};

use super::vigil::Event;
use super::{Outcome, Trial, confirm, ended, roll_back, time_out};
use crate::exit::{Exit, Stop};
use crate::message::Message;
use crate::output;
use crate::records::{Now, Store};
use crate::unit::{self, Startup, Wish};

/// How often the terminal shows the time that is left.
const TICK: Duration = Duration::from_secs(1);

/// Clears the line (ECMA-48, EL).
const CLEAR: &str = "\r\x1b[K";
/// Clears the line above, from which a key that ended it led on (ECMA-48, CUU).
const CLEAR_ABOVE: &str = "\x1b[A\r\x1b[K";
/// The width if a terminal does not report its size: the smallest that is common.
const COLUMNS: usize = 80;

/// What came from the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    Enter,
    /// An e before it, which asks for the unit to be enabled too.
    Enable,
    Something,
    /// Nothing more will come.
    End,
    /// The terminal is gone.
    HungUp,
}

/// The input on which the operator may press Enter.
struct Keyboard {
    is_terminal: bool,
    /// Whether the operator was told what an e is for.
    offers_unit: bool,
}

impl Keyboard {
    /// Returns nothing if the input is not meant for dockfw: the terminal listens to another program. Or a file or a pipe
    /// had something to read before the policy was in force, as the rest of a script has.
    fn find() -> Option<Self> {
        let stdin = io::stdin();
        let is_terminal = stdin.is_terminal();
        if !is_terminal {
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            let is_silent = poll(&mut waiting, PollTimeout::ZERO).is_ok_and(|ready| ready == 0);
            return is_silent.then_some(Self { is_terminal, offers_unit: false });
        }
        if tcgetpgrp(&stdin).is_ok_and(|foreground| foreground != getpgrp()) {
            return None;
        }
        // What was typed or pasted before is no answer.
        let _ = tcflush(&stdin, FlushArg::TCIFLUSH);
        Some(Self { is_terminal, offers_unit: false })
    }

    /// Offers to enable the unit, on a terminal.
    fn offer_unit(&mut self) {
        self.offers_unit = self.is_terminal && unit::startup() == Some(Startup::Disabled);
        if self.offers_unit {
            output::note(unit::offer("e, and then Enter"));
        }
    }

    /// Returns what the operator's bytes mean, if they answer.
    fn answer(&self, typed: &[u8]) -> Option<Typed> {
        let is_line = typed == b"\n" || self.is_terminal && typed.contains(&b'\n');
        let is_enabling = self.offers_unit && typed.trim_ascii().eq_ignore_ascii_case(b"e");
        is_line.then_some(if is_enabling { Typed::Enable } else { Typed::Enter })
    }

    fn read(&self, flags: PollFlags) -> Typed {
        let mut buffer = [0; 64];
        let result = read(io::stdin(), &mut buffer);
        let typed = buffer.get(..result.unwrap_or(0)).unwrap_or_default();
        if let Some(answer) = self.answer(typed) {
            if self.is_terminal && output::stderr_is_terminal() {
                output::say(CLEAR_ABOVE);
            }
            return answer;
        }
        match result {
            Err(Errno::EAGAIN | Errno::EINTR) => Typed::Something,
            Ok(1..) if self.is_terminal => Typed::Something,
            // Anything else from a pipe is meant for someone else.
            Ok(1..) => Typed::End,
            Ok(_) | Err(_) if self.is_terminal && flags.contains(PollFlags::POLLHUP) => Typed::HungUp,
            // Ctrl-D
            Ok(_) if self.is_terminal => Typed::Something,
            Ok(_) | Err(_) => Typed::End,
        }
    }
}

impl Trial {
    /// Waits until the policy is confirmed or rolled back.
    pub(crate) fn wait(self) -> anyhow::Result<Exit> {
        let mut keyboard = Keyboard::find();
        let mut wish = self.wish;
        if wish == Wish::Keep {
            keyboard.iter_mut().for_each(Keyboard::offer_unit);
        }
        let is_terminal = output::stderr_is_terminal();
        let tick = if is_terminal { PollTimeout::try_from(TICK)? } else { PollTimeout::NONE };
        let outcome = loop {
            let state = self.store.read()?;
            let Some(pending) = state.pending_of(&self.id) else { break ended(&state, &self.id) };
            self.vigil.set_deadline(pending.deadline_ms)?;
            if is_terminal {
                show(pending.time_left(&Now::read()?), keyboard.is_some());
            }
            let stdin = io::stdin();
            let stderr = output::stderr();
            let input = keyboard.as_ref().map(|_| stdin.as_fd());
            let event = self.vigil.next(input, Some(stderr.as_fd()), tick);
            // Whatever is said next begins on an empty line.
            if is_terminal {
                output::say(CLEAR);
            }
            let event = event?;
            if let Some(outcome) = self.answer(event, &mut keyboard, &mut wish)? {
                break outcome;
            }
        };
        end(outcome, wish, &self.store)
    }

    /// Returns what the event makes of the trial, or nothing if it goes on.
    fn answer(
        &self,
        event: Event,
        keyboard: &mut Option<Keyboard>,
        wish: &mut Wish,
    ) -> anyhow::Result<Option<Outcome>> {
        let roll_back = |why: &str| roll_back(&self.store, &self.id, why);
        match event {
            Event::Deadline => time_out(&self.store, &self.id),
            Event::Signal(signal) => roll_back(cause(signal)),
            Event::Unheard => roll_back("whoever listened to dockfw apply is gone"),
            Event::Records | Event::Nothing => Ok(None),
            Event::Input(flags) => {
                match keyboard.as_ref().map_or(Typed::End, |keyboard| keyboard.read(flags)) {
                    Typed::Enter => confirm(&self.store, &self.id),
                    Typed::Enable => {
                        *wish = Wish::Enable;
                        confirm(&self.store, &self.id)
                    }
                    Typed::HungUp => roll_back(cause(Signal::SIGHUP)),
                    Typed::Something => Ok(None),
                    Typed::End => {
                        *keyboard = None;
                        Ok(None)
                    }
                }
            }
        }
    }
}

fn cause(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGHUP => "the terminal of dockfw apply was closed",
        Signal::SIGTERM => "dockfw apply was ended",
        _ => "dockfw apply was interrupted",
    }
}

fn end(outcome: Outcome, wish: Wish, store: &Store) -> anyhow::Result<Exit> {
    let message = match outcome {
        Outcome::Confirmed { applied_at } => {
            super::report_confirmed(applied_at);
            wish.carry_out(store)?;
            return Ok(Exit::Done);
        }
        Outcome::RolledBack(why) => Message::new(format!("undone: {why}"))
            .meaning("the policy file stays as it is: the next `dockfw apply` puts it in force")
            .help("to see what is in force: dockfw status"),
        Outcome::Replaced => {
            Message::new("the trial is over: another dockfw replaced the policy, or its record is gone")
                .help("to see what is in force: dockfw status")
        }
    };
    Err(Stop::new(Exit::NotInForce, message).into())
}

/// Shows one line that counts down, on a terminal.
fn show(left: Option<Duration>, has_keyboard: bool) {
    let left = left.unwrap_or_default().as_secs();
    let keeps = if has_keyboard { "Enter" } else { "dockfw confirm" };
    let line = format!("dockfw: {left} s left: {keeps} keeps the policy, Ctrl-C undoes it ");
    let width = terminal_size::terminal_size().map_or(COLUMNS, |(width, _)| width.0.into());
    // A line that the terminal breaks could not be cleared.
    let line: String = line.chars().take(width.saturating_sub(1)).collect();
    output::say(format_args!("{CLEAR}{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_is_an_answer() {
        let answer = |is_terminal, offers_unit, typed: &str| {
            Keyboard { is_terminal, offers_unit }.answer(typed.as_bytes())
        };
        assert_eq!(answer(true, true, "\n"), Some(Typed::Enter));
        assert_eq!(answer(true, true, "E \n"), Some(Typed::Enable));
        assert_eq!(answer(true, true, "no\n"), Some(Typed::Enter));
        assert_eq!(answer(true, false, "e\n"), Some(Typed::Enter), "nobody was told of it");
        assert_eq!([answer(true, true, "e"), answer(true, true, ""), answer(false, false, "e\n")], [None; 3]);
    }
}
