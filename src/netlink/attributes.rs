//! Netlink attributes: written, and decoded with every length checked.

use std::net::IpAddr;

use nix::libc;

/// The size of an attribute's head: `struct nlattr` (linux/netlink.h).
const HEAD: usize = 4;
/// The bits of a type that are flags: `NLA_TYPE_MASK` (linux/netlink.h), inverted.
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
    /// Whether its sender marked it as holding attributes.
    pub(crate) nested: bool,
    /// What it holds.
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Returns the value as a number in network byte order.
    pub(crate) fn number(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    /// Returns the value as a long number in network byte order.
    pub(crate) fn long_number(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_be_bytes)
    }

    /// Returns the value as an address, of the family that has this length.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let v4 = || <[u8; 4]>::try_from(self.value).ok().map(IpAddr::from);
        let v6 = || <[u8; 16]>::try_from(self.value).ok().map(IpAddr::from);
        v4().or_else(v6)
    }

    /// Returns the value as a string, without the NUL that ends it. Names need not be UTF-8.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.value.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// An iterator over attributes. It ends if the rest is not one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Returns whether all of it was attributes, after the iteration.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first attribute of this type.
    pub(crate) fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self, |attribute| attribute.kind == kind)
    }

    /// Returns the number in the first attribute of this type.
    pub(crate) fn number(self, kind: u16) -> Option<u32> {
        self.find(kind)?.number()
    }

    /// Returns the value of the first attribute of this type, or nothing.
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

/// Writes one attribute. A value that is too long is left out, which the kernel then reports as an error.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(HEAD + value.len()) else { return };
    buffer.extend_from_slice(&length.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(value);
    buffer.resize(align(buffer.len()), 0);
}

/// Writes a string with the NUL that ends it.
pub(crate) fn put_text(buffer: &mut Vec<u8>, kind: u16, text: &[u8]) {
    put(buffer, kind, &[text, &[0]].concat());
}

/// Writes a number.
pub(crate) fn put_number(buffer: &mut Vec<u8>, kind: u16, number: u32) {
    put(buffer, kind, &number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
