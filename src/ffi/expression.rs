//! Expressions of rules.

use std::ffi::CStr;
use std::ptr::NonNull;

use nftnl::nftnl_sys::{nftnl_expr, nftnl_expr_alloc, nftnl_expr_free, nftnl_expr_set};

use super::{BuildError, Key, Padded, Value};

/// The most bytes of a register's value: `struct nft_data` (linux/netfilter/nf_tables.h, NFT_DATA_VALUE_MAXLEN is 64;
/// our longest is an IPv6 address or the name of an interface). libnftnl 1.2.0 copies a register's value without
/// checking its own buffer for it, which has 64 bytes.
const MAX_REGISTER: usize = 16;

/// An expression of libnftnl.
#[derive(Debug)]
pub(crate) struct Expression(NonNull<nftnl_expr>);

impl Expression {
    /// Returns the expression of this name with these attributes.
    pub(crate) fn new(name: &CStr, attributes: &[(Key<Self>, Value<'_>)]) -> Result<Self, BuildError> {
        // SAFETY: `name` ends with a NUL and is only read during the call.
        let raw = unsafe { nftnl_expr_alloc(name.as_ptr()) };
        let expression = Self(NonNull::new(raw).ok_or(BuildError)?);
        for (attribute, value) in attributes {
            expression.set(*attribute, *value)?;
        }
        Ok(expression)
    }

    fn set(&self, attribute: Key<Self>, value: Value<'_>) -> Result<(), BuildError> {
        if matches!(value, Value::Bytes(bytes) if bytes.len() > MAX_REGISTER) {
            return Err(BuildError);
        }
        let value = Padded::new(value)?;
        // SAFETY: the expression is alive and no one else has it. The value is copied during the call; how much libnftnl reads
        // depends on the attribute, and `Padded` has enough for each. A register's value is copied in its given length, which
        // was checked. An attribute that the expression lacks is refused.
        let result = unsafe { nftnl_expr_set(self.0.as_ptr(), attribute.0, value.as_ptr(), value.length) };
        if result == 0 { Ok(()) } else { Err(BuildError) }
    }

    /// Gives the expression away, to be freed by its new owner.
    pub(super) fn into_raw(self) -> *mut nftnl_expr {
        let raw = self.0.as_ptr();
        std::mem::forget(self);
        raw
    }
}

impl Drop for Expression {
    fn drop(&mut self) {
        // SAFETY: the expression is alive, and with `self` its only owner goes.
        unsafe { nftnl_expr_free(self.0.as_ptr()) }
    }
}
