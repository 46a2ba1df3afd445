//! The registers of a rule, whose bytes may be unknown.

use super::super::Answer;

/// The size of all registers in bytes (`NFT_REG32_SIZE` times 16).
const SIZE: usize = 64;
/// The first of the registers of 4 bytes (`NFT_REG32_00`); those before have 16.
const FIRST_SMALL: u32 = 8;

/// Bytes, some of which may be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) bytes: Vec<Option<u8>>,
    /// Whether they are the source address of someone elsewhere, and so not of a link-local network.
    pub(super) are_of_elsewhere: bool,
}

impl Bytes {
    pub(super) fn known(bytes: &[u8]) -> Self {
        Self { bytes: bytes.iter().copied().map(Some).collect(), are_of_elsewhere: false }
    }

    pub(super) fn unknown(length: usize) -> Self {
        Self { bytes: vec![None; length], are_of_elsewhere: false }
    }

    /// Returns all bytes, if all are known.
    pub(super) fn all(&self) -> Option<Vec<u8>> {
        self.bytes.iter().copied().collect()
    }

    /// Returns whether they are these bytes.
    pub(super) fn are(&self, others: &[u8]) -> Answer {
        let mut pairs = self.bytes.iter().zip(others);
        if self.bytes.len() < others.len() || pairs.any(|(own, other)| own.is_some_and(|own| own != *other)) {
            return Answer::No;
        }
        let is_link_local = matches!(others, [0xfe, second, ..] if second & 0xc0 == 0x80);
        if self.are_of_elsewhere && is_link_local {
            return Answer::No;
        }
        let is_known = self.bytes.iter().take(others.len()).all(Option::is_some);
        if is_known { Answer::Yes } else { Answer::Unknown }
    }
}

/// The registers.
#[derive(Clone, Debug)]
pub(super) struct Registers {
    bytes: [Option<u8>; SIZE],
    are_of_elsewhere: bool,
}

impl Registers {
    pub(super) fn new() -> Self {
        Self { bytes: [None; SIZE], are_of_elsewhere: false }
    }

    /// Reads this many bytes from a register on.
    pub(super) fn read(&self, register: u32, length: usize) -> Bytes {
        let at = offset(register);
        let bytes = self.bytes.get(at..at.saturating_add(length)).unwrap_or_default().to_vec();
        Bytes { bytes, are_of_elsewhere: self.are_of_elsewhere }
    }

    /// Writes from a register on. The last register that is written is padded with zeros, as the kernel does.
    pub(super) fn write(&mut self, register: u32, value: &Bytes) {
        let at = offset(register);
        let padded = value.bytes.len().next_multiple_of(4);
        let bytes = value.bytes.iter().copied().chain(std::iter::repeat(Some(0)));
        for (place, byte) in self.bytes.iter_mut().skip(at).take(padded).zip(bytes) {
            *place = byte;
        }
        self.are_of_elsewhere = value.are_of_elsewhere;
    }
}

/// Returns where a register begins: `nft_parse_register` (net/netfilter/nf_tables_api.c). Register 0 is the verdict.
pub(super) fn offset(register: u32) -> usize {
    let at = if register >= FIRST_SMALL {
        (register - FIRST_SMALL).saturating_mul(4)
    } else {
        register.saturating_sub(1) * 16
    };
    (at as usize).min(SIZE)
}
