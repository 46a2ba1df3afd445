//! What this process may do.

use std::fs;

/// The bit of CAP_NET_ADMIN (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;

/// Returns whether the process may change the firewall, as far as its own capabilities go. If they can't be read, the
/// kernel decides later.
pub(crate) fn has_net_admin() -> bool {
    fs::read_to_string("/proc/self/status")
        .ok()
        .as_deref()
        .and_then(effective)
        .is_none_or(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

/// Returns the effective capabilities in a `/proc/PID/status`.
fn effective(status: &str) -> Option<u64> {
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        assert_eq!(effective("Name:\tx\nCapEff:\t0000000000001000\n"), Some(1 << CAP_NET_ADMIN));
        assert_eq!(effective("CapEff:\tnonsense\n"), None);
    }
}
