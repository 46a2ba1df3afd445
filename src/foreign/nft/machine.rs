//! Runs the expressions of a rule on a packet.

use std::cmp::Ordering;

use dockfw_policy::address::Family;
use nix::libc;

use super::super::translation::{between, redirected};
use super::super::{Answer, Step, Verdict, View};
use super::Sets;
use super::decode::{Expression, Load, To, Translated, address};
use super::packet;
use super::registers::{Bytes, Registers};

/// Runs the expressions of a rule. Returns what the rule does with a packet.
pub(super) fn run(expressions: &[Expression], sets: &Sets, view: &View<'_>) -> Step {
    let mut machine = Machine::new(sets, view);
    for expression in expressions {
        if let Some(verdicts) = machine.execute(expression) {
            return machine.step(verdicts);
        }
        if machine.holds == Answer::No {
            break;
        }
    }
    machine.step(vec![Verdict::Continue])
}

struct Machine<'a> {
    registers: Registers,
    /// Whether the packet has met all conditions so far.
    holds: Answer,
    /// Whether connection tracking skips it from here on.
    untracks: Answer,
    sets: &'a Sets,
    view: &'a View<'a>,
}

impl<'a> Machine<'a> {
    fn new(sets: &'a Sets, view: &'a View<'a>) -> Self {
        Self { registers: Registers::new(), holds: Answer::Yes, untracks: Answer::No, sets, view }
    }

    fn step(&self, verdicts: Vec<Verdict>) -> Step {
        Step { holds: self.holds, untracks: self.untracks, verdicts }
    }

    /// Runs one expression. Returns what it decides: one of these.
    fn execute(&mut self, expression: &Expression) -> Option<Vec<Verdict>> {
        match expression {
            Expression::Load { what, register, length } => self.load(*what, *register, *length),
            Expression::Compare { register, how, data } => {
                let own = self.registers.read(*register, data.len());
                self.ask(compare(&own, *how, data));
            }
            Expression::Range { register, is_negated, first, last } => {
                let own = self.registers.read(*register, first.len()).all();
                let is_in = own.map(|own| *first <= own && own <= *last);
                self.ask(Answer::from(is_in).negated(*is_negated));
            }
            Expression::Mask { from, to, mask, xor } => self.mask(*from, *to, mask, xor),
            Expression::Swap { from, to, length, size } => self.swap(*from, *to, *length, *size),
            Expression::Value { register, value } => self.registers.write(*register, &Bytes::known(value)),
            Expression::Lookup { set, register, to, is_negated } => {
                return self.look_up(set, *register, *to, *is_negated);
            }
            Expression::Unknown => self.ask(Answer::Unknown),
            Expression::Mark | Expression::Helper | Expression::Harmless => {}
            Expression::Translate(Translated { is_source: true, .. }) => {}
            Expression::Translate(translated) => {
                return Some(self.translate(translated)).filter(|verdicts| *verdicts != [Verdict::Continue]);
            }
            Expression::Verdict(verdict) => return Some(vec![verdict.clone()]),
            Expression::Untrack => self.untracks = self.holds,
            Expression::Decides => return Some(vec![Verdict::Unknown]),
        }
        None
    }

    fn ask(&mut self, answer: Answer) {
        self.holds = self.holds.and(answer);
    }

    fn load(&mut self, what: Load, register: u32, length: usize) {
        let value = match what {
            Load::Meta(key) => Some(packet::meta(self.view, key, length)),
            Load::Ct(key) => packet::ct(self.view, key, length),
            Load::Payload { base, offset } => packet::payload(self.view, base, offset, length),
            Load::Fib(fib) => Some(fib.load(self.view)),
            // As long as the longest value that is loaded like this.
            Load::Unknown => Some(Bytes::unknown(length.max(16))),
        };
        match value {
            Some(value) => self.registers.write(register, &value),
            None => self.holds = Answer::No,
        }
    }

    fn mask(&mut self, from: u32, to: u32, mask: &[u8], xor: &[u8]) {
        let own = self.registers.read(from, mask.len());
        let bits = mask.iter().zip(xor);
        let bytes = own.bytes.iter().zip(bits).map(|(byte, (mask, xor))| match byte {
            Some(byte) => Some(byte & mask ^ xor),
            None => (*mask == 0).then_some(*xor),
        });
        let value = Bytes { bytes: bytes.collect(), are_of_elsewhere: own.are_of_elsewhere };
        self.registers.write(to, &value);
    }

    fn swap(&mut self, from: u32, to: u32, length: usize, size: usize) {
        let mut value = self.registers.read(from, length);
        value.bytes.chunks_mut(size.max(1)).for_each(<[Option<u8>]>::reverse);
        self.registers.write(to, &value);
    }

    fn look_up(
        &mut self,
        name: &str,
        register: u32,
        to: Option<u32>,
        is_negated: bool,
    ) -> Option<Vec<Verdict>> {
        let Some(set) = self.sets.get(name) else {
            // It could not be read.
            self.ask(Answer::Unknown);
            if let Some(register) = to.filter(|register| *register != 0) {
                self.registers.write(register, &Bytes::unknown(16));
            }
            return (to == Some(0)).then(|| vec![Verdict::Unknown]);
        };
        let found = set.find(&self.registers.read(register, set.key_length()));
        let is_there = match found.iter().find(|(_, answer)| *answer == Answer::Yes) {
            Some(_) => Answer::Yes,
            None if found.is_empty() => Answer::No,
            None => Answer::Unknown,
        };
        self.ask(is_there.negated(is_negated));
        match to {
            Some(0) => {
                let verdicts = found.iter().filter_map(|(element, _)| element.verdict.clone());
                Some(verdicts.collect()).filter(|_| self.holds != Answer::No)
            }
            Some(register) => {
                let values: Vec<_> =
                    found.iter().filter_map(|(element, _)| element.value.as_deref()).collect();
                let value = match values.as_slice() {
                    [value] => Bytes::known(value),
                    _ => Bytes::unknown(values.iter().map(|value| value.len()).max().unwrap_or(4)),
                };
                self.registers.write(register, &value);
                None
            }
            None => None,
        }
    }

    fn translate(&self, translated: &Translated) -> Vec<Verdict> {
        let own = u32::from(packet::nfproto(self.view.family()));
        if translated.family.is_some_and(|family| family != own && family != libc::NFPROTO_INET as u32) {
            return vec![Verdict::Continue];
        }
        let size = if self.view.family() == Family::Ipv4 { 4 } else { 16 };
        let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
        let ports = match translated.ports.map(|registers| self.values(registers, 2, port)) {
            Some(None) => return vec![Verdict::TranslateSomewhere],
            ports => ports.flatten(),
        };
        let addresses = match translated.to {
            To::Own => return redirected(self.view, ports),
            To::Same => Some([self.view.destination(); 2]),
            To::Between(registers) => self.values(registers, size, address),
            To::Somewhere => None,
        };
        let ports = ports.unwrap_or([self.view.port().unwrap_or_default(); 2]);
        addresses.map_or_else(|| vec![Verdict::TranslateSomewhere], |addresses| between(addresses, ports))
    }

    /// Returns the values of two registers, if they are known.
    fn values<T>(&self, registers: [u32; 2], size: usize, read: fn(&[u8]) -> Option<T>) -> Option<[T; 2]> {
        let value = |register| read(&self.registers.read(register, size).all()?);
        let [first, last] = registers;
        Some([value(first)?, value(last)?])
    }
}

/// `enum nft_cmp_ops`.
fn compare(own: &Bytes, how: u32, data: &[u8]) -> Answer {
    let ordered =
        |holds: fn(Ordering) -> bool| Answer::from(own.all().map(|own| holds(own.as_slice().cmp(data))));
    match how {
        0 => own.are(data),
        1 => own.are(data).negated(true),
        2 => ordered(Ordering::is_lt),
        3 => ordered(Ordering::is_le),
        4 => ordered(Ordering::is_gt),
        5 => ordered(Ordering::is_ge),
        _ => Answer::Unknown,
    }
}
