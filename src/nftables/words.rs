//! Rules of the kernel in nft's words, for people to see what is there. It never decides anything.
//!
//! All that dockfw writes comes out as [`dockfw_policy::nft::text`] has it, and so does what people usually add by
//! hand. What is unknown here is shown by its name in brackets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::Family;
use nix::libc;

use super::attributes::{Attribute, Attributes};
use super::encode::NAME_WIDTH;
use super::uapi::{self, expr};

/// A rule's expressions in words, with its comment. Control characters are shown escaped.
pub(crate) fn of_rule(expressions: &[u8], comment: Option<&str>) -> String {
    of_rule_in(None, expressions, comment)
}

/// The same of a rule in a table of this family alone.
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

/// What a register holds.
#[derive(Clone, Debug, Default)]
struct Load {
    /// In words.
    what: String,
    /// How its values are written.
    form: Form,
    /// The bits that are looked at, where those are not all.
    mask: Option<Vec<u8>>,
    /// The lowest value, where a range is asked for and its end is still to come.
    from: Option<String>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Hex,
    /// A number in network byte order.
    Number,
    Name,
    Family,
    Protocol,
    Address,
    Address6,
    TcpFlags,
    State,
    Status,
    PacketType,
    AddressType,
    /// Whether there is one.
    Presence,
}

/// A rule as it is read: what a later expression implies is held back until it is clear that none does.
#[derive(Default)]
struct Reader {
    words: Vec<String>,
    registers: BTreeMap<u32, Load>,
    /// What registers hold that were given constants.
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

    fn say(&mut self, words: String) {
        self.flush();
        self.words.push(words);
    }

    /// Of what is held back, this is implied by what comes.
    fn imply(&mut self, form: Form) {
        self.pending.retain(|(pending, _)| *pending != form);
    }

    fn expression(&mut self, name: &[u8], data: Attributes<'_>) {
        match name {
            b"meta" => self.load(data, 1, meta(data.number(2))),
            b"ct" => self.load(data, 1, conntrack(data)),
            b"fib" => self.load(data, 1, fib(data)),
            b"payload" => self.payload(data),
            b"bitwise" => self.bitwise(data),
            b"cmp" => self.compare(data),
            b"range" => self.range(data),
            b"lookup" => self.lookup(data),
            b"limit" => self.say(limit(data)),
            b"log" => self.say(log(data)),
            b"objref" => self.say(format!("counter name \"{}\"", text(data, 2))),
            b"counter" => self.say("counter".into()),
            b"immediate" => self.immediate(data),
            b"nat" => self.translate(data),
            b"redir" => self.say(format!("redirect{}", self.destination(None, data.number(1)))),
            b"masq" => self.say("masquerade".into()),
            b"notrack" | b"reject" => self.say(String::from_utf8_lossy(name).into_owned()),
            _ => self.say(format!("[{}]", String::from_utf8_lossy(name))),
        }
    }

    fn load(&mut self, data: Attributes<'_>, register: u16, load: Load) {
        self.registers.insert(data.number(register).unwrap_or(0), load);
    }

    fn take(&mut self, data: Attributes<'_>, register: u16) -> Load {
        self.registers.get(&data.number(register).unwrap_or(0)).cloned().unwrap_or_default()
    }

    fn payload(&mut self, data: Attributes<'_>) {
        let [base, offset, length] = [2, 3, 4].map(|kind| data.number(kind).unwrap_or(0));
        let load = if base == libc::NFT_PAYLOAD_NETWORK_HEADER as u32 {
            self.imply(Form::Family);
            network(self.family.as_deref(), offset, length)
        } else if base == libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32 {
            self.transport(offset, length)
        } else {
            None
        };
        let unknown = || Load { what: format!("[payload {base},{offset},{length}]"), ..Load::default() };
        self.load(data, 1, load.unwrap_or_else(unknown));
    }

    /// A field of the transport header.
    fn transport(&mut self, offset: u32, length: u32) -> Option<Load> {
        let protocol = self.protocol.clone()?;
        self.imply(Form::Protocol);
        let is_icmp = protocol.contains("icmp");
        if is_icmp {
            self.imply(Form::Family);
        }
        let (field, form) = match (offset, length) {
            (0, 1) if is_icmp => ("type", Form::Number),
            (0, 2) => ("sport", Form::Number),
            (2, 2) => ("dport", Form::Number),
            (13, 1) if protocol == "tcp" => ("flags", Form::TcpFlags),
            _ => return None,
        };
        let protocol = if protocol == "ipv6-icmp" { "icmpv6" } else { &protocol };
        Some(Load { what: format!("{protocol} {field}"), form, ..Load::default() })
    }

    fn bitwise(&mut self, data: Attributes<'_>) {
        let mask = Attributes(data.value(4)).value(1).to_vec();
        let load = Load { mask: Some(mask), ..self.take(data, 1) };
        self.load(data, 2, load);
    }

    fn compare(&mut self, data: Attributes<'_>) {
        let load = self.take(data, 1);
        let bytes = Attributes(data.value(3)).value(1);
        let operation = data.number(2).and_then(|operation| i32::try_from(operation).ok());
        match operation {
            Some(libc::NFT_CMP_EQ) => self.equal(&load, bytes),
            Some(libc::NFT_CMP_NEQ) => self.say(unequal(&load, bytes)),
            Some(libc::NFT_CMP_GTE) => {
                let from = Some(value(load.form, bytes));
                self.load(data, 1, Load { from, ..load });
            }
            Some(libc::NFT_CMP_LTE) if load.from.is_some() => {
                let from = load.from.unwrap_or_default();
                self.say(format!("{} {from}-{}", load.what, value(load.form, bytes)));
            }
            _ => self.say(format!("{} [{}] {}", load.what, operation.unwrap_or(-1), value(load.form, bytes))),
        }
    }

    fn equal(&mut self, load: &Load, bytes: &[u8]) {
        let value = value(load.form, bytes);
        match load.form {
            Form::Family => self.family = Some(value.clone()),
            Form::Protocol => self.protocol = Some(value.clone()),
            _ => return self.say(equal(load, bytes, &value)),
        }
        self.pending.push((load.form, format!("{} {value}", load.what)));
    }

    fn range(&mut self, data: Attributes<'_>) {
        let load = self.take(data, 1);
        let [from, to] = [3, 4].map(|kind| value(load.form, Attributes(data.value(kind)).value(1)));
        let not = if data.number(2) == Some(libc::NFT_RANGE_NEQ as u32) { "!= " } else { "" };
        self.say(format!("{} {not}{from}-{to}", load.what));
    }

    fn lookup(&mut self, data: Attributes<'_>) {
        let load = self.take(data, 2);
        let not = if data.number(5).unwrap_or(0) & libc::NFT_LOOKUP_F_INV as u32 != 0 { "!= " } else { "" };
        let map = match data.number(3) {
            Some(0) => "vmap ",
            Some(_) => "map ",
            None => "",
        };
        self.say(format!("{} {not}{map}@{}", load.what, text(data, 1)));
    }

    fn translate(&mut self, data: Attributes<'_>) {
        let what = if data.number(1) == Some(0) { "snat" } else { "dnat" };
        self.say(format!("{what}{}", self.destination(data.number(3), data.number(5))));
    }

    /// The address and the port in these registers, as far as they are constants.
    fn destination(&self, address: Option<u32>, port: Option<u32>) -> String {
        let constant = |register: Option<u32>| self.constants.get(&register?).map(Vec::as_slice);
        let address = constant(address).map(|bytes| value(Form::Address, bytes));
        let port = constant(port).map(|bytes| format!(":{}", number(bytes)));
        match (address, port) {
            (None, None) => String::new(),
            (Some(address), Some(port)) if address.contains(':') => format!(" to [{address}]{port}"),
            (address, port) => format!(" to {}{}", address.unwrap_or_default(), port.unwrap_or_default()),
        }
    }

    fn immediate(&mut self, data: Attributes<'_>) {
        let register = data.number(1).unwrap_or(0);
        let data = Attributes(data.value(2));
        if let Some(constant) = data.find(1) {
            self.constants.insert(register, constant.value.to_vec());
            return;
        }
        let verdict = Attributes(data.value(2));
        let chain = text(verdict, 2);
        let words = match verdict.number(1).map(u32::cast_signed) {
            Some(libc::NF_DROP) => "drop".into(),
            Some(libc::NF_ACCEPT) => "accept".into(),
            Some(libc::NF_QUEUE) => "queue".into(),
            Some(libc::NFT_CONTINUE) => "continue".into(),
            Some(libc::NFT_RETURN) => "return".into(),
            Some(libc::NFT_JUMP) => format!("jump {chain}"),
            Some(libc::NFT_GOTO) => format!("goto {chain}"),
            _ => "[immediate]".into(),
        };
        self.say(words);
    }
}

fn text(data: Attributes<'_>, kind: u16) -> String {
    String::from_utf8_lossy(data.find(kind).map(|name: Attribute<'_>| name.text()).unwrap_or_default()).into()
}

fn meta(key: Option<u32>) -> Load {
    let key = key.unwrap_or(u32::MAX);
    let known = [
        (libc::NFT_META_IIFNAME as u32, "iifname", Form::Name),
        (libc::NFT_META_OIFNAME as u32, "oifname", Form::Name),
        (uapi::NFT_META_IIFKIND, "meta iifkind", Form::Name),
        (uapi::NFT_META_OIFKIND, "meta oifkind", Form::Name),
        (libc::NFT_META_NFPROTO as u32, "meta nfproto", Form::Family),
        (libc::NFT_META_L4PROTO as u32, "meta l4proto", Form::Protocol),
        (libc::NFT_META_PKTTYPE as u32, "meta pkttype", Form::PacketType),
        (libc::NFT_META_MARK as u32, "meta mark", Form::Hex),
    ];
    let found = known.into_iter().find(|(number, ..)| *number == key);
    let (what, form) =
        found.map_or((format!("[meta {key}]"), Form::Hex), |(_, what, form)| (what.into(), form));
    Load { what, form, ..Load::default() }
}

fn conntrack(data: Attributes<'_>) -> Load {
    let key = data.number(2).unwrap_or(u32::MAX);
    let known = [
        (libc::NFT_CT_STATE as u32, "state", Form::State),
        (libc::NFT_CT_STATUS as u32, "status", Form::Status),
        (libc::NFT_CT_PROTO_SRC as u32, "proto-src", Form::Number),
        (libc::NFT_CT_PROTO_DST as u32, "proto-dst", Form::Number),
        (libc::NFT_CT_MARK as u32, "mark", Form::Hex),
        (libc::NFT_CT_SRC_IP as u32, "ip saddr", Form::Address),
        (libc::NFT_CT_DST_IP as u32, "ip daddr", Form::Address),
        (libc::NFT_CT_SRC_IP6 as u32, "ip6 saddr", Form::Address6),
        (libc::NFT_CT_DST_IP6 as u32, "ip6 daddr", Form::Address6),
    ];
    let direction = match data.value(3) {
        [] => "",
        [0] => "original ",
        _ => "reply ",
    };
    let found = known.into_iter().find(|(number, ..)| *number == key);
    let (what, form) = found.map_or((format!("[{key}]"), Form::Hex), |(_, what, form)| (what.into(), form));
    Load { what: format!("ct {direction}{what}"), form, ..Load::default() }
}

fn fib(data: Attributes<'_>) -> Load {
    const KIND: Option<u32> = Some(uapi::NFT_FIB_RESULT_ADDRTYPE);
    const BACK: u32 = uapi::NFTA_FIB_F_SADDR | uapi::NFTA_FIB_F_IIF | uapi::NFTA_FIB_F_PRESENT;
    let (what, form) = match (data.number(2), data.number(3)) {
        (KIND, Some(uapi::NFTA_FIB_F_SADDR)) => ("fib saddr type", Form::AddressType),
        (KIND, Some(uapi::NFTA_FIB_F_DADDR)) => ("fib daddr type", Form::AddressType),
        (Some(uapi::NFT_FIB_RESULT_OIF), Some(BACK)) => ("fib saddr . iif oif", Form::Presence),
        _ => ("[fib]", Form::Hex),
    };
    Load { what: what.into(), form, ..Load::default() }
}

/// A field of the network header; of an address with a prefix that ends with a byte, only the bytes before are loaded.
fn network(family: Option<&str>, offset: u32, length: u32) -> Option<Load> {
    let (what, form) = match (family?, offset, length) {
        ("ipv4", 8, 1) => ("ip ttl", Form::Number),
        ("ipv4", 12, 1..=4) => ("ip saddr", Form::Address),
        ("ipv4", 16, 1..=4) => ("ip daddr", Form::Address),
        ("ipv6", 7, 1) => ("ip6 hoplimit", Form::Number),
        ("ipv6", 8, 1..=16) => ("ip6 saddr", Form::Address6),
        ("ipv6", 24, 1..=16) => ("ip6 daddr", Form::Address6),
        _ => return None,
    };
    Some(Load { what: what.into(), form, ..Load::default() })
}

fn limit(data: Attributes<'_>) -> String {
    let long = |kind| data.find(kind).and_then(|number| number.long_number()).unwrap_or(0);
    let units = [(1, "second"), (60, "minute"), (3_600, "hour"), (86_400, "day"), (604_800, "week")];
    let unit = units.into_iter().find(|(seconds, _)| *seconds == long(2)).map_or("[?]", |(_, name)| name);
    format!("limit rate {}/{unit}", long(1))
}

fn log(data: Attributes<'_>) -> String {
    let level = if data.number(5) == Some(uapi::NFT_LOGLEVEL_INFO) { " level info" } else { "" };
    format!("log prefix \"{}\"{level}", text(data, 2))
}

fn unequal(load: &Load, bytes: &[u8]) -> String {
    let mask = load.mask.as_deref().unwrap_or_default();
    let is_zero = bytes.iter().all(|byte| *byte == 0);
    match load.form {
        Form::State | Form::Status if is_zero => format!("{} {}", load.what, names(load.form, mask, ",")),
        Form::TcpFlags if !mask.is_empty() => {
            format!("{} != {}", masked(load, mask), value(load.form, bytes))
        }
        _ => format!("{} != {}", load.what, value(load.form, bytes)),
    }
}

fn equal(load: &Load, bytes: &[u8], value: &str) -> String {
    let prefix = |bits: u32| format!("{} {value}/{bits}", load.what);
    let whole = if load.form == Form::Address6 { 16 } else { 4 };
    match (load.form, &load.mask) {
        (Form::Address | Form::Address6, Some(mask)) => {
            prefix(mask.iter().map(|byte| byte.count_ones()).sum())
        }
        (Form::Address | Form::Address6, None) if bytes.len() < whole => prefix(bytes.len() as u32 * 8),
        (Form::TcpFlags, Some(mask)) => format!("{} == {value}", masked(load, mask)),
        (_, Some(mask)) => format!("{} & 0x{} {value}", load.what, hex(mask)),
        (_, None) => format!("{} {value}", load.what),
    }
}

fn masked(load: &Load, mask: &[u8]) -> String {
    format!("{} & ({})", load.what, names(load.form, mask, " | "))
}

/// A value in nft's words.
fn value(form: Form, bytes: &[u8]) -> String {
    match (form, bytes) {
        (Form::Name, _) => interface(bytes),
        (Form::Number, _) if bytes.len() <= 4 => number(bytes).to_string(),
        (Form::Family, [family]) if i32::from(*family) == libc::NFPROTO_IPV4 => "ipv4".into(),
        (Form::Family, [family]) if i32::from(*family) == libc::NFPROTO_IPV6 => "ipv6".into(),
        (Form::Protocol, [protocol]) => protocol_name(*protocol),
        (Form::Address, _) if bytes.len() <= 4 => Ipv4Addr::from(filled(bytes)).to_string(),
        (Form::Address6, _) if bytes.len() <= 16 => Ipv6Addr::from(filled(bytes)).to_string(),
        (Form::TcpFlags, _) => names(form, bytes, " | "),
        (Form::State | Form::Status, _) => names(form, bytes, ","),
        (Form::PacketType, [libc::PACKET_HOST]) => "host".into(),
        (Form::AddressType, _) if bytes == u32::from(libc::RTN_LOCAL).to_ne_bytes() => "local".into(),
        (Form::AddressType, _) if bytes == u32::from(libc::RTN_UNICAST).to_ne_bytes() => "unicast".into(),
        (Form::Presence, _) if bytes.iter().all(|byte| *byte == 0) => "missing".into(),
        (Form::Presence, _) => "exists".into(),
        _ => format!("0x{}", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Bytes with zeros behind them.
fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut whole = [0; N];
    whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    whole
}

/// A name without the zeros behind it; without any, all names that begin so are meant.
fn interface(bytes: &[u8]) -> String {
    let name = String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default());
    let star = if bytes.len() < NAME_WIDTH && !bytes.contains(&0) { "*" } else { "" };
    format!("\"{name}{star}\"")
}

fn protocol_name(number: u8) -> String {
    let known = [
        (libc::IPPROTO_ICMP, "icmp"),
        (libc::IPPROTO_TCP, "tcp"),
        (libc::IPPROTO_UDP, "udp"),
        (libc::IPPROTO_SCTP, "sctp"),
        (libc::IPPROTO_ICMPV6, "ipv6-icmp"),
    ];
    let name = known.into_iter().find(|(known, _)| *known == i32::from(number));
    name.map_or_else(|| number.to_string(), |(_, name)| name.into())
}

/// The bits that are set, by their names.
fn names(form: Form, bytes: &[u8], separator: &str) -> String {
    let (bits, known): (u32, &[(u32, &str)]) = match form {
        Form::TcpFlags => {
            (number(bytes), &[(1, "fin"), (2, "syn"), (4, "rst"), (8, "psh"), (16, "ack"), (32, "urg")])
        }
        Form::State => (
            u32::from_ne_bytes(filled(bytes)),
            &[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")],
        ),
        _ => (u32::from_ne_bytes(filled(bytes)), &[(16, "snat"), (uapi::IPS_DST_NAT, "dnat")]),
    };
    let unknown = known.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    let names = known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned());
    let rest = (unknown != 0).then(|| format!("0x{unknown:x}"));
    names.chain(rest).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use dockfw_policy::compile::compile;
    use dockfw_policy::nft::{Features, Table, lower};
    use dockfw_policy::{Files, Strictness, load};
    use proptest::prelude::*;

    use super::*;
    use crate::nftables::wanted::Wanted;

    /// The disk, as the golden cases need it.
    struct Disk;

    impl Files for Disk {
        fn read(&self, path: &Path, _: u64) -> std::io::Result<Vec<u8>> {
            std::fs::read(path)
        }

        fn list(&self, _: &Path) -> std::io::Result<Vec<PathBuf>> {
            Ok(vec![])
        }
    }

    fn golden_table(case: &str) -> Table {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case).join("dockfw.toml");
        let options = Strictness::Forced;
        let loaded = load(&path, &Disk, options).unwrap_or_else(|rejected| panic!("{rejected}"));
        lower(&compile(&loaded.policy), Features::ALL)
    }

    #[test]
    fn all_that_dockfw_writes_reads_as_it_is_shown() {
        for case in ["awkward-names", "container-ports", "edges", "everything", "protocols", "swarm"] {
            let table = golden_table(case);
            let wanted = Wanted::new(&table).unwrap();
            for (chain, shown) in wanted.chains.iter().zip(&table.chains) {
                for (rule, shown) in chain.rules.iter().zip(&shown.rules) {
                    assert_eq!(of_rule(rule.expressions(), Some(&rule.comment)), shown.to_string(), "{case}");
                }
            }
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(of_rule(b"", Some("a\u{1b}[31mb")), "comment \"a\\u{1b}[31mb\"");
    }

    proptest! {
        #[test]
        fn no_expressions_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            of_rule(&bytes, None);
        }
    }
}
