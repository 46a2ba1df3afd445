//! The ports of this host's SSH server.

use std::collections::BTreeSet;

use super::programs;

/// The port of SSH if sshd does not report its own (RFC 4253, 4).
const SSH: u16 = 22;

/// Returns the ports that sshd is configured to listen on, or SSH's own if it does not report them: there is another
/// server, or none, or this process may not read the configuration. Never empty.
pub(crate) fn ports() -> BTreeSet<u16> {
    configured(&programs::said("sshd", &["-T"]).unwrap_or_default())
}

/// Reads the ports that `sshd -T` names. The addresses that sshd listens on are in `listenaddress [::]:22`, perhaps
/// with `rdomain` behind. `port 22` applies only to addresses without a port, and is printed in any case.
fn configured(said: &str) -> BTreeSet<u16> {
    let listens =
        said.lines().filter_map(|line| line.strip_prefix("listenaddress ")?.split_whitespace().next());
    let of_addresses = numbers(listens.filter_map(|address| Some(address.rsplit_once(':')?.1)));
    let found = if of_addresses.is_empty() {
        numbers(said.lines().filter_map(|line| line.strip_prefix("port ")))
    } else {
        of_addresses
    };
    if found.is_empty() { [SSH].into() } else { found }
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<u16> {
    words.filter_map(|word| word.trim().parse().ok()).filter(|port| *port != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshd_says_its_ports() {
        assert_eq!(configured("port 2222\nport 22\nportx 1\naddressfamily any\n"), [22, 2222].into());
        let listens = "port 22\nlistenaddress [2001:db8::1]:2222\nlistenaddress 0.0.0.0:2022 rdomain mgmt\n";
        assert_eq!(configured(listens), [2022, 2222].into());
        assert_eq!(configured("port 0\nport x\n"), [22].into());
        assert_eq!(configured(""), [22].into());
    }
}
