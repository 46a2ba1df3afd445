//! What is given to `ipset restore` and `iptables-restore`.

use std::fmt::Write;

use dockfw_policy::address::Family;

use crate::sets;
use crate::wanted::Set;

/// The smallest number of buckets that is asked for: ipset's own default.
const MIN_BUCKETS: usize = 1024;
/// How many elements a bucket is meant for: AHASH_INIT_SIZE (net/netfilter/ipset/ip_set_hash_gen.h).
const BUCKET: usize = 4;
/// The most elements that a set takes unless more is needed: ipset's own default.
const MIN_ELEMENTS: usize = 65_536;

/// Words as one line, each in quotes where it needs them.
pub(crate) fn line(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_./:,+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Makes an empty set for so many elements.
pub(crate) fn create(out: &mut String, name: &str, family: Family, count: usize) {
    let family = if family == Family::Ipv4 { "inet" } else { "inet6" };
    let buckets = (count / BUCKET).next_power_of_two().max(MIN_BUCKETS);
    let most = count.max(MIN_ELEMENTS);
    // Writing to a String does not fail.
    let _ = writeln!(out, "create {name} hash:net family {family} hashsize {buckets} maxelem {most}");
}

/// Makes a set under a name of its own and fills it. `finish`: how it comes to its final name.
pub(crate) fn fill(out: &mut String, set: &Set, finish: Finish) {
    let name = sets::filling_name(set);
    create(out, &name, set.family, set.networks.len());
    for network in &set.networks {
        let _ = writeln!(out, "add {name} {network}");
    }
    let _ = match finish {
        Finish::Rename => writeln!(out, "rename {name} {}", set.name),
        Finish::Swap => writeln!(out, "swap {name} {0}\ndestroy {name}", set.name),
    };
}

/// How a filled set comes to its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Nobody has the name.
    Rename,
    /// Rules in force use a set of this name, whose elements others changed.
    Swap,
}
