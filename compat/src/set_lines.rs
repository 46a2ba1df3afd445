//! The lines for `ipset restore`. Pure code.

use std::fmt::Write;

use dockfw_policy::address::Family;
use dockfw_xtables::names::filling_set;

use crate::wanted::Set;

/// The smallest number of buckets that is used: ipset's own default.
const MIN_BUCKETS: usize = 1024;
/// How many elements a bucket is meant for: AHASH_INIT_SIZE (net/netfilter/ipset/ip_set_hash_gen.h).
const BUCKET: usize = 4;
/// The most elements that a set accepts unless more is needed: ipset's own default.
const MIN_ELEMENTS: usize = 65_536;

/// Creates an empty set for this many elements.
pub(crate) fn create(out: &mut String, name: &str, family: Family, count: usize) {
    let family = if family == Family::Ipv4 { "inet" } else { "inet6" };
    let buckets = (count / BUCKET).next_power_of_two().max(MIN_BUCKETS);
    let most = count.max(MIN_ELEMENTS);
    // Writing to a String does not fail.
    let _ = writeln!(out, "create {name} hash:net family {family} hashsize {buckets} maxelem {most}");
}

/// Creates a set and fills it.
pub(crate) fn whole(out: &mut String, set: &Set) {
    create(out, &set.name, set.family, set.networks.len());
    add(out, &set.name, set);
}

/// Fills a set beside the one of the final name, and swaps the two at once.
pub(crate) fn replace(out: &mut String, set: &Set) {
    let name = filling_set(&set.name, set.family);
    create(out, &name, set.family, set.networks.len());
    add(out, &name, set);
    let _ = writeln!(out, "swap {name} {}\ndestroy {name}", set.name);
}

fn add(out: &mut String, name: &str, set: &Set) {
    for network in &set.networks {
        let _ = writeln!(out, "add {name} {network}");
    }
}
