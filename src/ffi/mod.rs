//! libnftnl and libmnl: the one place where `unsafe` is allowed.
//!
//! libnftnl is used to build the messages for objects with structure: tables need none of it, and elements are so many
//! that they are written directly. What the kernel sends is decoded in safe code, never here. Of libmnl, the crate
//! `mnl` has what is needed, except a socket's descriptor.

#![allow(unsafe_code)]

mod expression;
mod object;
mod socket;

use std::marker::PhantomData;

pub(crate) use expression::Expression;
pub(crate) use object::{Chain, Counter, Rule, Set};
pub(crate) use socket::descriptor;

/// An attribute of one kind of object. They are made in this module alone: libnftnl has others, whose values it
/// takes for pointers.
#[derive(Debug)]
pub(crate) struct Key<Owner>(u16, PhantomData<Owner>);

// Not derived: that would require the same of `Owner`.
impl<Owner> Clone for Key<Owner> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Owner> Copy for Key<Owner> {}

/// Gives an object its attributes as constants, by the names that libnftnl has for them.
macro_rules! keys {
    ($owner:ident: $($name:ident = $number:ident),+ $(,)?) => {
        #[allow(missing_docs)]
        impl $owner {
            $(pub(crate) const $name: Key<Self> = Key(nftnl::nftnl_sys::$number as u16, PhantomData);)+
        }
    };
}

keys!(Chain: TABLE = NFTNL_CHAIN_TABLE, NAME = NFTNL_CHAIN_NAME, TYPE = NFTNL_CHAIN_TYPE,
    HOOK = NFTNL_CHAIN_HOOKNUM, PRIORITY = NFTNL_CHAIN_PRIO, POLICY = NFTNL_CHAIN_POLICY);
keys!(Set: TABLE = NFTNL_SET_TABLE, NAME = NFTNL_SET_NAME, ID = NFTNL_SET_ID, FLAGS = NFTNL_SET_FLAGS,
    KEY_TYPE = NFTNL_SET_KEY_TYPE, KEY_LEN = NFTNL_SET_KEY_LEN, DATA_TYPE = NFTNL_SET_DATA_TYPE, USERDATA = NFTNL_SET_USERDATA,
    SIZE = NFTNL_SET_DESC_SIZE);
keys!(Counter: TABLE = NFTNL_OBJ_TABLE, NAME = NFTNL_OBJ_NAME, TYPE = NFTNL_OBJ_TYPE);
keys!(Rule: TABLE = NFTNL_RULE_TABLE, CHAIN = NFTNL_RULE_CHAIN, USERDATA = NFTNL_RULE_USERDATA);
keys!(Expression: META_KEY = NFTNL_EXPR_META_KEY, META_DREG = NFTNL_EXPR_META_DREG,
    CMP_SREG = NFTNL_EXPR_CMP_SREG, CMP_OP = NFTNL_EXPR_CMP_OP, CMP_DATA = NFTNL_EXPR_CMP_DATA,
    PAYLOAD_DREG = NFTNL_EXPR_PAYLOAD_DREG, PAYLOAD_BASE = NFTNL_EXPR_PAYLOAD_BASE,
    PAYLOAD_OFFSET = NFTNL_EXPR_PAYLOAD_OFFSET, PAYLOAD_LEN = NFTNL_EXPR_PAYLOAD_LEN,
    BITWISE_SREG = NFTNL_EXPR_BITWISE_SREG, BITWISE_DREG = NFTNL_EXPR_BITWISE_DREG,
    BITWISE_LEN = NFTNL_EXPR_BITWISE_LEN, BITWISE_MASK = NFTNL_EXPR_BITWISE_MASK,
    BITWISE_XOR = NFTNL_EXPR_BITWISE_XOR,
    LOOKUP_SREG = NFTNL_EXPR_LOOKUP_SREG, LOOKUP_SET = NFTNL_EXPR_LOOKUP_SET, LOOKUP_DREG = NFTNL_EXPR_LOOKUP_DREG,
    LOOKUP_FLAGS = NFTNL_EXPR_LOOKUP_FLAGS,
    CT_KEY = NFTNL_EXPR_CT_KEY, CT_DREG = NFTNL_EXPR_CT_DREG, CT_DIR = NFTNL_EXPR_CT_DIR,
    FIB_DREG = NFTNL_EXPR_FIB_DREG, FIB_RESULT = NFTNL_EXPR_FIB_RESULT, FIB_FLAGS = NFTNL_EXPR_FIB_FLAGS,
    LIMIT_RATE = NFTNL_EXPR_LIMIT_RATE, LIMIT_UNIT = NFTNL_EXPR_LIMIT_UNIT,
    LIMIT_BURST = NFTNL_EXPR_LIMIT_BURST, LIMIT_TYPE = NFTNL_EXPR_LIMIT_TYPE,
    LIMIT_FLAGS = NFTNL_EXPR_LIMIT_FLAGS,
    LOG_PREFIX = NFTNL_EXPR_LOG_PREFIX, LOG_LEVEL = NFTNL_EXPR_LOG_LEVEL,
    OBJREF_TYPE = NFTNL_EXPR_OBJREF_IMM_TYPE, OBJREF_NAME = NFTNL_EXPR_OBJREF_IMM_NAME,
    IMMEDIATE_DREG = NFTNL_EXPR_IMM_DREG, IMMEDIATE_VERDICT = NFTNL_EXPR_IMM_VERDICT,
    IMMEDIATE_CHAIN = NFTNL_EXPR_IMM_CHAIN);

/// The longest value that is passed to libnftnl: the kernel accepts no longer name (NFT_NAME_MAXLEN) and no longer
/// userdata (NFT_USERDATA_MAXLEN), both 256 (linux/netfilter/nf_tables.h).
const MAX_VALUE: usize = 256;

/// The error if libnftnl could not do it: out of memory, or a value that no kernel would accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libnftnl could not build the message")]
pub(crate) struct BuildError;

/// The value of an attribute. libnftnl keeps each in a field of its own width and copies that many bytes, whatever the
/// caller has; the width is part of the attribute's meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// One byte.
    Byte(u8),
    /// Four bytes.
    Number(u32),
    /// Four bytes with a sign.
    Signed(i32),
    /// Eight bytes.
    Long(u64),
    /// A string without a NUL.
    Text(&'a str),
    /// Bytes, unchanged.
    Bytes(&'a [u8]),
}

/// A value in memory as libnftnl reads it: in native byte order, followed by zeros. Because of these, no attribute
/// makes libnftnl read past the end: fields are at most 8 bytes wide, and strings end at the first zero.
struct Padded {
    bytes: Vec<u8>,
    length: u32,
}

impl Padded {
    fn new(value: Value<'_>) -> Result<Self, BuildError> {
        let mut bytes = match value {
            Value::Byte(byte) => vec![byte],
            Value::Number(number) => number.to_ne_bytes().to_vec(),
            Value::Signed(number) => number.to_ne_bytes().to_vec(),
            Value::Long(number) => number.to_ne_bytes().to_vec(),
            Value::Text(text) if text.contains('\0') => return Err(BuildError),
            Value::Text(text) => [text.as_bytes(), &[0]].concat(),
            Value::Bytes(bytes) => bytes.to_vec(),
        };
        let length = u32::try_from(bytes.len()).map_err(|_| BuildError)?;
        if bytes.len() > MAX_VALUE {
            return Err(BuildError);
        }
        bytes.resize(bytes.len() + 16, 0);
        Ok(Self { bytes, length })
    }

    fn as_ptr(&self) -> *const std::ffi::c_void {
        self.bytes.as_ptr().cast()
    }
}
