//! The policies that are put in force in a machine.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

/// How many networks the large one trusts: where `hash:net` of ipset has its limit unless it is told otherwise.
pub(super) const NETWORKS: u32 = 65_536;

/// Something of everything: hosts and networks of both families, patterns of interfaces, ranges of ports.
const FEW: &str = r#"
trusted = ["192.0.2.10", "198.51.100.0/24", "2001:db8:1::10", "2001:db8:2::/48"]
blocked = ["203.0.113.0/25", "203.0.113.200", "2001:db8:bad::/48"]

[interfaces]
docker = ["docker0", "docker_gwbridge", "br-*"]

[[allow]]
name  = "open"
ports = ["80/tcp", "8000-8099/tcp", "5000-5010/udp"]

[[allow]]
name  = "office"
ports = ["5432/tcp"]
from  = ["198.51.100.7", "192.0.2.128/25", "2001:db8:3::/64"]
"#;

/// Writes both where the machine's first process looks for them.
pub(super) fn write(kit: &Path) -> Result<()> {
    for (name, text) in
        [("few.toml", FEW), ("many.toml", "trusted = [\"file:networks\"]\n"), ("networks", &networks())]
    {
        fs::write(kit.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// Every other network of 128 addresses, so that no two of them are one.
fn networks() -> String {
    const FIRST: u32 = Ipv4Addr::new(20, 0, 0, 0).to_bits();
    (0..NETWORKS).fold(String::new(), |mut text, index| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}/25", Ipv4Addr::from_bits(FIRST + index * 256));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_apart() {
        let text = networks();
        assert_eq!(text.lines().count(), 65_536);
        assert!(text.starts_with("20.0.0.0/25\n20.0.1.0/25\n") && text.ends_with("20.255.255.0/25\n"));
    }
}
