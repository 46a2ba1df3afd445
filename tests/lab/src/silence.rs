//! Silence on the host: nothing but handmade packets goes in or out.

use anyhow::Result;

use crate::netns::Netns;
use crate::sender::hardware_address_in_words;

/// Keeps answers to handmade packets, and answers to those, away from connection tracking. Dropped, it is gone.
///
/// A listener repeats its answer to a SYN for a minute. If whoever has the forged source resets it, long afterwards, the
/// connection that a later test counts on is closed. The same happens on loopback if that source is an own address of the
/// host: there the host itself resets it, again and again if the address is link-local.
#[derive(Debug)]
pub struct Silence {
    host: Netns,
}

impl Silence {
    /// Drops all that is not made by hand, on every interface. Neighbours are still found.
    pub fn install(host: &Netns) -> Result<Self> {
        let by_hand = hardware_address_in_words();
        host.nft(&format!(
            "table inet lab_silence {{\n\
             chain incoming {{\n\
             type filter hook prerouting priority -400;\n\
             ether saddr != {by_hand} meta l4proto != ipv6-icmp drop\n\
             }}\n\
             chain outgoing {{\n\
             type filter hook output priority -400;\n\
             meta l4proto != ipv6-icmp drop\n\
             }}\n\
             }}\n"
        ))?;
        Ok(Self { host: host.clone() })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // It may have been flushed along with everything else by what a test did.
        let _ = self.host.nft("delete table inet lab_silence\n");
    }
}
