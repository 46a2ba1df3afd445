//! The DNS servers that this host asks.

use std::net::IpAddr;
use std::path::Path;

use dockfw_system::files;

/// The files that name them (resolv.conf(5)); systemd-resolved names itself in the first, and those that it asks in the
/// second.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// How much of a file is read.
const MAX_SIZE: u64 = 64 * 1024;

/// Returns all of them except the host itself.
pub(crate) fn read() -> Vec<IpAddr> {
    let texts = FILES.iter().filter_map(|file| files::read_text(Path::new(file), MAX_SIZE));
    let mut found: Vec<_> = texts.flat_map(|text| servers(&text)).collect();
    found.retain(|address| !address.is_loopback());
    found
}

fn servers(text: &str) -> Vec<IpAddr> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    // A link-local one has its interface appended.
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
