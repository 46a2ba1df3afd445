//! Netlink attributes: written, taken apart with every length checked, and compared.

use std::net::IpAddr;

use nix::libc;

use super::uapi::expr;

/// The size of an attribute's head: `struct nlattr` (linux/netlink.h).
const HEAD: usize = 4;
/// The bits of a type that are flags: `NLA_TYPE_MASK` (linux/netlink.h), the other way round.
const TYPE_MASK: u16 = !(libc::NLA_F_NESTED as u16 | libc::NLA_F_NET_BYTEORDER as u16);
/// The flag of an attribute that holds attributes.
pub(crate) const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// Rounds up to netlink's alignment: `NLMSG_ALIGN`, `NLA_ALIGN` (linux/netlink.h).
pub(crate) fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    /// Its type, without flags.
    pub(crate) kind: u16,
    /// Whether its writer says that it holds attributes.
    pub(crate) nested: bool,
    /// What it holds.
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as a number in network byte order.
    pub(crate) fn number(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    /// The value as a long number in network byte order.
    pub(crate) fn long_number(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_be_bytes)
    }

    /// The value as an address, of the family that has this length.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let v4 = || <[u8; 4]>::try_from(self.value).ok().map(IpAddr::from);
        let v6 = || <[u8; 16]>::try_from(self.value).ok().map(IpAddr::from);
        v4().or_else(v6)
    }

    /// The value as text, without the NUL that ends it. Names need not be UTF-8.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.value.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Goes through attributes. Ends where the rest is not one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of this type.
    pub(crate) fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self, |attribute| attribute.kind == kind)
    }

    /// The number in the first attribute of this type.
    pub(crate) fn number(self, kind: u16) -> Option<u32> {
        self.find(kind)?.number()
    }

    /// The value of the first attribute of this type, or nothing.
    pub(crate) fn value(self, kind: u16) -> &'a [u8] {
        self.find(kind).map(|attribute| attribute.value).unwrap_or_default()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let (length, kind) = (u16::from_ne_bytes(*length).into(), u16::from_ne_bytes(*kind));
        let value = self.0.get(HEAD..length)?;
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some(Attribute { kind: kind & TYPE_MASK, nested: kind & NESTED != 0, value })
    }
}

/// Writes one attribute. What is too long for one is left out, which the kernel then complains of.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(HEAD + value.len()) else { return };
    buffer.extend_from_slice(&length.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(value);
    buffer.resize(align(buffer.len()), 0);
}

/// Writes a text with the NUL that ends it.
pub(crate) fn put_text(buffer: &mut Vec<u8>, kind: u16, text: &[u8]) {
    put(buffer, kind, &[text, &[0]].concat());
}

/// Writes a number.
pub(crate) fn put_number(buffer: &mut Vec<u8>, kind: u16, number: u32) {
    put(buffer, kind, &number.to_be_bytes());
}

/// Whether the kernel's list of expressions is ours: the same kernel objects with the same attributes.
pub(crate) fn same_expressions(ours: &[u8], theirs: &[u8]) -> bool {
    let (mut ours, mut theirs) = (Attributes(ours), Attributes(theirs));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return ours.0.is_empty() && theirs.0.is_empty(),
            (Some(our), Some(their)) if same_expression(our.value, their.value) => {}
            _ => return false,
        }
    }
}

fn same_expression(ours: &[u8], theirs: &[u8]) -> bool {
    let (ours, theirs) = (Attributes(ours), Attributes(theirs));
    let name = |attributes: Attributes<'_>| attributes.find(expr::NAME).map(|name| name.text().to_owned());
    name(ours) == name(theirs)
        && same_attributes(ours.value(expr::DATA), theirs.value(expr::DATA), same_option)
}

/// Whether all of our attributes are among the kernel's with the same values, and whatever else the kernel
/// reports is zero: it spells out options that were not given.
fn same_attributes(ours: &[u8], theirs: &[u8], same: fn(Attribute<'_>, Attribute<'_>) -> bool) -> bool {
    let (ours, mut theirs) = (Attributes(ours), Attributes(theirs));
    let is_there = |our: Attribute<'_>| theirs.find(our.kind).is_some_and(|their| same(our, their));
    let all_there = ours.into_iter().all(is_there);
    all_there
        && theirs.all(|their| ours.find(their.kind).is_some() || their.value.iter().all(|byte| *byte == 0))
}

/// An option of an expression. Its texts are names, which libnftnl does not always end with a NUL.
fn same_option(our: Attribute<'_>, their: Attribute<'_>) -> bool {
    same_value(our, their) || !our.nested && their.value.strip_suffix(&[0]) == Some(our.value)
}

/// A value inside of an option, byte by byte: `br-` and `br-` with a NUL are a prefix and a name.
fn same_value(our: Attribute<'_>, their: Attribute<'_>) -> bool {
    // libnftnl marks what is nested, the kernel does not always.
    if our.nested { same_attributes(our.value, their.value, same_value) } else { our.value == their.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(kind: u16, number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, kind, number);
        bytes
    }

    /// A list of one expression, as the kernel or libnftnl would write it.
    fn list(name: &str, attributes: &[u8], nested: u16) -> Vec<u8> {
        let (mut expression, mut list) = (Vec::new(), Vec::new());
        put_text(&mut expression, expr::NAME, name.as_bytes());
        put(&mut expression, 2 | nested, attributes);
        put(&mut list, 1 | nested, &expression);
        list
    }

    #[test]
    fn attributes_are_taken_apart_as_they_were_written() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, 1, b"dockfw");
        put_number(&mut bytes, 2 | NESTED, 7);
        let attributes = Attributes(&bytes);
        assert_eq!(attributes.find(1).unwrap().text(), b"dockfw");
        assert_eq!(attributes.number(2), Some(7));
        assert!(attributes.find(2).unwrap().nested && attributes.find(3).is_none());
    }

    #[test]
    fn an_expression_is_ours_only_with_our_values_and_zeros() {
        let ours = list("meta", &[number(1, 7), number(2, 1)].concat(), NESTED);
        let same =
            |name, attributes: &[Vec<u8>]| same_expressions(&ours, &list(name, &attributes.concat(), 0));
        assert!(same("meta", &[number(1, 7), number(2, 1)]), "without the flags of nesting");
        assert!(same("meta", &[number(2, 1), number(1, 7), number(9, 0)]), "in another order, a zero more");
        assert!(!same("meta", &[number(1, 7), number(2, 1), number(9, 1)]), "an option more");
        assert!(!same("meta", &[number(1, 7)]), "an option less");
        assert!(!same("meta", &[number(1, 6), number(2, 1)]), "another value");
        assert!(!same("ct", &[number(1, 7), number(2, 1)]), "another expression");
    }

    #[test]
    fn a_nul_at_the_end_matters_in_values_and_not_in_names() {
        let name = |text: &[u8]| {
            let mut name = Vec::new();
            put(&mut name, 2, text);
            name
        };
        assert!(same_expressions(
            &list("objref", &name(b"hits"), NESTED),
            &list("objref", &name(b"hits\0"), 0)
        ));
        let value = |text: &[u8], nested| {
            let mut value = Vec::new();
            put(&mut value, 3 | nested, &name(text));
            list("cmp", &value, nested)
        };
        assert!(same_expressions(&value(b"br-", NESTED), &value(b"br-", 0)));
        assert!(!same_expressions(&value(b"br-", NESTED), &value(b"br-\0", 0)));
    }

    #[test]
    fn lists_of_other_lengths_differ() {
        let one = list("counter", &[], NESTED);
        let two = [one.clone(), one.clone()].concat();
        assert!(same_expressions(&one, &one));
        assert!(
            !same_expressions(&one, &two) && !same_expressions(&two, &one) && !same_expressions(&one, &[])
        );
    }
}
