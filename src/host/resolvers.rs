//! The DNS servers that this host asks.

use std::fs;
use std::net::IpAddr;

/// Where they are named (resolv.conf(5)); systemd-resolved names itself in the first, and those that it asks in the second.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// More of a file is not read.
const MAX_LINES: usize = 1000;

/// All of them but the host itself.
pub(crate) fn read() -> Vec<IpAddr> {
    let texts = FILES.iter().filter_map(|file| fs::read_to_string(file).ok());
    let mut found: Vec<_> = texts.flat_map(|text| servers(&text)).collect();
    found.retain(|address| !address.is_loopback());
    found
}

fn servers(text: &str) -> Vec<IpAddr> {
    let named = text.lines().take(MAX_LINES).filter_map(|line| line.trim().strip_prefix("nameserver"));
    // A link-local one has its interface behind it.
    let address = |rest: &str| rest.split_whitespace().next()?.split('%').next()?.parse().ok();
    named.filter(|rest| rest.starts_with(char::is_whitespace)).filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_nothing_else() {
        let text = "# nameserver 192.0.2.1\nsearch example.net\nnameserver 192.0.2.53\n nameserver\tfe80::1%eth0\n\
                    nameserver nonsense\nnameservers 192.0.2.9\n";
        let expected: [IpAddr; 2] = ["192.0.2.53".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(servers(text), expected);
    }
}
