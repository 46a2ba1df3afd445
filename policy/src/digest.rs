//! Digests of the contents of sets. They are part of the sets' names, so that a set whose contents change is another
//! set. It is filled beside the one that is in use, and the rules change from one to the other at once.

use xxhash_rust::xxh3::Xxh3;

/// Digits of base 32 that are legal in names of sets.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// A digest, of 128 bits. Contents with the same digest as others would gain an attacker nothing: what is in force is
/// compared with what is wanted element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// How many characters a digest has in a name: 50 bits of it.
    pub const LETTERS: usize = 10;

    /// Returns the digest of these parts, one after the other.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Xxh3::new();
        parts.into_iter().for_each(|part| hasher.update(part));
        Self(hasher.digest128())
    }

    /// Returns the whole digest.
    pub fn number(self) -> u128 {
        self.0
    }

    /// Returns the digest as it is part of a name: `LETTERS` of `[0-9a-v]`.
    pub fn letters(self) -> String {
        let digits = (0..Self::LETTERS).map(|place| self.0 >> (5 * place) & 31);
        let digits = digits.filter_map(|digit| DIGITS.get(usize::try_from(digit).ok()?));
        digits.map(|digit| char::from(*digit)).collect()
    }

    /// Returns whether a string may be the letters of a digest.
    pub fn is_letters(text: &str) -> bool {
        text.len() == Self::LETTERS && text.bytes().all(|byte| DIGITS.contains(&byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_other_letters() {
        let letters = |parts: &[&[u8]]| Digest::of(parts.iter().copied()).letters();
        assert_eq!(letters(&[b"a", b"b"]), letters(&[b"ab"]));
        assert_ne!(letters(&[b"ab"]), letters(&[b"ba"]));
        assert!(Digest::is_letters(&letters(&[])) && !Digest::is_letters("trusted"));
    }
}
