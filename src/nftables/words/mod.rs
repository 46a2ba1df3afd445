//! Rules of the kernel in nft's words, for people to see what is there. It never decides anything.
//!
//! Everything that dockfw writes is shown as [`dockfw_policy::nft::text`] has it, and so is what people usually add by
//! hand. What is unknown here is shown by its name in brackets.

mod conditions;
mod loads;
mod statements;
mod values;

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use nix::libc;

use crate::netlink::attributes::{Attribute, Attributes};
use crate::netlink::uapi::expr;
use crate::netlink::uapi::expression::{
    bitwise, cmp, ct, data, fib, immediate, lookup, meta, nat, objref, payload, range, redir,
};
use loads::Load;
use values::{Form, value};

/// Returns a rule's expressions in words, with its comment. Control characters are shown escaped.
pub(crate) fn of_rule(expressions: &[u8], comment: Option<&str>) -> String {
    of_rule_in(None, expressions, comment)
}

/// Returns the same for a rule in a table of this family alone.
pub(crate) fn of_rule_in(family: Option<Family>, expressions: &[u8], comment: Option<&str>) -> String {
    let family = family.map(|family| family.name().to_lowercase());
    let mut reader = Reader { family, ..Reader::default() };
    for item in Attributes(expressions) {
        let expression = Attributes(item.value);
        let name = expression.find(expr::NAME).map(|name| name.text()).unwrap_or_default();
        reader.expression(name, Attributes(expression.value(expr::DATA)));
    }
    reader.flush();
    reader.words.extend(comment.map(|comment| format!("comment \"{comment}\"")));
    reader.words.join(" ").chars().flat_map(escaped).collect()
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) = if c.is_control() { (None, Some(c.escape_debug())) } else { (Some(c), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// A rule as it is read: what a later expression may imply is held back until it is clear that none does.
#[derive(Default)]
struct Reader {
    words: Vec<String>,
    /// The contents of registers, by their places.
    registers: BTreeMap<u32, Load>,
    /// The contents of registers that were given constants.
    constants: BTreeMap<u32, Vec<u8>>,
    family: Option<String>,
    protocol: Option<String>,
    /// `meta nfproto` and `meta l4proto`, as long as nothing that implies them has come.
    pending: Vec<(Form, String)>,
}

impl Reader {
    fn flush(&mut self) {
        self.words.extend(self.pending.drain(..).map(|(_, words)| words));
    }

    fn push(&mut self, words: String) {
        self.flush();
        self.words.push(words);
    }

    /// Removes this from what is held back: the next expression implies it.
    fn imply(&mut self, form: Form) {
        self.pending.retain(|(pending, _)| *pending != form);
    }

    fn expression(&mut self, name: &[u8], data: Attributes<'_>) {
        match name {
            b"meta" if data.number(meta::SREG).is_some() => {
                self.set(&loads::meta(data.number(meta::KEY)).what, data.number(meta::SREG))
            }
            b"ct" if data.number(ct::SREG).is_some() => {
                self.set(&loads::conntrack(data).what, data.number(ct::SREG))
            }
            b"meta" => self.load(data, meta::DREG, loads::meta(data.number(meta::KEY))),
            b"ct" => self.load(data, ct::DREG, loads::conntrack(data)),
            b"fib" => self.load(data, fib::DREG, loads::fib(data)),
            b"payload" if data.number(payload::SREG).is_none() => self.payload(data),
            b"bitwise" => self.bitwise(data),
            b"cmp" => self.compare(data),
            b"range" => self.range(data),
            b"lookup" => self.lookup(data),
            b"limit" => self.push(statements::limit(data)),
            b"log" => self.push(statements::log(data)),
            b"objref" => self.object(data),
            b"counter" => self.push("counter".into()),
            b"immediate" => self.immediate(data),
            b"nat" => self.translate(data),
            b"redir" => {
                self.push(format!("redirect{}", self.destination(None, data.number(redir::REG_PROTO_MIN))))
            }
            b"masq" => self.push("masquerade".into()),
            b"notrack" | b"reject" => self.push(String::from_utf8_lossy(name).into_owned()),
            _ => self.push(format!("[{}]", String::from_utf8_lossy(name))),
        }
    }

    fn load(&mut self, data: Attributes<'_>, register: u16, load: Load) {
        self.registers.insert(place(data.number(register)), load);
    }

    fn take(&self, data: Attributes<'_>, register: u16) -> Load {
        self.registers.get(&place(data.number(register))).cloned().unwrap_or_default()
    }

    /// Returns what is looked up: what was loaded into this register, and into those after it since something was last
    /// asked for.
    fn fields(&self, data: Attributes<'_>, register: u16) -> String {
        let mut at = place(data.number(register));
        let mut fields = vec![conditions::subject(&self.take(data, register))];
        let mut before = self.registers.get(&at);
        while let Some(load) = before.filter(|load| !load.is_asked) {
            at += load.length.div_ceil(REGISTER).max(1);
            before = self.registers.get(&at);
            fields.extend(before.filter(|next| !next.is_asked).map(conditions::subject));
        }
        fields.join(" . ")
    }

    /// Marks all that was loaded as asked for.
    fn asked(&mut self) {
        self.registers.values_mut().for_each(|load| load.is_asked = true);
    }

    /// Adds a statement that takes its value from a register.
    fn set(&mut self, what: &str, register: Option<u32>) {
        let constant = self.constants.get(&place(register));
        let value = constant.map(|bytes| value(Form::Mark, bytes));
        let loaded = || self.registers.get(&place(register)).map(conditions::subject);
        let value = value.or_else(loaded).unwrap_or("[?]".into());
        self.push(format!("{what} set {value}"));
    }

    fn payload(&mut self, data: Attributes<'_>) {
        let [base, offset, length] =
            [payload::BASE, payload::OFFSET, payload::LEN].map(|kind| data.number(kind).unwrap_or(0));
        let load = if base == libc::NFT_PAYLOAD_NETWORK_HEADER as u32 {
            self.imply(Form::Family);
            loads::network(self.family.as_deref(), offset, length)
        } else if base == libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32 {
            self.transport(offset, length)
        } else {
            None
        };
        let unknown =
            || Load { what: format!("[payload {base},{offset},{length}]"), length, ..Load::default() };
        self.load(data, payload::DREG, load.unwrap_or_else(unknown));
    }

    /// Returns a field of the transport header.
    fn transport(&mut self, offset: u32, length: u32) -> Option<Load> {
        let protocol = self.protocol.clone();
        let load = loads::transport(protocol.as_deref(), offset, length)?;
        self.imply(Form::Protocol);
        if protocol.is_some_and(|protocol| protocol.contains("icmp")) {
            self.imply(Form::Family);
        }
        Some(load)
    }

    fn bitwise(&mut self, data: Attributes<'_>) {
        let load = self.take(data, bitwise::SREG);
        let [mask, turned] = [bitwise::MASK, bitwise::XOR].map(|kind| constant(data, kind).to_vec());
        let load = match data.number(bitwise::OP).unwrap_or(0) {
            MASK_XOR if turned.iter().all(|byte| *byte == 0) => Load { mask: Some(mask), ..load },
            _ => Load { what: format!("[bitwise] {}", conditions::subject(&load)), mask: None, ..load },
        };
        self.load(data, bitwise::DREG, load);
    }

    fn compare(&mut self, data: Attributes<'_>) {
        let load = self.take(data, cmp::SREG);
        let bytes = constant(data, cmp::DATA);
        self.asked();
        let operation = data.number(cmp::OP).and_then(|operation| i32::try_from(operation).ok());
        match operation {
            Some(libc::NFT_CMP_EQ) => self.equal(&load, bytes),
            Some(libc::NFT_CMP_NEQ) => self.push(conditions::unequal(&load, bytes)),
            Some(libc::NFT_CMP_GTE) => {
                self.push(conditions::ordered(&load, ">=", bytes));
                let from = Some((self.words.len() - 1, value(load.form, bytes)));
                self.load(data, cmp::SREG, Load { from, is_asked: true, ..load });
            }
            Some(libc::NFT_CMP_LTE) => self.at_most(load, bytes),
            Some(libc::NFT_CMP_LT) => self.push(conditions::ordered(&load, "<", bytes)),
            Some(libc::NFT_CMP_GT) => self.push(conditions::ordered(&load, ">", bytes)),
            _ => self.push(conditions::ordered(&load, &format!("[{}]", operation.unwrap_or(-1)), bytes)),
        }
    }

    /// Adds the end of a range, if its beginning was written.
    fn at_most(&mut self, load: Load, bytes: &[u8]) {
        let begun = load.from.as_ref().and_then(|(at, from)| Some((self.words.get_mut(*at)?, from)));
        match begun {
            Some((words, from)) => {
                *words = format!("{} {from}-{}", conditions::subject(&load), value(load.form, bytes));
            }
            None => self.push(conditions::ordered(&load, "<=", bytes)),
        }
    }

    fn equal(&mut self, load: &Load, bytes: &[u8]) {
        let value = value(load.form, bytes);
        match load.form {
            Form::Family => self.family = Some(value.clone()),
            Form::Protocol => self.protocol = Some(value.clone()),
            _ => return self.push(conditions::equal(load, bytes)),
        }
        self.pending.push((load.form, format!("{} {value}", load.what)));
    }

    fn range(&mut self, data: Attributes<'_>) {
        let load = self.take(data, range::SREG);
        let [from, to] =
            [range::FROM_DATA, range::TO_DATA].map(|kind| value(load.form, constant(data, kind)));
        let not = if data.number(range::OP) == Some(libc::NFT_RANGE_NEQ as u32) { "!= " } else { "" };
        self.asked();
        self.push(format!("{} {not}{from}-{to}", conditions::subject(&load)));
    }

    fn lookup(&mut self, data: Attributes<'_>) {
        let is_inverted = data.number(lookup::FLAGS).unwrap_or(0) & libc::NFT_LOOKUP_F_INV as u32 != 0;
        let not = if is_inverted { "!= " } else { "" };
        let map = match data.number(lookup::DREG) {
            Some(0) => "vmap ",
            Some(_) => "map ",
            None => "",
        };
        let words = format!("{} {not}{map}@{}", self.fields(data, lookup::SREG), text(data, lookup::SET));
        self.asked();
        self.push(words);
    }

    /// Adds an object with a name: this one, or the one that a map has.
    fn object(&mut self, data: Attributes<'_>) {
        let words = match data.number(objref::IMM_TYPE) {
            Some(kind) => format!("{} \"{}\"", statements::object(kind), text(data, objref::IMM_NAME)),
            None => {
                let fields = self.fields(data, objref::SET_SREG);
                format!("[objref] {fields} map @{}", text(data, objref::SET_NAME))
            }
        };
        self.push(words);
    }

    fn translate(&mut self, data: Attributes<'_>) {
        let what = if data.number(nat::TYPE) == Some(NFT_NAT_SNAT) { "snat" } else { "dnat" };
        let [address, port] = [nat::REG_ADDR_MIN, nat::REG_PROTO_MIN].map(|kind| data.number(kind));
        self.push(format!("{what}{}", self.destination(address, port)));
    }

    /// Returns the address and the port in these registers, as far as they are constants.
    fn destination(&self, address: Option<u32>, port: Option<u32>) -> String {
        let constant = |register: Option<u32>| self.constants.get(&place(Some(register?))).map(Vec::as_slice);
        let form = |bytes: &[u8]| if bytes.len() > 4 { Form::Address6 } else { Form::Address };
        let address = constant(address).map(|bytes| value(form(bytes), bytes));
        let port = constant(port).map(|bytes| format!(":{}", value(Form::Number, bytes)));
        match (address, port) {
            (None, None) => String::new(),
            (Some(address), Some(port)) if address.contains(':') => format!(" to [{address}]{port}"),
            (address, port) => format!(" to {}{}", address.unwrap_or_default(), port.unwrap_or_default()),
        }
    }

    fn immediate(&mut self, data: Attributes<'_>) {
        let register = place(data.number(immediate::DREG));
        let data = Attributes(data.value(immediate::DATA));
        match data.find(data::VALUE) {
            Some(constant) => drop(self.constants.insert(register, constant.value.to_vec())),
            None => self.push(statements::verdict(Attributes(data.value(data::VERDICT)))),
        }
    }
}

/// The size of a register in bytes (`NFT_REG32_SIZE`), and the number of the first one (`NFT_REG32_00`). Those before are of four each.
const REGISTER: u32 = 4;
const FIRST: u32 = 8;
/// `NFT_BITWISE_MASK_XOR`, the only operation of kernels before 5.6, which do not name it.
const MASK_XOR: u32 = 0;
/// `NFT_NAT_SNAT`.
const NFT_NAT_SNAT: u32 = 0;

/// Returns the place of a register among those of 4 bytes. Register 0 is the verdict.
fn place(register: Option<u32>) -> u32 {
    match register.unwrap_or(0) {
        large @ 1..FIRST => (large - 1) * 4,
        small => small.wrapping_sub(FIRST),
    }
}

/// Returns the constant in this attribute.
fn constant(data: Attributes<'_>, kind: u16) -> &[u8] {
    Attributes(data.value(kind)).value(data::VALUE)
}

fn text(data: Attributes<'_>, kind: u16) -> String {
    String::from_utf8_lossy(data.find(kind).map(|name: Attribute<'_>| name.text()).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests;
