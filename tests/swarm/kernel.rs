//! What a Swarm needs of the kernel, tried in a namespace of its own.

use std::process::Command;

use anyhow::{Context, Result};
use dockfw_lab::{Netns, run};

/// What is needed, what for, and a line of shell that only works where it is there.
const NEEDED: [(&str, &str, &str); 5] = [
    ("IPVS", "the routing mesh", "test -e /proc/net/ip_vs"),
    ("VXLAN", "networks between nodes", "ip link add probe type vxlan id 1 dstport 4789"),
    (
        "ESP",
        "encrypted networks",
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode transport \
         aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 64",
    ),
    ("the match policy", "encrypted networks", "iptables -A INPUT -m policy --dir in --pol none"),
    ("the match ipvs", "the routing mesh", "iptables -A INPUT -m ipvs --ipvs"),
];

/// An error is a reason to skip, and names what is missing.
pub(crate) fn check() -> Result<()> {
    // What Docker itself asks for; a kernel that has it built in, or not at all, has no such module.
    let _ = run(Command::new("modprobe").arg("ip_vs"));
    let scratch = Netns::create("scratch")?;
    for (what, purpose, line) in NEEDED {
        scratch
            .shell(line)
            .with_context(|| format!("this kernel lacks {what}, which {purpose} need"))
            .map_err(first)?;
    }
    Ok(())
}

/// The reason alone: what the program said is of no use to whoever reads that a case was skipped.
fn first(error: anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
