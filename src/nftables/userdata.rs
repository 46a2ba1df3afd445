//! Userdata: what the kernel keeps for user space with a rule or a set, as type, length and value.
//!
//! The types are libnftnl's (libnftnl/udata.h), so that `nft` shows our comments.

/// `NFTNL_UDATA_RULE_COMMENT`.
const RULE_COMMENT: u8 = 0;
/// `NFTNL_UDATA_SET_KEYBYTEORDER`: without it `nft` can't show names of interfaces.
const SET_KEY_BYTE_ORDER: u8 = 0;
/// `NFTNL_UDATA_SET_COMMENT`.
const SET_COMMENT: u8 = 7;
/// Our own type: the number of a set's entries. libnftnl skips what it does not know. (0xd0 was that of dockfw 0.1.)
const SET_ENTRIES: u8 = 0xd1;

/// The order of bytes in a set's keys, by nft's numbers (`enum byteorder`, nftables/include/datatype.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// As on this machine.
    Host = 1,
    /// As on the wire.
    Network = 2,
}

/// Returns a rule's comment.
pub(crate) fn of_rule(comment: &str) -> Vec<u8> {
    let mut userdata = Vec::new();
    put_text(&mut userdata, RULE_COMMENT, comment);
    userdata
}

/// Returns all that is recorded of a set: `entries` is how many entries of the policy its elements are.
pub(crate) fn of_set(order: ByteOrder, comment: &str, entries: u64) -> Vec<u8> {
    let mut userdata = Vec::new();
    put(&mut userdata, SET_KEY_BYTE_ORDER, &(order as u32).to_ne_bytes());
    put_text(&mut userdata, SET_COMMENT, comment);
    put(&mut userdata, SET_ENTRIES, &entries.to_be_bytes());
    userdata
}

/// Returns the comment in a rule's userdata.
pub(crate) fn rule_comment(userdata: &[u8]) -> Option<String> {
    let comment = find(userdata, RULE_COMMENT)?;
    let text = comment.strip_suffix(&[0]).unwrap_or(comment);
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Returns how many entries of a policy a set was loaded with, if its userdata records that.
pub(crate) fn set_entries(userdata: &[u8]) -> Option<u64> {
    find(userdata, SET_ENTRIES)?.try_into().ok().map(u64::from_be_bytes)
}

/// Appends a value. The length is one byte; what is longer is left out, and comments are at most 100 bytes.
fn put(userdata: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if let Ok(length) = u8::try_from(value.len()) {
        userdata.extend_from_slice(&[kind, length]);
        userdata.extend_from_slice(value);
    }
}

fn put_text(userdata: &mut Vec<u8>, kind: u8, text: &str) {
    put(userdata, kind, &[text.as_bytes(), &[0]].concat());
}

fn find(mut userdata: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let ([kind, length], rest) = userdata.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked((*length).into())?;
        if *kind == wanted {
            return Some(value);
        }
        userdata = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_recorded_reads_back() {
        let userdata = of_set(ByteOrder::Host, "Docker's bridges", 500_000);
        assert_eq!(set_entries(&userdata), Some(500_000));
        assert!(userdata.starts_with(&[0, 4, 1, 0, 0, 0]), "the byte order comes first, as nft writes it");
        assert_eq!(
            rule_comment(&of_rule("allow \u{201c}web\u{201d}")).as_deref(),
            Some("allow \u{201c}web\u{201d}")
        );
    }

    #[test]
    fn the_longest_comment_fits_what_the_kernel_keeps() {
        let longest = "c".repeat(100);
        // NFT_USERDATA_MAXLEN (linux/netfilter/nf_tables.h)
        assert!(of_set(ByteOrder::Network, &longest, 0).len() <= 256 && of_rule(&longest).len() <= 256);
    }

    proptest! {
        #[test]
        fn no_userdata_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            rule_comment(&bytes);
            set_entries(&bytes);
        }
    }
}
