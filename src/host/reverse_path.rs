//! How interfaces check the sources of incoming packets.

use std::fs;

/// Returns how an interface checks that a source could be answered by it (`rp_filter`,
/// Documentation/networking/ip-sysctl.rst): 0 not at all, 1 strictly, 2 loosely. The greater of its own value and the
/// value for all counts.
pub(crate) fn reverse_path_filter(interface: &str) -> Option<u8> {
    let of = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).ok()?;
        text.trim().parse::<u8>().ok()
    };
    Some(of("all")?.max(of(interface)?))
}
