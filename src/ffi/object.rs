//! Chains, sets, counters and rules, each as the attributes of the message that adds it.

use std::ptr::NonNull;

use nftnl::nftnl_sys as sys;
use sys::libc::nlmsghdr;

use super::{BuildError, Expression, Key, Padded, Value};

/// The size of the heads that libnftnl expects in front of attributes: `struct nlmsghdr` and `struct nfgenmsg`.
const HEADS: usize = 20;
/// The room for a message's attributes.
const ROOM: usize = 64 * 1024;
/// The most expressions of a rule: far above what dockfw's rules have, and low enough for `ROOM`. An expression
/// takes at most 5 attributes, of which at most one is as long as `MAX_VALUE`: below 400 bytes.
const MAX_EXPRESSIONS: usize = 128;

/// Calls one of libnftnl's functions that append an object's attributes to a message.
fn attributes(build: impl FnOnce(*mut nlmsghdr)) -> Vec<u8> {
    // Numbers of 4 bytes, because libmnl writes attributes in place, which must be aligned.
    let mut buffer = vec![0u32; ROOM / 4];
    if let Some(length) = buffer.first_mut() {
        *length = HEADS as u32;
    }
    build(buffer.as_mut_ptr().cast());
    let length = buffer.first().map_or(0, |length| *length as usize);
    let words = buffer.get(HEADS / 4..length / 4).unwrap_or_default();
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $alloc:ident, $free:ident, $build:ident, $set:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(NonNull<sys::$raw>);

        impl $name {
            /// Returns the object with these attributes.
            pub(crate) fn new(values: &[(Key<Self>, Value<'_>)]) -> Result<Self, BuildError> {
                // SAFETY: takes nothing; what it returns is checked.
                let raw = unsafe { sys::$alloc() };
                let object = Self(NonNull::new(raw).ok_or(BuildError)?);
                for (attribute, value) in values {
                    let value = Padded::new(*value)?;
                    let set: fn(_, u16, &Padded) -> bool = $set;
                    if !set(object.0.as_ptr(), attribute.0, &value) {
                        return Err(BuildError);
                    }
                }
                Ok(object)
            }

            /// Returns the attributes of the message that adds the object.
            pub(crate) fn attributes(&self) -> Vec<u8> {
                // SAFETY: the object is alive. The buffer is aligned, zeroed, begins with a message of no attributes, and has room for
                // the most that the object's values (at most `MAX_VALUE` bytes each) and expressions (at most `MAX_EXPRESSIONS`) need.
                attributes(|message| unsafe { sys::$build(message, self.0.as_ptr()) })
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the object is alive, and with `self` its only owner goes.
                unsafe { sys::$free(self.0.as_ptr()) }
            }
        }
    };
}

object!(
    /// A chain.
    Chain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free, nftnl_chain_nlmsg_build_payload,
    // SAFETY: the chain is alive, the value is copied, and `Padded` has as much as any attribute reads.
    |chain, attribute, value| unsafe {
        sys::nftnl_chain_set_data(chain, attribute, value.as_ptr(), value.length) == 0
    }
);

object!(
    /// A set.
    Set, nftnl_set, nftnl_set_alloc, nftnl_set_free, nftnl_set_nlmsg_build_payload,
    // SAFETY: the set is alive, the value is copied, and `Padded` has as much as any attribute reads.
    |set, attribute, value| unsafe {
        sys::nftnl_set_set_data(set, attribute, value.as_ptr(), value.length) == 0
    }
);

object!(
    /// A named counter; libnftnl calls everything with a name that is neither chain nor set an object.
    Counter, nftnl_obj, nftnl_obj_alloc, nftnl_obj_free, nftnl_obj_nlmsg_build_payload,
    // SAFETY: the object is alive, the value is copied, and `Padded` has as much as any attribute reads.
    |object, attribute, value| unsafe {
        sys::nftnl_obj_set_data(object, attribute, value.as_ptr(), value.length);
        sys::nftnl_obj_is_set(object, attribute)
    }
);

object!(
    /// A rule.
    Rule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free, nftnl_rule_nlmsg_build_payload,
    // SAFETY: the rule is alive, the value is copied, and `Padded` has as much as any attribute reads.
    |rule, attribute, value| unsafe {
        sys::nftnl_rule_set_data(rule, attribute, value.as_ptr(), value.length) == 0
    }
);

impl Rule {
    /// Appends expressions.
    pub(crate) fn with(self, expressions: Vec<Expression>) -> Result<Self, BuildError> {
        if expressions.len() > MAX_EXPRESSIONS {
            return Err(BuildError);
        }
        for expression in expressions {
            // SAFETY: both are alive; the rule owns the expression from here on and frees it.
            unsafe { sys::nftnl_rule_add_expr(self.0.as_ptr(), expression.into_raw()) }
        }
        Ok(self)
    }
}
